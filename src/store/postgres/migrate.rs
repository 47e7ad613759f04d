//! Migrates the tables, once, even if several processes start at the same time.

use std::error::Error;
use std::iter::successors;
use std::time::Duration;

use refinery::{Migration, Runner};
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connection::connect::Connector;
use super::connection::error::{Kind, PostgresError};
use super::connection::pooler::refuse_shared_sessions;

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

/// The number of the advisory lock for migrations: arbitrary, and the same in every version.
const LOCK: i64 = 0x7461_736b_6c61_6e65;

/// Pause between two attempts to reach a server that is still starting.
const PAUSE: Duration = Duration::from_millis(300);

/// Migrates the database, trying for `patience` to reach a server that is not up yet. A server that loses
/// commits when its machine crashes is accepted only with `allow_unsafe`.
pub(super) async fn migrate(
    connector: &Connector,
    patience: Duration,
    allow_unsafe: bool,
) -> Result<(), PostgresError> {
    let deadline = Instant::now() + patience;
    let mut logged = false;
    loop {
        match migrate_once(connector, allow_unsafe).await {
            // Safe to retry after a broken connection: each migration is one transaction.
            Err(fault)
                if matches!(fault.kind, Kind::NotYet | Kind::Broken) && Instant::now() + PAUSE < deadline =>
            {
                if !logged {
                    tracing::info!(reason = %fault, hosts = connector.hosts(), "waiting for PostgreSQL");
                    logged = true;
                }
                sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

async fn migrate_once(connector: &Connector, allow_unsafe: bool) -> Result<(), PostgresError> {
    let mut client = connector.open().await?;
    // First, since whatever follows may fail behind such a pooler.
    refuse_shared_sessions(connector, &client).await?;
    inspect(&client, allow_unsafe).await?;
    // refinery takes no lock. This one is released with the connection, however that ends. A migration may
    // take longer than a request's statement.
    client.batch_execute("SET statement_timeout = 0; SET lock_timeout = '60s'").await?;
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(|error| {
        if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            return PostgresError::unfit(
                "another process has been migrating the database for a minute".to_owned(),
            );
        }
        PostgresError::of(&error)
    })?;
    // A process of this version may restart while the next version is rolled out, which has only added to
    // the tables (CONTRIBUTING.md: expand, then contract).
    let runner = embedded::migrations::runner().set_abort_missing(false);
    let newest = runner.get_migrations().iter().map(Migration::version).max();
    let applied = runner.get_last_applied_migration_async(&mut *client).await;
    if let Ok(Some(applied)) = applied
        && Some(applied.version()) > newest
    {
        tracing::warn!(applied = applied.version(), known = newest, "a later version has changed the tables");
    }
    // refinery creates its table if it is missing, for which a role must have the right to create one.
    if !is_migrated(&runner, &mut client).await {
        runner.run_async(&mut *client).await.map_err(|error| of_migration(&error))?;
    }
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    connector.failover.identify_tables(&client).await?;
    Ok(())
}

/// Whether every migration of this version is applied as it stands here.
async fn is_migrated(runner: &Runner, client: &mut Client) -> bool {
    let applied = runner.get_applied_migrations_async(client).await.unwrap_or_default();
    let is_applied = |one: &Migration| {
        applied.iter().any(|other| (other.version(), other.checksum()) == (one.version(), one.checksum()))
    };
    runner.get_migrations().iter().all(is_applied)
}

/// Settings that must be on for commits to survive a crash of the server's machine. So must
/// `synchronous_commit`, which each connection turns on for itself.
const SAFE: [&str; 2] = ["fsync", "full_page_writes"];

/// Checks that the service can run on this server, and safely.
async fn inspect(client: &Client, allow_unsafe: bool) -> Result<(), PostgresError> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
                current_setting($1), current_setting($2)",
            &[&SAFE[0], &SAFE[1]],
        )
        .await?;
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
    let off = SAFE.iter().enumerate().filter(|(index, _)| row.get::<_, &str>(2 + index) == "off");
    let off: Vec<_> = off.map(|(_, name)| format!("{name} = off")).collect();
    if off.is_empty() {
        return Ok(());
    }
    let off = off.join(", ");
    let danger = format!("it runs with {off}: a crash of its machine loses acknowledged writes");
    if !allow_unsafe {
        let remedy = "turn it on, or set ALLOW_UNSAFE_STORE=true if losing them is acceptable";
        return Err(PostgresError::unfit(format!("{danger}; {remedy}")));
    }
    tracing::warn!(off, "PostgreSQL: a crash of its machine loses acknowledged writes");
    Ok(())
}

fn of_migration(error: &refinery::Error) -> PostgresError {
    let mut causes = successors(Some(error as &(dyn Error + 'static)), |&cause| cause.source());
    causes
        .find_map(|cause| cause.downcast_ref())
        .map_or_else(|| PostgresError::unfit(error.to_string()), PostgresError::of)
}
