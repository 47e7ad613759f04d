//! `tasklane backup`: copies the SQLite file while a service writes to it.

use std::path::Path;

use crate::app::AppError;
use crate::config::StoreUrl;
use crate::store::sqlite;

/// Copies the SQLite file.
///
/// # Errors
/// [`AppError`] when the store is not in SQLite, or one of the two files cannot be used.
pub fn backup(from: &StoreUrl, file: &Path) -> Result<(), AppError> {
    let StoreUrl::Sqlite(from) = from else {
        let remedy =
            "DATABASE_URL names a PostgreSQL database: back it up with its own `pg_dump --format=custom`";
        return Err(AppError::System(remedy.into()));
    };
    let bytes = sqlite::backup(from, file)?;
    println!("{} holds the whole store as of now: {bytes} bytes.", file.display());
    Ok(())
}
