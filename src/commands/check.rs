//! `tasklane check`: checks the store against every rule the service relies on.

use super::open::open;
use super::progress::{bar, show};
use crate::app::{AppError, store_runtime};
use crate::config::StoreConfig;
use crate::store::check::{Findings, audit};

/// Maximum number of faults that are printed; further ones are only counted.
const SHOWN: usize = 50;

/// Checks every user's rows, and prints the result.
///
/// # Errors
/// [`AppError`] when the store cannot be read, or has faults.
pub fn check(config: &StoreConfig) -> Result<(), AppError> {
    let runtime = store_runtime()?;
    let bar = bar("checking", "users");
    let found = runtime.block_on(async {
        let store = open(config, "DATABASE_URL", &config.database_url, &runtime).await?;
        let found = audit(&*store, |done, total| show(&bar, done, total)).await;
        store.close().await;
        Ok::<_, AppError>(found?)
    })?;
    bar.finish_and_clear();
    let Findings { schema_version, users, tasks, tombstones, faults } = found;
    println!("store       {:?}", config.database_url);
    println!("schema      version {schema_version}");
    println!("users       {users}");
    println!("tasks       {tasks}");
    println!("deletions   {tombstones}");
    println!("faults      {}", faults.len());
    for fault in faults.iter().take(SHOWN) {
        println!("  - {fault}");
    }
    if faults.len() > SHOWN {
        println!("  - …");
    }
    let faults = match faults.len() {
        0 => return Ok(()),
        1 => "1 fault".to_owned(),
        many => format!("{many} faults"),
    };
    Err(AppError::System(format!("the store is not sound: {faults}; docs/backup.md says what to do")))
}
