//! Detects peers, the other processes on this database. Each process holds an advisory lock while it runs:
//! shared if it expects peers, exclusive if not. A process that cannot take the lock shares the database
//! with an unexpected peer.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::time::sleep;

use crate::store::postgres::connection::connect::Connector;
use crate::store::postgres::connection::error::PostgresError;
use crate::telemetry::metrics;

/// The lock's number, one per database: arbitrary, and the same in every version.
const LOCK: i64 = 0x7461_736b_6c61_6e65 + 1;

/// Attempts before the lock counts as held by a peer: a process that was killed may hold it a little
/// longer.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Time between later attempts, and between two checks of the connection.
const EVERY: Duration = Duration::from_secs(2);

/// Takes the exclusive lock, for a process that must have no peers; `None` if a peer holds it.
pub(crate) async fn take(connector: &Connector) -> Result<Option<ClientWrapper>, PostgresError> {
    let client = connector.open().await?;
    for _ in 0..ATTEMPTS {
        if try_lock(&client, false).await? {
            return Ok(Some(client));
        }
        sleep(FIRST_PAUSE).await;
    }
    Ok(None)
}

/// Tries once to take the lock, without waiting.
async fn try_lock(client: &ClientWrapper, shared: bool) -> Result<bool, PostgresError> {
    let take = if shared { "pg_try_advisory_lock_shared" } else { "pg_try_advisory_lock" };
    Ok(client.query_one(&format!("SELECT {take}($1)"), &[&LOCK]).await?.get(0))
}

/// Holds the lock, or keeps trying to, and reports unexpected peers. It never returns.
pub(crate) async fn watch(connector: &Connector, shared: bool) {
    let mut refusals = 0;
    loop {
        // At debug level: reads and writes report the same trouble.
        if let Err(fault) = hold(connector, shared, &mut refusals).await {
            tracing::debug!(reason = %fault, "cannot check at present whether other processes use the database");
        }
        sleep(EVERY).await;
    }
}

/// Takes the lock as soon as it is free, and holds it until the connection breaks. `refusals` counts the
/// failed attempts in a row.
async fn hold(connector: &Connector, shared: bool, refusals: &mut u32) -> Result<(), PostgresError> {
    let client = connector.open().await?;
    while !try_lock(&client, shared).await? {
        *refusals += 1;
        if *refusals == ATTEMPTS {
            report(shared);
        }
        sleep(if *refusals < ATTEMPTS { FIRST_PAUSE } else { EVERY }).await;
    }
    if *refusals >= ATTEMPTS {
        tracing::info!("the other process on this database is gone");
    }
    *refusals = 0;
    metrics().unexpected_peer.set(0.0);
    while !client.is_closed() {
        sleep(EVERY).await;
    }
    Ok(())
}

/// Reports an unexpected peer.
fn report(shared: bool) {
    metrics().unexpected_peer.set(1.0);
    if shared {
        tracing::warn!(
            "a process with MODE=sole works on this database, too: it may serve old data; no write is lost; give it \
             MODE=cluster, or stop it"
        );
    } else {
        tracing::warn!(
            "another process works on this database, and this one runs with MODE=sole, so that it may serve old \
             data; no write is lost; give both MODE=cluster, or stop one"
        );
    }
}
