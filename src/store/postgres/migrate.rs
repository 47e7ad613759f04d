//! Brings the tables up to date, once however many processes start at the same time.

use std::error::Error;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connect::Connector;
use super::fault::{Fault, Kind};

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

/// The advisory lock of Tasklane's migrations: an arbitrary number, the same in every version.
const LOCK: i64 = 0x7461_736b_6c61_6e65;

/// Pause between two tries at a server that is still starting.
const PAUSE: Duration = Duration::from_millis(300);

/// Migrates the database, trying for `patience` to reach a server that is not up yet.
pub(super) async fn migrate(connector: &Connector, patience: Duration) -> Result<(), Fault> {
    let deadline = Instant::now() + patience;
    let mut told = false;
    loop {
        match migrate_once(connector).await {
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

async fn migrate_once(connector: &Connector) -> Result<(), Fault> {
    let mut client = connector.open().await?;
    inspect(&client).await?;
    // refinery takes no lock of its own. This one belongs to the connection: it goes with it, however it
    // ends. A migration may take longer than a request's statement.
    client
        .batch_execute("SET statement_timeout = 0; SET lock_timeout = '60s'")
        .await
        .map_err(|error| Fault::of(&error))?;
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(|error| {
        if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            return Fault::unfit("another process has been migrating the database for a minute".to_owned());
        }
        Fault::of(&error)
    })?;
    embedded::migrations::runner().run_async(&mut *client).await.map_err(|error| of_migration(&error))?;
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await.map_err(|error| Fault::of(&error))?;
    Ok(())
}

/// Looks for what would make the service wrong or unsafe on this server.
async fn inspect(client: &Client) -> Result<(), Fault> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
                current_setting('fsync')",
            &[],
        )
        .await
        .map_err(|error| Fault::of(&error))?;
    let (version, encoding, fsync): (i32, &str, &str) = (row.get(0), row.get(1), row.get(2));
    if version < 120_000 {
        return Err(Fault::unfit(format!("version 12 or later is needed, this is {}", version / 10_000)));
    }
    if encoding != "UTF8" {
        return Err(Fault::unfit(format!("the database's encoding must be UTF8, it is {encoding}")));
    }
    if fsync == "off" {
        tracing::warn!("PostgreSQL runs with fsync = off: a crash of its machine loses acknowledged writes");
    }
    Ok(())
}

fn of_migration(error: &refinery::Error) -> Fault {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
            return Fault::of(error);
        }
        cause = error.source();
    }
    Fault::unfit(error.to_string())
}
