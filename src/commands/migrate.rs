//! `tasklane migrate`: brings the store's tables up to date.

use crate::app::{AppError, open_store, store_runtime};
use crate::config::StoreConfig;

/// Brings the store's tables up to date.
///
/// # Errors
/// [`AppError`] when the store cannot be opened or migrated.
pub fn migrate(config: &StoreConfig) -> Result<(), AppError> {
    let runtime = store_runtime()?;
    runtime.block_on(async {
        let store = open_store(config, &runtime).await?;
        store.close().await;
        Ok::<_, AppError>(())
    })?;
    println!("The tables of the {:?} are up to date.", config.database_url);
    Ok(())
}
