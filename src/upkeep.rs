//! The commands of whoever keeps a store: a backup of it, and a look whether it is sound.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Runtime;

use crate::app::{AppError, named_by, postgres_options, store_runtime};
use crate::config::{Config, StoreUrl};
use crate::store::check::{Findings, audit};
use crate::store::copy::Transfer;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::{SqliteStore, backup as copy};

/// Faults that are printed; more are only counted.
const SHOWN: usize = 50;

/// `tasklane backup`: copies the SQLite file.
///
/// # Errors
/// [`AppError`] when the store is not in SQLite, or one of the two files cannot be used.
pub fn backup(config: &Config, file: &Path) -> Result<(), AppError> {
    let StoreUrl::Sqlite(from) = &config.store else {
        let remedy =
            "DATABASE_URL names a PostgreSQL database: back it up with its own `pg_dump --format=custom`";
        return Err(AppError::System(remedy.into()));
    };
    let bar = bar("copying", "pages");
    let bytes = copy(from, file, |done, total| show(&bar, done, total))?;
    bar.finish_and_clear();
    println!("{} holds the whole store as of now: {bytes} bytes.", file.display());
    Ok(())
}

/// `tasklane check`: looks at every user's rows, and prints what it found.
///
/// # Errors
/// [`AppError`] when the store cannot be asked, or is not sound.
pub fn check(config: &Config) -> Result<(), AppError> {
    let runtime = store_runtime()?;
    let bar = bar("looking", "users");
    let found = runtime.block_on(async {
        let store = open(config, "DATABASE_URL", &config.store, &runtime).await?;
        let found = audit(&*store, |done, total| show(&bar, done, total)).await;
        store.close().await;
        Ok::<_, AppError>(found?)
    })?;
    bar.finish_and_clear();
    print!("{}", table(config, &found));
    let faults = match found.faults.len() {
        0 => return Ok(()),
        1 => "1 fault".to_owned(),
        many => format!("{many} faults"),
    };
    Err(AppError::System(format!("the store is not sound: {faults}; docs/backup.md says what to do")))
}

/// Opens the store that `setting` names, with patience.
pub(crate) async fn open(
    config: &Config,
    setting: &str,
    url: &StoreUrl,
    runtime: &Runtime,
) -> Result<Box<dyn Transfer>, AppError> {
    let named = named_by(setting);
    Ok(match url {
        StoreUrl::Sqlite(path) => Box::new(SqliteStore::open(path).map_err(named)?),
        StoreUrl::Postgres(url) => {
            let options = postgres_options(config, url).patient();
            let store = PostgresStore::connect(options, runtime.handle().clone()).await;
            Box::new(store.map_err(named)?)
        }
    })
}

fn table(config: &Config, found: &Findings) -> String {
    let mut text = format!(
        "store       {:?}\nschema      version {}\nusers       {}\ntasks       {}\ndeletions   {}\nfaults      {}\n",
        config.store,
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

/// A bar on stderr; nothing at all where that is no terminal.
pub(crate) fn bar(verb: &'static str, unit: &str) -> ProgressBar {
    let form = format!("{{msg}} {{wide_bar}} {{pos}}/{{len}} {unit}, {{eta}} left");
    let style = ProgressStyle::with_template(&form).expect("the form is a good one");
    let bar = ProgressBar::new(0).with_style(style).with_message(verb);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

pub(crate) fn show(bar: &ProgressBar, done: u64, total: u64) {
    bar.set_length(total);
    bar.set_position(done);
}
