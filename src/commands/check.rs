//! `tasklane check`: looks whether the store keeps every rule the service relies on.

use super::open::open;
use super::progress::{bar, show};
use crate::app::{AppError, store_runtime};
use crate::config::{StoreConfig, StoreUrl};
use crate::store::check::{Findings, audit};

/// Faults that are printed; more are only counted.
const SHOWN: usize = 50;

/// Looks at every user's rows, and prints what it found.
///
/// # Errors
/// [`AppError`] when the store cannot be asked, or is not sound.
pub fn check(config: &StoreConfig) -> Result<(), AppError> {
    let runtime = store_runtime()?;
    let bar = bar("looking", "users");
    let found = runtime.block_on(async {
        let store = open(config, "DATABASE_URL", &config.database_url, &runtime).await?;
        let found = audit(&*store, |done, total| show(&bar, done, total)).await;
        store.close().await;
        Ok::<_, AppError>(found?)
    })?;
    bar.finish_and_clear();
    print!("{}", table(&config.database_url, &found));
    let faults = match found.faults.len() {
        0 => return Ok(()),
        1 => "1 fault".to_owned(),
        many => format!("{many} faults"),
    };
    Err(AppError::System(format!("the store is not sound: {faults}; docs/backup.md says what to do")))
}

fn table(store: &StoreUrl, found: &Findings) -> String {
    let mut text = format!(
        "store       {:?}\nschema      version {}\nusers       {}\ntasks       {}\ndeletions   {}\nfaults      {}\n",
        store,
        found.schema_version,
        found.users,
        found.tasks,
        found.tombstones,
        found.faults.len()
    );
    for fault in found.faults.iter().take(SHOWN) {
        text.push_str("  - ");
        text.push_str(fault);
        text.push('\n');
    }
    if found.faults.len() > SHOWN {
        text.push_str("  - …\n");
    }
    text
}
