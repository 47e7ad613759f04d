//! `tasklane copy`: moves all users from one store to another.

use std::path::Path;
use std::time::Instant;

use tokio::runtime::Runtime;

use super::open::open;
use super::progress::{bar, show};
use crate::app::{AppError, named_by, store_runtime};
use crate::config::{StoreConfig, StoreUrl};
use crate::store::copy::{Copied, CopyStep, Transfer, copy as copy_users};

/// Copies every user of the store `from` to the store `to`, and proves that they arrived.
///
/// # Errors
/// [`AppError`] when one of the two cannot be used, `to` holds other data of a user, or the two differ in the end.
pub fn copy(config: &StoreConfig, from: &str, to: &str) -> Result<(), AppError> {
    let from = StoreUrl::parse(from).map_err(|error| error.of("--from"))?;
    let to = StoreUrl::parse(to).map_err(|error| error.of("--to"))?;
    check_urls(&from, &to)?;
    let runtime = store_runtime()?;
    let began = Instant::now();
    let copied = runtime.block_on(async {
        let source = open(config, "--from", &from, &runtime).await?;
        let copied = copy_from(config, &*source, &to, &runtime).await;
        source.close().await;
        copied
    })?;
    let Copied { users, there, others, tasks, tombstones, keys } = copied;
    print!(
        "from        {from:?}\nto          {to:?}\nusers       {users}, {there} of them there before\n\
         others      {others}, only in the target, left as they are\ntasks       {tasks}\n\
         deletions   {tombstones}\nkeys        {keys}\ntime        {:.1} s\n\
         All of it was read back from both stores and is the same.\n",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn copy_from(
    config: &StoreConfig,
    source: &dyn Transfer,
    to: &StoreUrl,
    runtime: &Runtime,
) -> Result<Copied, AppError> {
    source.alone().await.map_err(named_by("--from"))?;
    if source.count_users().await? == 0 {
        let why = "--from holds no users: there is nothing to copy. Is it the right store?";
        return Err(AppError::System(why.into()));
    }
    let target = open(config, "--to", to, runtime).await?;
    target.alone().await.map_err(named_by("--to"))?;
    let bar = bar("comparing", "users");
    let report = |step: CopyStep, done, total| {
        bar.set_message(step.to_string());
        show(&bar, done, total);
    };
    let copied = copy_users(source, &*target, report).await;
    target.close().await;
    bar.finish_and_clear();
    copied.map_err(|error| AppError::System(error.to_string()))
}

/// Refuses what would otherwise fail late, or create a file that nobody wants.
fn check_urls(from: &StoreUrl, to: &StoreUrl) -> Result<(), AppError> {
    let same = |one: &Path, other: &Path| {
        one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
    };
    let why = match (from, to) {
        (StoreUrl::Sqlite(path), _) if !path.is_file() => {
            format!("--from: there is no file {}", path.display())
        }
        (StoreUrl::Sqlite(from), StoreUrl::Sqlite(to)) if same(from, to) => {
            "--from and --to are the same file".to_owned()
        }
        (StoreUrl::Postgres(from), StoreUrl::Postgres(to)) if from == to => {
            "--from and --to are the same database".to_owned()
        }
        _ => return Ok(()),
    };
    Err(AppError::System(why))
}
