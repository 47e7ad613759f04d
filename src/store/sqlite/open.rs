//! Opens the file, or says in one sentence what is wrong with it and what to do.
//!
//! Nothing in a file is changed before it is known to be ours. A new one is made under another name and renamed once
//! it is whole: whenever the first start is killed, the next one finds a store or none, never the beginnings of one.

use std::fmt::Display;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use crate::store::StoreError;

mod migrations {
    refinery::embed_migrations!("migrations/sqlite");
}

/// How long a statement waits for a lock of a foreign tool (a backup, the command-line shell).
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What to do about a file that cannot be used as it is.
const RESTORE: &str = "move it away with what is beside it, and put a backup in its place (docs/backup.md)";

/// KiB of pages that each of the two connections keeps at the most.
const PAGE_CACHE: i64 = 16 * 1024;

/// Pages of the write-ahead log after which it is copied into the file: 32 MiB.
const CHECKPOINT: i64 = 8 * 1024;

/// The file, opened.
pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) reader: Connection,
    /// The system gives it back when the process ends, however it ends.
    pub(super) lock: File,
}

/// Opens the file at `path`, making it and its folder where missing, and brings its tables up to date.
///
/// # Errors
/// [`StoreError`] when another process has it open, or when it cannot be made, read or migrated.
pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| failed(path, "cannot make its folder", error))?;
    // Two names of one file (a link) must meet at one lock, and a link may be there before its file.
    let target = path.canonicalize().or_else(|_| path.read_link().map(|target| folder.join(target)));
    let path = &target.unwrap_or_else(|_| path.to_owned());
    let lock = take_lock(path)?;
    match fs::metadata(path) {
        Ok(found) if found.len() == 0 => {
            return Err(failed(path, "it is empty, and never was before", RESTORE));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make(path)?,
        // What else is wrong shows below.
        _ => {}
    }
    let mut writer = connect(path)?;
    migrate(path, &mut writer)?;
    let reader = connect(path)?;
    let usable = |error| trouble(path, &error);
    reader.pragma_update(None, "query_only", true).map_err(usable)?;
    for connection in [&writer, &reader] {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(usable)?;
    }
    Ok(Opened { writer, reader, lock })
}

fn failed(path: &Path, what: &str, why: impl Display) -> StoreError {
    StoreError(format!("SQLite file {}: {what}: {why}", path.display()))
}

/// A sentence on what SQLite says of the file.
fn trouble(path: &Path, error: &rusqlite::Error) -> StoreError {
    let remedy = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => RESTORE,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "end the program that has it open first",
        Some(ErrorCode::DiskFull) => "make room on its disk",
        _ => "look whether it and its folder may be written to, and whether its disk has room",
    };
    failed(path, "cannot be used", format_args!("{error}; {remedy}"))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Makes a new file, with all tables, as one step.
fn make(path: &Path) -> Result<(), StoreError> {
    let log = beside(path, "-wal");
    if log.exists() {
        // SQLite would write the log of the one that is missing into the new one.
        let why = format!(
            "its write-ahead log {} is still there; put both back, or move the log away",
            log.display()
        );
        return Err(failed(path, "it is missing", why));
    }
    let new = beside(path, ".new");
    for remnant in [new.clone(), beside(&new, "-journal")] {
        match fs::remove_file(&remnant) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed(path, "cannot be made", error));
            }
            _ => {}
        }
    }
    let mut connection = Connection::open(&new).map_err(|error| trouble(&new, &error))?;
    migrate(&new, &mut connection)?;
    connection.close().map_err(|(_, error)| trouble(&new, &error))?;
    let renamed = fs::rename(&new, path).and_then(|()| File::open(path.parent().unwrap_or(path))?.sync_all());
    renamed.map_err(|error| failed(path, "cannot be made", error))
}

fn migrate(path: &Path, connection: &mut Connection) -> Result<(), StoreError> {
    // Grouped: else refinery commits a migration before the note that it was applied, and a process killed
    // between the two leaves a file that no start can open.
    let migrated = migrations::migrations::runner().set_grouped(true).run(connection);
    migrated.map(drop).map_err(|error| {
        // Its other lines are the statement.
        let error = error.to_string();
        failed(path, "cannot bring its tables up to date", error.lines().next().unwrap_or_default())
    })
}

/// Opens one connection, set so that what is committed survives a power loss.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let opened = Connection::open(path).and_then(|connection| {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Closing it writes nothing into a file that turns out to be unusable.
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
        // NORMAL would lose the newest commits at a power loss.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Without these two macOS acknowledges before the disk has written; elsewhere they do nothing.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // SQLite's own 2 MiB and 1,000 pages make a busy writer read pages anew and copy them from the log
        // every few commits. A negative size is in KiB.
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

/// Takes the lock that keeps a second process out: its commits would pass this one's cache by. The
/// lock file holds the owner's process id, for the message.
fn take_lock(path: &Path) -> Result<File, StoreError> {
    let name = beside(path, ".lock");
    let failed = |error: io::Error| StoreError(format!("lock file {}: {error}", name.display()));
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
