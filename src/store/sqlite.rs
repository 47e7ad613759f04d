//! The store in one SQLite file: nothing to install, durable, one process at a time.
//!
//! SQLite has one writer at a time anyway, so one thread writes and one reads, each with a connection
//! of its own; callers hand them work and await the answer. In WAL mode neither waits for the other.

use std::error::Error;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;

use super::{Batch, Outcome, PoolState, Recalled, Store, StoreError, StoredUser};
use crate::domain::{Timestamp, UserId};
pub use backup::backup;
use worker::{Lost, Worker};

mod audit;
mod backup;
mod commit;
mod purge;
mod read;
mod transfer;
mod worker;

mod migrations {
    refinery::embed_migrations!("migrations/sqlite");
}

/// Jobs that may wait for a thread; further callers wait for a place in the queue. Lanes load and
/// commit in groups, so that few jobs ever wait.
const QUEUE: usize = 64;

/// How long a statement waits for a lock of a foreign tool (a backup, the command-line shell).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// KiB of pages that each of the two connections keeps at the most.
const PAGE_CACHE: i64 = 16 * 1024;

/// Pages of the write-ahead log after which it is copied into the file: 32 MiB.
const CHECKPOINT: i64 = 8 * 1024;

/// A [`Store`] in a SQLite file.
///
/// A call ends when the local disk has answered: there is no time-out beyond the one for foreign locks.
pub struct SqliteStore {
    writer: Worker,
    reader: Worker,
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
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            StoreError(format!("SQLite file {}: {what}: {error}", path.display()))
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|error| failed("cannot make its folder", &error))?;
        }
        // Two names of one file (a link) must meet at one lock.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let lock = take_lock(&path)?;
        let mut writer = connect(&path).map_err(|error| failed("cannot be opened", &error))?;
        // Grouped: else refinery commits a migration before the note that it was applied, and a process killed
        // between the two leaves a file that no start can open.
        migrations::migrations::runner()
            .set_grouped(true)
            .run(&mut writer)
            .map_err(|error| failed("cannot bring its tables up to date", &error))?;
        let reader = connect(&path).map_err(|error| failed("cannot be opened", &error))?;
        reader.pragma_update(None, "query_only", true).map_err(|error| failed("cannot be opened", &error))?;
        let threads = |error| failed("cannot start its thread", &error);
        Ok(Self {
            writer: Worker::start("sqlite-writer", writer, QUEUE).map_err(threads)?,
            reader: Worker::start("sqlite-reader", reader, QUEUE).map_err(threads)?,
            lock: Mutex::new(Some(lock)),
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        answer(self.reader.run(work).await)
    }

    /// Repeats a part of a purge, other work between, until nothing is left for it.
    async fn purge_all(
        &self,
        part: fn(&mut Connection, Timestamp) -> rusqlite::Result<u64>,
        before: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            let now = answer(self.writer.run(move |connection| part(connection, before)).await)?;
            gone += now;
            if now < u64::from(purge::CHUNK) {
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
        let gone =
            self.purge_all(purge::tombstones, tombstones).await? + self.purge_all(purge::keys, keys).await?;
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

/// Opens one connection, set so that what is committed survives a power loss.
fn connect(path: &Path) -> Result<Connection, Box<dyn Error>> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(32);
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(format!("its file system allows no write-ahead log (journal mode {mode})").into());
    }
    // NORMAL would lose the newest commits at a power loss.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Without these two macOS acknowledges before the disk has written; elsewhere they do nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // SQLite's own 2 MiB and 1,000 pages make a busy writer read pages anew and copy them from the log every
    // few commits. A negative size is in KiB.
    connection.pragma_update(None, "cache_size", -PAGE_CACHE)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
    Ok(connection)
}

/// Takes the lock that keeps a second process out: its commits would pass this one's cache by. The
/// lock file holds the owner's process id, for the message.
fn take_lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let failed = |error: std::io::Error| StoreError(format!("lock file {}: {error}", name.display()));
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(failed)?;
            write!(file, "{}", std::process::id()).map_err(failed)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let known = file.read_to_string(&mut owner).is_ok() && !owner.is_empty();
            let owner = if known { format!("process {owner}") } else { "another process".to_owned() };
            Err(StoreError(format!(
                "SQLite file {} is in use by {owner}: stop it first, or use another file \
                 (several processes can share a PostgreSQL database)",
                path.display()
            )))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests;
