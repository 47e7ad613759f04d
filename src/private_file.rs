//! Files that only their owner may read: those of the SQLite store, its backups, a developer's secret.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// What group and others may do with a file.
const OF_OTHERS: u32 = 0o077;

/// Makes a folder, and those above it, that only their owner may enter. One that exists stays as it is.
///
/// # Errors
/// The system's.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Creates a file, to be written. It never follows a link, not even one that leads nowhere.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] when the name is taken, and the system's.
pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Opens a file to be read and written, creating it if missing. A link is refused.
///
/// # Errors
/// When the name is that of a link, or of anything but a file, and the system's.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    match create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        created => return created,
    }
    let named = fs::symlink_metadata(path)?;
    if !named.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is a link or no file: remove it"));
    }
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let opened = file.metadata()?;
    // A link may have taken its place meanwhile.
    if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it was replaced while it was opened"));
    }
    Ok(file)
}

/// Removes what has this name; a link, not what it leads to.
///
/// # Errors
/// The system's; none where there is nothing.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Takes a file's permissions from everybody but its owner. Nothing happens where there is no file.
///
/// # Errors
/// When it belongs to somebody else, say.
pub fn tighten(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.mode() & OF_OTHERS != 0 => {
            fs::set_permissions(path, Permissions::from_mode(found.mode() & 0o700))?;
            tracing::info!(file = %path.display(), "others may not read this file any more");
            Ok(())
        }
        _ => Ok(()),
    }
}
