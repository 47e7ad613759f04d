//! Which store it is, and whether it still is the same one: another server, timeline or set of tables starts a
//! new epoch.
//!
//! A promoted standby, or a server restored to an earlier time, is on another timeline; a new database
//! cluster has another identifier; tables that were dropped, truncated or loaded from a dump are in other files.
//! In all these cases what was read before may no longer be true.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;
use tokio_postgres::{Client, Error, Row};
use uuid::Uuid;

use crate::domain::StoreIdentity;
use crate::store::StoreLife;

/// SQL for a server's timeline: the start of the current log segment's name. (The last checkpoint's
/// timeline would be out of date for a while after a promotion.) A standby cannot answer it.
pub(crate) const TIMELINE: &str =
    "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint";

/// SQL for the tables' identity: the random id kept in them, and the file of the table of users.
pub(crate) const TABLES: &str = "SELECT id, pg_relation_filenode('users')::bigint FROM store_identity";

/// SQL that makes another store of the tables, and gives their identity.
pub(crate) const RENEW: &str = "UPDATE store_identity SET id = gen_random_uuid()
    RETURNING id, pg_relation_filenode('users')::bigint";

/// A server's system identifier and timeline.
pub(crate) type ServerIdentity = (i64, i64);

/// What [`TABLES`] gives.
type TablesIdentity = (Uuid, Option<i64>);

/// What is known of the servers.
#[derive(Default)]
pub(crate) struct FailoverDetector {
    life: watch::Sender<StoreLife>,
    current: Mutex<CurrentStore>,
    /// Of several servers, those that take writes, by their index in the connection string.
    primaries: Mutex<BTreeMap<usize, ServerIdentity>>,
}

/// The store that new connections lead to.
#[derive(Clone, Copy, Default)]
struct CurrentStore {
    /// None until a server has told it.
    server: Option<ServerIdentity>,
    /// None until the tables are there.
    tables: Option<TablesIdentity>,
    /// When it took the place of another one.
    since: Option<Instant>,
}

impl CurrentStore {
    fn identity(&self) -> StoreIdentity {
        let (system, timeline) = self.server.unwrap_or_default();
        let (id, file) = self.tables.unwrap_or_default();
        let numbers = [system, timeline, file.unwrap_or_default()].map(i64::to_be_bytes);
        StoreIdentity::of(&[id.as_bytes(), &numbers[0], &numbers[1], &numbers[2]])
    }
}

impl FailoverDetector {
    /// The store's identity, and the number of fail-overs and restores detected.
    pub(crate) fn life(&self) -> StoreLife {
        *self.life.borrow()
    }

    /// Whether a connection made then leads to a server that was left behind by a later fail-over.
    pub(crate) fn is_outdated(&self, made: Instant) -> bool {
        self.current().since.is_some_and(|since| made < since)
    }

    /// Waits until a connection made then is outdated.
    pub(crate) async fn outdated(&self, made: Instant) {
        // It fails only when the sender is dropped, which `self` owns.
        let _ = self.life.subscribe().wait_for(|_| self.is_outdated(made)).await;
    }

    /// Asks the server at the other end of a new connection for its identity and that of the tables.
    ///
    /// # Errors
    /// When the connection broke. A server that does not tell its identity is taken for the current one, and so
    /// are tables that are not there yet.
    pub(crate) async fn identify(&self, client: &Client) -> Result<(), Error> {
        let sql = format!("SELECT system_identifier, {TIMELINE} FROM pg_control_system()");
        let server = match client.query_one(&sql, &[]).await {
            Ok(row) => Some((row.try_get(0)?, row.try_get(1)?)),
            Err(error) if client.is_closed() => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "the server does not tell its identity");
                None
            }
        };
        self.observe(server, None);
        match self.identify_tables(client).await {
            Err(error) if client.is_closed() => Err(error),
            _ => Ok(()),
        }
    }

    /// Asks for the identity of the tables.
    ///
    /// # Errors
    /// When they are not there, or cannot be read.
    pub(crate) async fn identify_tables(&self, client: &Client) -> Result<(), Error> {
        let row = client.query_one(TABLES, &[]).await?;
        self.observe_tables(&[row]);
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
        if self.current().server.is_some_and(|current| current.0 == system && current.1 < timeline) {
            self.observe(Some((system, timeline)), None);
        }
    }

    /// Of several servers that take writes, the index of the one on the latest timeline.
    pub(crate) fn primary(&self) -> Option<usize> {
        let primaries = self.primaries.lock().unwrap_or_else(PoisonError::into_inner);
        primaries.iter().max_by_key(|(_, (_, timeline))| *timeline).map(|(host, _)| *host)
    }

    /// Notes the tables' identity, in the rows of [`TABLES`].
    pub(crate) fn observe_tables(&self, rows: &[Row]) {
        let tables = |row: &Row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?));
        if let Some(tables) = rows.first().and_then(tables) {
            self.observe(None, Some(tables));
        }
    }

    /// Notes what connections lead to, as far as it is known.
    pub(crate) fn observe(&self, server: Option<ServerIdentity>, tables: Option<TablesIdentity>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *current;
        current.server = server.or(before.server);
        current.tables = tables.or(before.tables);
        if (current.server, current.tables) == (before.server, before.tables) {
            return;
        }
        // What was told for the first time may be what it was all the time; but once lineages are made of it,
        // it counts.
        let told = before.server.is_some() && current.server != before.server;
        let other = told || before.tables.is_some();
        if other {
            let ((system, timeline), (was_system, was_timeline)) =
                (current.server.unwrap_or_default(), before.server.unwrap_or_default());
            tracing::warn!(
                system,
                timeline,
                was_system,
                was_timeline,
                "PostgreSQL is not the server it was (a fail-over, or a restore): users in memory are reloaded"
            );
            current.since = Some(Instant::now());
        }
        let identity = current.identity();
        self.life.send_modify(|life| *life = StoreLife { epoch: life.epoch + u64::from(other), identity });
    }

    fn current(&self) -> CurrentStore {
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
            failover.observe(Some(identity), None);
            assert_eq!(failover.life().epoch, epoch);
            assert_eq!(failover.is_outdated(before), epoch > 0);
        }
        assert!(!failover.is_outdated(Instant::now()));
    }

    #[test]
    fn whatever_differs_makes_another_store_and_nothing_else_does() {
        let failover = FailoverDetector::default();
        let mut lives = Vec::new();
        let mut observe = |server, id, file| {
            let tables = Some((Uuid::from_u128(id), Some(file)));
            failover.observe(server, tables);
            let life = failover.life();
            failover.observe(server, None);
            failover.observe(None, tables);
            failover.observe(None, None);
            assert_eq!(failover.life(), life);
            let again = FailoverDetector::default();
            again.observe(server, None);
            again.observe(None, tables);
            assert_eq!(again.life(), StoreLife { epoch: 0, ..life }, "the same in another process");
            lives.push(life);
        };
        for (server, id, file) in
            [((1, 1), 1, 1), ((1, 2), 1, 1), ((2, 2), 1, 1), ((2, 2), 2, 1), ((2, 2), 2, 2)]
        {
            observe(Some(server), id, file);
        }
        for (index, life) in lives.iter().enumerate() {
            assert_eq!(life.epoch, index as u64);
            assert!(lives[..index].iter().all(|before| before.identity != life.identity));
        }
    }

    #[test]
    fn a_server_that_tells_its_identity_late_starts_an_epoch() {
        let failover = FailoverDetector::default();
        failover.observe(None, Some((Uuid::nil(), Some(1))));
        let before = failover.life();
        failover.observe(Some((1, 1)), None);
        let after = failover.life();
        assert!(after.epoch == 1 && after.identity != before.identity, "{before:?} {after:?}");
    }

    #[test]
    fn of_several_servers_the_one_on_the_latest_timeline_is_the_primary() {
        let failover = FailoverDetector::default();
        failover.observe(Some((1, 4)), None);
        assert_eq!(failover.primary(), None);
        failover.observe_host(2, Some((1, 4)));
        failover.observe_host(0, Some((1, 3)));
        assert_eq!((failover.primary(), failover.life().epoch), (Some(2), 0));
        failover.observe_host(1, Some((1, 5)));
        assert_eq!(
            (failover.primary(), failover.life().epoch),
            (Some(1), 1),
            "promoted, before any connection led to it"
        );
        failover.observe_host(1, None);
        assert_eq!((failover.primary(), failover.life().epoch), (Some(2), 1));
        failover.observe_host(3, Some((2, 9)));
        assert_eq!(failover.life().epoch, 1, "another system");
    }
}
