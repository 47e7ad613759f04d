//! The store: which thread does what.
//!
//! SQLite has one writer at a time anyway, so one thread writes and one reads, each with a connection
//! of its own; callers hand them work and await the answer. In WAL mode neither waits for the other.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;

use super::open::{self, Opened};
use super::worker::{Lost, Worker};
use super::{commit, read, retention};
use crate::domain::{Seq, Timestamp, UserId};
use crate::store::{Batch, Outcome, PoolState, Recalled, Store, StoreError, StoredUser};

/// A [`Store`] in a SQLite file.
///
/// A call ends when the local disk has answered: there is no time-out beyond the one for foreign locks.
pub struct SqliteStore {
    pub(super) writer: Worker,
    pub(super) reader: Worker,
    /// Held while the store is open; the system gives it back when the process ends, however it ends.
    lock: Mutex<Option<File>>,
}

impl SqliteStore {
    /// Opens the file at `path`, making it and its folder where missing, and brings its tables up to
    /// date. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError`] when another process has it open, or when it cannot be made, read or migrated.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let Opened { writer, reader, lock } = open::open(path)?;
        let threads = |error| StoreError(format!("SQLite: cannot start its thread: {error}"));
        Ok(Self {
            writer: Worker::start("sqlite-writer", writer).map_err(threads)?,
            reader: Worker::start("sqlite-reader", reader).map_err(threads)?,
            lock: Mutex::new(Some(lock)),
        })
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        answer(self.reader.run(work).await)
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        answer(self.writer.run(work).await)
    }

    /// Repeats a part of a purge, other work between, until nothing is left for it.
    async fn purge_all(
        &self,
        part: fn(&mut Connection, Timestamp) -> rusqlite::Result<u64>,
        before: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            let now = self.write(move |connection| part(connection, before)).await?;
            gone += now;
            if now < u64::from(retention::CHUNK) {
                return Ok(gone);
            }
        }
    }
}

fn answer<T>(answer: Result<rusqlite::Result<T>, Lost>) -> Result<T, StoreError> {
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(StoreError(format!("SQLite: {error}"))),
        Err(lost) => Err(StoreError(format!("SQLite: {lost}"))),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self, user: UserId) -> Result<Option<StoredUser>, StoreError> {
        self.read(move |connection| read::load(connection, user)).await
    }

    async fn seqs(&self, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError> {
        let users = users.to_vec();
        self.read(move |connection| read::seqs(connection, &users)).await
    }

    async fn commit(&self, batches: &[Arc<Batch>]) -> Vec<Outcome> {
        let count = batches.len();
        let batches = batches.to_vec();
        match self.writer.run(move |connection| commit::commit(connection, &batches)).await {
            Ok(outcomes) => outcomes,
            Err(lost @ Lost::NeverRan) => vec![Outcome::Unavailable(format!("SQLite: {lost}")); count],
            Err(lost @ Lost::NoAnswer) => vec![Outcome::Unknown(format!("SQLite: {lost}")); count],
        }
    }

    async fn recall(&self, user: UserId, key: &str) -> Result<Recalled, StoreError> {
        let key = key.to_owned();
        self.read(move |connection| read::recall(connection, user, &key)).await
    }

    async fn purge(&self, tombstones: Timestamp, keys: Timestamp) -> Result<u64, StoreError> {
        let gone = self.purge_all(retention::tombstones, tombstones).await?
            + self.purge_all(retention::keys, keys).await?;
        Ok(gone)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|connection| {
            connection.query_row("SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1)", [], |_| Ok(()))
        })
        .await
    }

    fn pool(&self) -> PoolState {
        let workers = [&self.writer, &self.reader];
        PoolState {
            size: workers.len(),
            idle: workers.iter().filter(|worker| !worker.busy()).count(),
            waiting: workers.iter().map(|worker| worker.waiting()).sum(),
        }
    }

    async fn close(&self) {
        self.reader.stop();
        // The write-ahead log goes into the file, so that the file alone is the whole database.
        let checkpoint = |connection: &mut Connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        };
        match self.writer.run(checkpoint).await {
            Ok(Ok(0)) | Err(Lost::NeverRan) => {}
            Ok(Ok(_)) => tracing::warn!("SQLite: another tool reads the file; its write-ahead log stays"),
            Ok(Err(error)) => tracing::warn!(%error, "SQLite: the write-ahead log stays"),
            Err(lost) => tracing::warn!(%lost, "SQLite: the write-ahead log stays"),
        }
        self.writer.stop();
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
