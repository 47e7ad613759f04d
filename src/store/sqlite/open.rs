//! Opens the file, or says in one sentence what is wrong with it and what to do.
//!
//! A file is not changed until it is known to be a Tasklane database. A new file is created under another
//! name and renamed once it is complete: if the first start is killed, the next one finds a store or none,
//! never half of one.

use std::fmt::Display;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::commit::sweep::sweep_leftovers;
use crate::domain::StoreIdentity;
use crate::private_file;
use crate::store::StoreError;

mod migrations {
    refinery::embed_migrations!("migrations/sqlite");
}

/// How long a statement waits for another program's lock (a backup, the command-line shell).
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What to do about a file that cannot be used as it is.
const RESTORE: &str = "move it away with the files beside it, and put a backup in its place (docs/backup.md)";

/// Each of the two connections caches at most this many KiB of pages.
const PAGE_CACHE: i64 = 16 * 1024;

/// Size in pages at which the write-ahead log is copied into the file: 32 MiB.
const CHECKPOINT: i64 = 8 * 1024;

/// The file, opened.
pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) reader: Connection,
    pub(super) identity: StoreIdentity,
    /// The system releases it when the process ends, even if it is killed.
    pub(super) lock: File,
}

/// Opens the file at `path`, creating it and its folder if missing, and migrates it.
///
/// # Errors
/// [`StoreError`] when another process has the file open, or it cannot be created, read or migrated.
pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    let folder = folder_of(path);
    private_file::make_folder(folder).map_err(|error| failed(path, "cannot make its folder", error))?;
    // Two names of one file (a link) must share one lock; a link may exist before its file does.
    let target = path.canonicalize().or_else(|_| path.read_link().map(|target| folder.join(target)));
    let path = &target.unwrap_or_else(|_| path.to_owned());
    if path.is_dir() {
        return Err(failed(path, "it is a folder", "name a file in it"));
    }
    let lock = take_lock(path)?;
    match fs::metadata(path) {
        Ok(found) if found.len() == 0 => {
            return Err(failed(path, "the file is empty; a Tasklane database never is", RESTORE));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make(path)?,
        // Other faults show below.
        _ => {}
    }
    let mut writer = connect(path)?;
    migrate(path, &mut writer)?;
    // Only now is it known to be ours.
    for name in ["", "-wal", "-shm", ".lock"].map(|ending| beside(path, ending)) {
        if let Err(error) = private_file::tighten(&name) {
            let file = name.display();
            tracing::warn!(%error, %file, "others may read this file, and its permissions cannot be changed");
        }
    }
    if let Err(error) = sweep_leftovers(&mut writer) {
        tracing::warn!(%error, "SQLite: what an import or an erasure has left cannot be removed");
    }
    let usable = |error| trouble(path, &error);
    let identity = identify(&writer).map_err(usable)?;
    let reader = connect(path)?;
    reader.pragma_update(None, "query_only", true).map_err(usable)?;
    for connection in [&writer, &reader] {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(usable)?;
    }
    Ok(Opened { writer, reader, identity, lock })
}

/// Makes another store of the one in this file: its identity is made at the next opening.
pub(super) fn forget_identity(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE store_identity SET id = NULL", []).map(drop)
}

/// The store's identity, made now if there is none.
fn identify(connection: &Connection) -> rusqlite::Result<StoreIdentity> {
    connection.execute("UPDATE store_identity SET id = randomblob(16) WHERE id IS NULL", [])?;
    let id = connection.query_row("SELECT id FROM store_identity", [], |row| row.get::<_, [u8; 16]>(0))?;
    Ok(StoreIdentity::of(&[&id]))
}

fn failed(path: &Path, what: &str, why: impl Display) -> StoreError {
    StoreError(format!("SQLite file {}: {what}: {why}", path.display()))
}

/// Turns SQLite's error into a sentence that says what to do.
fn trouble(path: &Path, error: &rusqlite::Error) -> StoreError {
    let remedy = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => RESTORE,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "end the program that has it open first",
        Some(ErrorCode::DiskFull) => "make room on its disk",
        _ => "check that it and its folder are writable, and that its disk has room",
    };
    failed(path, "cannot be used", format_args!("{error}; {remedy}"))
}

/// The folder of a file.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The name of a file beside this one.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Creates a new file with all tables, in one step.
fn make(path: &Path) -> Result<(), StoreError> {
    let log = beside(path, "-wal");
    if log.exists() {
        // SQLite would apply the missing file's log to the new one.
        let why = format!(
            "its write-ahead log {} is still there; put both back, or move the log away",
            log.display()
        );
        return Err(failed(path, "it is missing", why));
    }
    let new = beside(path, ".new");
    for remnant in [new.clone(), beside(&new, "-journal")] {
        private_file::remove(&remnant).map_err(|error| failed(path, "cannot be made", error))?;
    }
    // SQLite gives the log the permissions of the file.
    private_file::create(&new).map_err(|error| failed(path, "cannot be made", error))?;
    let mut connection = Connection::open(&new).map_err(|error| trouble(&new, &error))?;
    migrate(&new, &mut connection)?;
    connection.close().map_err(|(_, error)| trouble(&new, &error))?;
    let renamed = fs::rename(&new, path).and_then(|()| File::open(folder_of(path))?.sync_all());
    renamed.map_err(|error| failed(path, "cannot be made", error))
}

fn migrate(path: &Path, connection: &mut Connection) -> Result<(), StoreError> {
    // Grouped, because otherwise refinery commits a migration before it records it: a process killed
    // between the two would leave a file that no start can open.
    let migrated = migrations::migrations::runner().set_grouped(true).run(connection);
    migrated.map(drop).map_err(|error| {
        // The lines after the first are the statement.
        let error = error.to_string();
        failed(path, "cannot bring its tables up to date", error.lines().next().unwrap_or_default())
    })
}

/// Opens a connection whose commits survive a power loss.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let opened = Connection::open(path).and_then(|connection| {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Closing the connection must not write to a file that turns out to be unusable.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let ours = "SELECT count(*) FROM sqlite_schema WHERE name = 'refinery_schema_history'";
        let ours = connection.query_row(ours, [], |row| row.get::<_, i64>(0))?;
        Ok((connection, ours == 1))
    });
    let (connection, ours) = opened.map_err(|error| trouble(path, &error))?;
    if !ours {
        return Err(failed(path, "it is a database of another program", "use another file"));
    }
    let set = || {
        connection.set_prepared_statement_cache_capacity(32);
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        // NORMAL would lose the newest commits in a power loss.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Without these two, macOS acknowledges before the disk has written; elsewhere they have no effect.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // What is deleted is overwritten, so that neither the file nor a copy of it holds erased texts.
        connection.pragma_update(None, "secure_delete", true)?;
        // With SQLite's defaults (2 MiB, 1,000 pages) a busy writer rereads pages, and copies them from the
        // log, every few commits. A negative size is in KiB.
        connection.pragma_update(None, "cache_size", -PAGE_CACHE)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
        Ok(mode)
    };
    match set() {
        Ok(mode) if mode == "wal" => Ok(connection),
        Ok(mode) => Err(failed(path, "its file system allows no write-ahead log; journal mode", mode)),
        Err(error) => Err(trouble(path, &error)),
    }
}

/// Takes the lock that keeps a second process out, whose commits this one's cache would miss. The lock file
/// holds the owner's process id, for the message.
fn take_lock(path: &Path) -> Result<File, StoreError> {
    let name = beside(path, ".lock");
    let failed = |error: io::Error| StoreError(format!("lock file {}: {error}", name.display()));
    let mut file = private_file::open_or_create(&name).map_err(failed)?;
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
