//! Copies what the file holds as of one instant, while a service may be writing to it.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::open::{BUSY_TIMEOUT, beside, folder_of, forget_identity};
use crate::private_file;
use crate::store::StoreError;

/// Copies the database at `from` to a new file `to`, and checks the copy. Returns the copy's size in bytes.
/// Blocks on the disk.
///
/// The copy shows one instant, a service may keep writing to the file, and nothing of deleted rows goes with it.
/// `to` appears only once it is complete. It is a store of its own: each time it is put in place, users' lineages are
/// others.
///
/// # Errors
/// [`StoreError`] when `to` exists already, or either file cannot be used. Then no new `to` is left behind.
pub fn backup(from: &Path, to: &Path) -> Result<u64, StoreError> {
    let partial = beside(to, ".partial");
    let copied = copy(from, to, &partial);
    if copied.is_err() {
        let _ = fs::remove_file(&partial);
    }
    copied.map_err(|error| StoreError(format!("backup of {} to {}: {error}", from.display(), to.display())))
}

fn copy(from: &Path, to: &Path, partial: &Path) -> Result<u64, Box<dyn Error>> {
    if fs::symlink_metadata(to).is_ok() {
        return Err("the target is there already; name a new file".into());
    }
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    source.busy_timeout(BUSY_TIMEOUT)?;
    source.query_row("SELECT count(*) FROM users WHERE seq < 0", [], |_| Ok(()))?;
    private_file::remove(partial)?;
    // SQLite writes into a file that is there, if it is empty.
    private_file::create(partial)?;
    source.execute("VACUUM INTO ?1", [partial.to_str().ok_or("the target's name is not UTF-8")?])?;
    let target = Connection::open(partial)?;
    // A file of an earlier version has no identity yet.
    if target.table_exists(None, "store_identity")? {
        forget_identity(&target)?;
    }
    let verdict: String = target.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(format!("the copy is damaged, and so is the original: {verdict}").into());
    }
    // One file, without a log beside it.
    target.pragma_update(None, "journal_mode", "delete")?;
    target.close().map_err(|(_, error)| error)?;
    let file = File::open(partial)?;
    file.sync_all()?;
    // Unlike a rename, a link never replaces a file that was created meanwhile.
    fs::hard_link(partial, to)?;
    fs::remove_file(partial)?;
    File::open(folder_of(to))?.sync_all()?;
    Ok(file.metadata()?.len())
}
