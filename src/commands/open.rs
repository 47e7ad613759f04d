//! Opens a store for a command.

use tokio::runtime::Runtime;

use crate::app::{AppError, named_by};
use crate::config::{StoreConfig, StoreUrl};
use crate::store::copy::Transfer;
use crate::store::postgres::{PostgresOptions, PostgresStore};
use crate::store::sqlite::SqliteStore;

/// Opens the store at `url`, which `setting` names. Its statements may take long.
pub(super) async fn open(
    config: &StoreConfig,
    setting: &str,
    url: &StoreUrl,
    runtime: &Runtime,
) -> Result<Box<dyn Transfer>, AppError> {
    let named = named_by(setting);
    Ok(match url {
        StoreUrl::Sqlite(path) => Box::new(SqliteStore::open(path).map_err(named)?),
        StoreUrl::Postgres(url) => {
            let options = PostgresOptions::configured(url, config).patient();
            let store = PostgresStore::connect(options, runtime.handle().clone()).await;
            Box::new(store.map_err(named)?)
        }
    })
}
