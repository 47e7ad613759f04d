//! Copies the file as of one instant, while a service may be writing to it.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::open::{BUSY_TIMEOUT, beside, folder_of};
use crate::store::StoreError;

/// Pages copied between two reports: a mebibyte.
const STEP: i32 = 256;

/// Pause before a step that met a lock is retried.
const PAUSE: Duration = Duration::from_millis(50);

/// At most this many steps in a row may meet a lock.
const RETRIES: u32 = 200;

/// Copies the database at `from` to a new file `to`, and checks the copy. `report` gets the pages copied
/// and their total. Returns the copy's size in bytes. Blocks on the disk.
///
/// The copy shows the instant at which it began (one read transaction, SQLite's online backup): a service
/// may keep writing to the file. `to` appears only once it is complete.
///
/// # Errors
/// [`StoreError`] when `to` exists already, or either file cannot be used. Then no new `to` is left behind.
pub fn backup(from: &Path, to: &Path, report: impl FnMut(u64, u64)) -> Result<u64, StoreError> {
    let partial = beside(to, ".partial");
    let copied = copy(from, to, &partial, report);
    if copied.is_err() {
        let _ = fs::remove_file(&partial);
    }
    copied.map_err(|error| StoreError(format!("backup of {} to {}: {error}", from.display(), to.display())))
}

fn copy(
    from: &Path,
    to: &Path,
    partial: &Path,
    mut report: impl FnMut(u64, u64),
) -> Result<u64, Box<dyn Error>> {
    if to.try_exists()? {
        return Err("the target is there already; name a new file".into());
    }
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    source.busy_timeout(BUSY_TIMEOUT)?;
    // The first read fixes the instant. Without the transaction every commit would restart the copy.
    source.execute_batch("BEGIN")?;
    source.query_row("SELECT count(*) FROM users WHERE seq < 0", [], |_| Ok(()))?;
    if partial.try_exists()? {
        fs::remove_file(partial)?;
    }
    let mut target = Connection::open(partial)?;
    let steps = Backup::new(&source, &mut target)?;
    let mut locked = 0;
    loop {
        match steps.step(STEP)? {
            StepResult::Done => break,
            StepResult::More => locked = 0,
            _ if locked == RETRIES => return Err("another program keeps the file locked".into()),
            _ => {
                locked += 1;
                sleep(PAUSE);
            }
        }
        let progress = steps.progress();
        let pages = |count: i32| u64::try_from(count).unwrap_or(0);
        report(pages(progress.pagecount - progress.remaining), pages(progress.pagecount));
    }
    drop(steps);
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
