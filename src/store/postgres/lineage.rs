//! Whether the server is the one it was. A promoted standby, or a server restored to an earlier instant, is on
//! another timeline, and a database made anew has another identifier: what was read before need not be true.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio_postgres::{Client, Error};

/// The timeline is the beginning of the name of the log's present segment. What the last checkpoint says of it
/// is still the old one for a while after a promotion.
const IDENTITY: &str = "SELECT system_identifier,
    ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint FROM pg_control_system()";

/// A server's system identifier and timeline.
type Identity = (i64, i64);

/// What is known of the server.
#[derive(Default)]
pub(super) struct Lineage {
    epoch: AtomicU64,
    met: Mutex<Option<Met>>,
}

#[derive(Clone, Copy)]
struct Met {
    identity: Identity,
    /// Since when it has been another one than before.
    since: Option<Instant>,
}

impl Lineage {
    /// How often it has become another one.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Whether a connection made then leads to a server that was left behind since.
    pub(super) fn is_outdated(&self, made: Instant) -> bool {
        self.met().is_some_and(|met| met.since.is_some_and(|since| made < since))
    }

    /// Asks a new connection whom it leads to.
    ///
    /// # Errors
    /// When the connection broke. A server that will not say is taken for the one it was.
    pub(super) async fn ask(&self, client: &Client) -> Result<(), Error> {
        match client.query_one(IDENTITY, &[]).await {
            Ok(row) => self.meet((row.try_get(0)?, row.try_get(1)?)),
            Err(error) if client.is_closed() => return Err(error),
            Err(error) => tracing::debug!(%error, "the server does not say which one it is"),
        }
        Ok(())
    }

    fn meet(&self, identity: Identity) {
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
                self.epoch.fetch_add(1, Ordering::Relaxed);
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
        let lineage = Lineage::default();
        let before = Instant::now();
        for (identity, epoch) in
            [((1, 1), 0), ((1, 1), 0), ((1, 2), 1), ((1, 2), 1), ((2, 2), 2), ((2, 1), 3)]
        {
            lineage.meet(identity);
            assert_eq!(lineage.epoch(), epoch);
            assert_eq!(lineage.is_outdated(before), epoch > 0);
        }
        assert!(!lineage.is_outdated(Instant::now()));
    }
}
