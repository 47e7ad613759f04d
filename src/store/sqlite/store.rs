//! The store: which thread does what.
//!
//! SQLite allows only one writer at a time, so one thread writes and one reads, each with a connection of
//! its own. Callers hand them jobs and await the result. In WAL mode neither waits for the other.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;

use super::commit::{group, large};
use super::open::{self, Opened};
use super::worker::{Lost, Worker};
use super::{read, retention};
use crate::domain::{Seq, StoreIdentity, Timestamp, UserId};
use crate::store::retention::repeat;
use crate::store::{Batch, Outcome, PoolState, Recalled, Store, StoreError, StoreLife, StoredUser};

/// A [`Store`] in a SQLite file.
///
/// A call ends when the local disk has answered: the only time-out is the one for other programs' locks.
pub struct SqliteStore {
    pub(super) writer: Arc<Worker>,
    pub(super) reader: Worker,
    identity: StoreIdentity,
    /// Held while the store is open. The system releases it when the process ends, even if it is killed.
    lock: Mutex<Option<File>>,
}

impl SqliteStore {
    /// Opens the file at `path`, creating it and its folder if missing, and migrates it. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// [`StoreError`] when another process has the file open, or it cannot be created, read or migrated.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let Opened { writer, reader, identity, lock } = open::open(path)?;
        let threads = |error| StoreError(format!("SQLite: cannot start its thread: {error}"));
        Ok(Self {
            writer: Arc::new(Worker::start("sqlite-writer", writer).map_err(threads)?),
            reader: Worker::start("sqlite-reader", reader).map_err(threads)?,
            identity,
            lock: Mutex::new(Some(lock)),
        })
    }
}

impl SqliteStore {
    /// Commits batches in one transaction.
    async fn commit_group(&self, batches: Vec<Arc<Batch>>) -> Vec<Outcome> {
        let count = batches.len();
        match self.writer.run(move |connection| group::commit(connection, &batches)).await {
            Ok(outcomes) => outcomes,
            Err(lost @ Lost::NeverRan) => vec![Outcome::Unavailable(format!("SQLite: {lost}")); count],
            Err(lost @ Lost::NoAnswer) => vec![Outcome::Unknown(format!("SQLite: {lost}")); count],
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self, user: UserId) -> Result<Option<StoredUser>, StoreError> {
        self.reader.query(move |connection| read::load(connection, user)).await
    }

    async fn seqs(&self, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError> {
        let users = users.to_vec();
        self.reader.query(move |connection| read::seqs(connection, &users)).await
    }

    async fn commit(&self, batches: &[Arc<Batch>]) -> Vec<Outcome> {
        if !batches.iter().any(|batch| large::is_sliced(batch)) {
            return self.commit_group(batches.to_vec()).await;
        }
        let usual: Vec<_> = batches.iter().filter(|batch| !large::is_sliced(batch)).cloned().collect();
        let usual = if usual.is_empty() { Vec::new() } else { self.commit_group(usual).await };
        let mut usual = usual.into_iter();
        let mut outcomes = Vec::with_capacity(batches.len());
        for batch in batches {
            if large::is_sliced(batch) {
                outcomes.push(large::commit(&self.writer, batch).await);
            } else {
                outcomes.extend(usual.next());
            }
        }
        outcomes
    }

    fn life(&self) -> StoreLife {
        StoreLife { epoch: 0, identity: self.identity }
    }

    async fn recall(&self, user: UserId, key: &str) -> Result<Recalled, StoreError> {
        let key = key.to_owned();
        self.reader.query(move |connection| read::recall(connection, user, &key)).await
    }

    async fn purge(&self, tombstones: Timestamp, keys: Timestamp) -> Result<u64, StoreError> {
        // One job for each step, so that commits run in between.
        let old_tombstones =
            || self.writer.query(move |connection| retention::tombstones(connection, tombstones));
        let old_keys = || self.writer.query(move |connection| retention::keys(connection, keys));
        let purged = repeat(old_tombstones).await? + repeat(old_keys).await?;
        self.writer.query(retention::empty_log).await?;
        Ok(purged)
    }

    async fn forget(&self, user: UserId, before: Seq) -> Result<u64, StoreError> {
        let move_horizon =
            move |connection: &mut Connection| retention::move_horizon(connection, user, before);
        self.writer.query(move_horizon).await?;
        repeat(|| self.writer.query(move |connection| retention::forget(connection, user, before))).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1)";
        self.reader.query(move |connection| connection.query_row(sql, [], |_| Ok(()))).await
    }

    fn pool(&self) -> PoolState {
        let workers = [&*self.writer, &self.reader];
        PoolState {
            size: workers.len(),
            idle: workers.iter().filter(|worker| !worker.busy()).count(),
            waiting: workers.iter().map(|worker| worker.waiting()).sum(),
        }
    }

    async fn close(&self) {
        self.reader.stop();
        // Copies the write-ahead log into the file, so that the file alone is the whole database.
        let checkpoint = |connection: &mut Connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        };
        match self.writer.run(checkpoint).await {
            Ok(Ok(0)) | Err(Lost::NeverRan) => {}
            Ok(Ok(_)) => tracing::warn!("SQLite: another program reads the file; its write-ahead log stays"),
            Ok(Err(error)) => tracing::warn!(%error, "SQLite: the write-ahead log stays"),
            Err(lost) => tracing::warn!(%lost, "SQLite: the write-ahead log stays"),
        }
        self.writer.stop();
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
