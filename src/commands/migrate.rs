//! `tasklane migrate`: brings the store's tables up to date.

use super::open::open;
use crate::app::{AppError, store_runtime};
use crate::config::StoreConfig;

/// Brings the store's tables up to date, which opening a store does.
///
/// # Errors
/// [`AppError`] when the store cannot be opened or migrated.
pub fn migrate(config: &StoreConfig) -> Result<(), AppError> {
    let runtime = store_runtime()?;
    let store = runtime.block_on(open(config, "DATABASE_URL", &config.database_url, &runtime))?;
    runtime.block_on(store.close());
    println!("The tables of the {:?} are up to date.", config.database_url);
    Ok(())
}
