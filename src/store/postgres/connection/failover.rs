//! Detects fail-over and restore: a new timeline or system identifier starts a new epoch.
//!
//! A promoted standby, or a server restored to an earlier time, is on another timeline; a new database
//! cluster has another identifier. In both cases what was read before may no longer be true.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;
use tokio_postgres::{Client, Error};

/// SQL for a server's timeline: the start of the current log segment's name. (The last checkpoint's
/// timeline would be out of date for a while after a promotion.) A standby cannot answer it.
pub(crate) const TIMELINE: &str =
    "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint";

/// A server's system identifier and timeline.
pub(crate) type ServerIdentity = (i64, i64);

/// What is known of the servers.
#[derive(Default)]
pub(crate) struct FailoverDetector {
    epoch: watch::Sender<u64>,
    current: Mutex<Option<CurrentServer>>,
    /// Of several servers, those that take writes, by their index in the connection string.
    primaries: Mutex<BTreeMap<usize, ServerIdentity>>,
}

/// The server that new connections lead to.
#[derive(Clone, Copy)]
struct CurrentServer {
    identity: ServerIdentity,
    /// When it took over from another one.
    since: Option<Instant>,
}

impl FailoverDetector {
    /// The number of fail-overs and restores detected.
    pub(crate) fn epoch(&self) -> u64 {
        *self.epoch.borrow()
    }

    /// Whether a connection made then leads to a server that was left behind by a later fail-over.
    pub(crate) fn is_outdated(&self, made: Instant) -> bool {
        self.current().and_then(|current| current.since).is_some_and(|since| made < since)
    }

    /// Waits until a connection made then is outdated.
    pub(crate) async fn outdated(&self, made: Instant) {
        // It fails only when the sender is dropped, which `self` owns.
        let _ = self.epoch.subscribe().wait_for(|_| self.is_outdated(made)).await;
    }

    /// Asks the server at the other end of a new connection for its identity.
    ///
    /// # Errors
    /// When the connection broke. A server that does not tell its identity is taken for the current one.
    pub(crate) async fn identify(&self, client: &Client) -> Result<(), Error> {
        let sql = format!("SELECT system_identifier, {TIMELINE} FROM pg_control_system()");
        match client.query_one(&sql, &[]).await {
            Ok(row) => self.observe((row.try_get(0)?, row.try_get(1)?)),
            Err(error) if client.is_closed() => return Err(error),
            Err(error) => tracing::debug!(%error, "the server does not tell its identity"),
        }
        Ok(())
    }

    /// Notes the identity of one of several servers, if it takes writes. One on a later timeline than the
    /// current server's has been promoted in its place.
    pub(crate) fn observe_host(&self, host: usize, primary: Option<ServerIdentity>) {
        let mut primaries = self.primaries.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((system, timeline)) = primary else {
            primaries.remove(&host);
            return;
        };
        primaries.insert(host, (system, timeline));
        drop(primaries);
        if self
            .current()
            .is_some_and(|CurrentServer { identity, .. }| identity.0 == system && identity.1 < timeline)
        {
            self.observe((system, timeline));
        }
    }

    /// Of several servers that take writes, the index of the one on the latest timeline.
    pub(crate) fn primary(&self) -> Option<usize> {
        let primaries = self.primaries.lock().unwrap_or_else(PoisonError::into_inner);
        primaries.iter().max_by_key(|(_, (_, timeline))| *timeline).map(|(host, _)| *host)
    }

    /// Notes the identity of the server that connections lead to.
    fn observe(&self, identity: ServerIdentity) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *current {
            None => *current = Some(CurrentServer { identity, since: None }),
            Some(current) if current.identity == identity => {}
            Some(current) => {
                let ((system, timeline), (was_system, was_timeline)) = (identity, current.identity);
                tracing::warn!(
                    system,
                    timeline,
                    was_system,
                    was_timeline,
                    "PostgreSQL is not the server it was (a fail-over, or a restore): users in memory are reloaded"
                );
                *current = CurrentServer { identity, since: Some(Instant::now()) };
                self.epoch.send_modify(|epoch| *epoch += 1);
            }
        }
    }

    fn current(&self) -> Option<CurrentServer> {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_timeline_or_system_starts_an_epoch_and_outdates_connections() {
        let failover = FailoverDetector::default();
        let before = Instant::now();
        for (identity, epoch) in
            [((1, 1), 0), ((1, 1), 0), ((1, 2), 1), ((1, 2), 1), ((2, 2), 2), ((2, 1), 3)]
        {
            failover.observe(identity);
            assert_eq!(failover.epoch(), epoch);
            assert_eq!(failover.is_outdated(before), epoch > 0);
        }
        assert!(!failover.is_outdated(Instant::now()));
    }

    #[test]
    fn of_several_servers_the_one_on_the_latest_timeline_is_the_primary() {
        let failover = FailoverDetector::default();
        failover.observe((1, 4));
        assert_eq!(failover.primary(), None);
        failover.observe_host(2, Some((1, 4)));
        failover.observe_host(0, Some((1, 3)));
        assert_eq!((failover.primary(), failover.epoch()), (Some(2), 0));
        failover.observe_host(1, Some((1, 5)));
        assert_eq!(
            (failover.primary(), failover.epoch()),
            (Some(1), 1),
            "promoted, before any connection led to it"
        );
        failover.observe_host(1, None);
        assert_eq!((failover.primary(), failover.epoch()), (Some(2), 1));
        failover.observe_host(3, Some((2, 9)));
        assert_eq!(failover.epoch(), 1, "another system");
    }
}
