//! Brings the tables up to date, once however many processes start at the same time.

use std::error::Error;
use std::time::Duration;

use refinery::Migration;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connection::connect::Connector;
use super::connection::error::{Kind, PostgresError};

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

/// The advisory lock of Tasklane's migrations: an arbitrary number, the same in every version.
const LOCK: i64 = 0x7461_736b_6c61_6e65;

/// Pause between two tries at a server that is still starting.
const PAUSE: Duration = Duration::from_millis(300);

/// Migrates the database, trying for `patience` to reach a server that is not up yet. One that loses
/// commits when its machine crashes is taken only where that is allowed.
pub(super) async fn migrate(
    connector: &Connector,
    patience: Duration,
    allow_unsafe: bool,
) -> Result<(), PostgresError> {
    let deadline = Instant::now() + patience;
    let mut told = false;
    loop {
        match migrate_once(connector, allow_unsafe).await {
            // A connection that broke left nothing half done: each migration is one transaction.
            Err(fault)
                if matches!(fault.kind, Kind::NotYet | Kind::Broken) && Instant::now() + PAUSE < deadline =>
            {
                if !told {
                    tracing::info!(reason = %fault, hosts = connector.hosts(), "waiting for PostgreSQL");
                    told = true;
                }
                sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

async fn migrate_once(connector: &Connector, allow_unsafe: bool) -> Result<(), PostgresError> {
    let mut client = connector.open().await?;
    inspect(&client, allow_unsafe).await?;
    // refinery takes no lock of its own. This one belongs to the connection: it goes with it, however it
    // ends. A migration may take longer than a request's statement.
    client
        .batch_execute("SET statement_timeout = 0; SET lock_timeout = '60s'")
        .await
        .map_err(|error| PostgresError::of(&error))?;
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(|error| {
        if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            return PostgresError::unfit(
                "another process has been migrating the database for a minute".to_owned(),
            );
        }
        PostgresError::of(&error)
    })?;
    // A process of this version may start again while the next one is brought in: that has only added to the tables
    // (CONTRIBUTING.md: expand, then contract).
    let runner = embedded::migrations::runner().set_abort_missing(false);
    let newest = runner.get_migrations().iter().map(Migration::version).max();
    let applied = runner.get_last_applied_migration_async(&mut *client).await;
    if let Ok(Some(applied)) = applied
        && Some(applied.version()) > newest
    {
        tracing::warn!(applied = applied.version(), known = newest, "a later version has changed the tables");
    }
    runner.run_async(&mut *client).await.map_err(|error| of_migration(&error))?;
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&LOCK])
        .await
        .map_err(|error| PostgresError::of(&error))?;
    Ok(())
}

/// Settings of the server that must be on for a commit to survive a crash of its machine.
/// `synchronous_commit` is one as well; each connection turns it on for itself.
const SAFE: [&str; 2] = ["fsync", "full_page_writes"];

/// Looks for what would make the service wrong or unsafe on this server.
async fn inspect(client: &Client, allow_unsafe: bool) -> Result<(), PostgresError> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
                current_setting($1), current_setting($2)",
            &[&SAFE[0], &SAFE[1]],
        )
        .await
        .map_err(|error| PostgresError::of(&error))?;
    let (version, encoding): (i32, &str) = (row.get(0), row.get(1));
    if version < 130_000 {
        return Err(PostgresError::unfit(format!(
            "version 13 or later is needed, this is {}",
            version / 10_000
        )));
    }
    if encoding != "UTF8" {
        return Err(PostgresError::unfit(format!("the database's encoding must be UTF8, it is {encoding}")));
    }
    let off = SAFE.iter().enumerate().filter(|(place, _)| row.get::<_, &str>(2 + place) == "off");
    let off: Vec<_> = off.map(|(_, name)| format!("{name} = off")).collect();
    if off.is_empty() {
        return Ok(());
    }
    let off = off.join(", ");
    let danger = format!("it runs with {off}: a crash of its machine loses acknowledged writes");
    if !allow_unsafe {
        let remedy = "turn it on, or set ALLOW_UNSAFE_STORE=true if losing them is no matter";
        return Err(PostgresError::unfit(format!("{danger}; {remedy}")));
    }
    tracing::warn!(off, "PostgreSQL: a crash of its machine loses acknowledged writes");
    Ok(())
}

fn of_migration(error: &refinery::Error) -> PostgresError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
            return PostgresError::of(error);
        }
        cause = error.source();
    }
    PostgresError::unfit(error.to_string())
}
