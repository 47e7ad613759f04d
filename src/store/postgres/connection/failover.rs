//! Whether the server is the one it was. A promoted standby, or a server restored to an earlier instant, is on
//! another timeline, and a database made anew has another identifier: what was read before need not be true.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;
use tokio_postgres::{Client, Error};

/// A server's timeline is the beginning of the name of its log's present segment. What the last checkpoint says of it
/// is still the old one for a while after a promotion. A standby has no answer to this.
pub(crate) const TIMELINE: &str =
    "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint";

/// A server's system identifier and timeline.
pub(crate) type ServerIdentity = (i64, i64);

/// What is known of the server.
#[derive(Default)]
pub(crate) struct FailoverDetector {
    epoch: watch::Sender<u64>,
    met: Mutex<Option<Met>>,
    /// Of several servers, those that take writes, by their places in the connection string.
    seen: Mutex<BTreeMap<usize, ServerIdentity>>,
}

#[derive(Clone, Copy)]
struct Met {
    identity: ServerIdentity,
    /// Since when it has been another one than before.
    since: Option<Instant>,
}

impl FailoverDetector {
    /// How often it has become another one.
    pub(crate) fn epoch(&self) -> u64 {
        *self.epoch.borrow()
    }

    /// Whether a connection made then leads to a server that was left behind since.
    pub(crate) fn is_outdated(&self, made: Instant) -> bool {
        self.met().is_some_and(|met| met.since.is_some_and(|since| made < since))
    }

    /// Waits until that is so.
    pub(crate) async fn outdated(&self, made: Instant) {
        // It ends with the sender, which is ours.
        let _ = self.epoch.subscribe().wait_for(|_| self.is_outdated(made)).await;
    }

    /// Asks a new connection whom it leads to.
    ///
    /// # Errors
    /// When the connection broke. A server that will not say is taken for the one it was.
    pub(crate) async fn ask(&self, client: &Client) -> Result<(), Error> {
        let sql = format!("SELECT system_identifier, {TIMELINE} FROM pg_control_system()");
        match client.query_one(&sql, &[]).await {
            Ok(row) => self.meet((row.try_get(0)?, row.try_get(1)?)),
            Err(error) if client.is_closed() => return Err(error),
            Err(error) => tracing::debug!(%error, "the server does not say which one it is"),
        }
        Ok(())
    }

    /// Notes whether one of several servers takes writes, and as whom. One on a later timeline than that of our
    /// connections has been promoted in the place of theirs.
    pub(crate) fn saw(&self, place: usize, primary: Option<ServerIdentity>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((system, timeline)) = primary else {
            seen.remove(&place);
            return;
        };
        seen.insert(place, (system, timeline));
        drop(seen);
        if self.met().is_some_and(|met| met.identity.0 == system && met.identity.1 < timeline) {
            self.meet((system, timeline));
        }
    }

    /// Of several servers that take writes, the place of the one on the latest timeline, if any was seen.
    pub(crate) fn primary(&self) -> Option<usize> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().max_by_key(|(_, (_, timeline))| *timeline).map(|(place, _)| *place)
    }

    fn meet(&self, identity: ServerIdentity) {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *met {
            None => *met = Some(Met { identity, since: None }),
            Some(met) if met.identity == identity => {}
            Some(met) => {
                let ((system, timeline), (was_system, was_timeline)) = (identity, met.identity);
                tracing::warn!(
                    system,
                    timeline,
                    was_system,
                    was_timeline,
                    "PostgreSQL is not the server it was (a promotion, or a restore): users in memory are read anew"
                );
                *met = Met { identity, since: Some(Instant::now()) };
                self.epoch.send_modify(|epoch| *epoch += 1);
            }
        }
    }

    fn met(&self) -> Option<Met> {
        *self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_timeline_or_another_system_begins_an_epoch_and_outdates_connections() {
        let failover = FailoverDetector::default();
        let before = Instant::now();
        for (identity, epoch) in
            [((1, 1), 0), ((1, 1), 0), ((1, 2), 1), ((1, 2), 1), ((2, 2), 2), ((2, 1), 3)]
        {
            failover.meet(identity);
            assert_eq!(failover.epoch(), epoch);
            assert_eq!(failover.is_outdated(before), epoch > 0);
        }
        assert!(!failover.is_outdated(Instant::now()));
    }

    #[test]
    fn of_several_servers_that_on_the_latest_timeline_is_the_primary() {
        let failover = FailoverDetector::default();
        failover.meet((1, 4));
        assert_eq!(failover.primary(), None);
        failover.saw(2, Some((1, 4)));
        failover.saw(0, Some((1, 3)));
        assert_eq!((failover.primary(), failover.epoch()), (Some(2), 0));
        failover.saw(1, Some((1, 5)));
        assert_eq!((failover.primary(), failover.epoch()), (Some(1), 1), "promoted, and nobody had met it");
        failover.saw(1, None);
        assert_eq!((failover.primary(), failover.epoch()), (Some(2), 1));
        failover.saw(3, Some((2, 9)));
        assert_eq!(failover.epoch(), 1, "a stranger");
    }
}
