//! Which other processes work on the database: each holds an advisory lock as long as it runs, shared where it
//! expects others, alone where it does not. Who does not get it has company that it, or they, do not expect.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::time::sleep;

use crate::store::postgres::connection::connect::Connector;
use crate::store::postgres::connection::error::PostgresError;
use crate::telemetry::metrics;

/// The lock: an arbitrary number, the same in every version. It is the database's own.
const LOCK: i64 = 0x7461_736b_6c61_6e65 + 1;

/// How often the lock is tried for before it counts as held by others: a process that was killed may hold it
/// for a moment.
const PATIENCE: u32 = 8;
const MOMENT: Duration = Duration::from_millis(250);

/// How often it is tried for after that, and how often its connection is looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Takes the lock alone, once, for whoever must not have company; `None` if others hold it.
pub(crate) async fn take(connector: &Connector) -> Result<Option<ClientWrapper>, PostgresError> {
    let link = connector.open().await?;
    for _ in 0..PATIENCE {
        if try_lock(&link, false).await? {
            return Ok(Some(link));
        }
        sleep(MOMENT).await;
    }
    Ok(None)
}

/// Asks for the lock, shared or alone, and waits for nobody.
async fn try_lock(link: &ClientWrapper, shared: bool) -> Result<bool, PostgresError> {
    let take = if shared { "pg_try_advisory_lock_shared" } else { "pg_try_advisory_lock" };
    let row = link.query_one(&format!("SELECT {take}($1)"), &[&LOCK]).await;
    row.map(|row| row.get(0)).map_err(|error| PostgresError::of(&error))
}

/// Holds the lock, or tries to, for ever.
pub(crate) async fn watch(connector: &Connector, shared: bool) {
    let mut company = Company { shared, refusals: 0 };
    loop {
        // What goes wrong here is told where it matters: by reads and writes.
        let fault = match connector.open().await {
            Ok(link) => company.hold(&link).await.err(),
            Err(fault) => Some(fault),
        };
        if let Some(fault) = fault {
            tracing::debug!(reason = %fault, "whether others work on the database cannot be told for now");
        }
        sleep(EVERY).await;
    }
}

struct Company {
    shared: bool,
    /// How often in a row the lock was not to be had.
    refusals: u32,
}

impl Company {
    /// Takes the lock, when it is to be had, and keeps it until the connection breaks.
    async fn hold(&mut self, link: &ClientWrapper) -> Result<(), PostgresError> {
        while !try_lock(link, self.shared).await? {
            self.refused();
            sleep(if self.refusals < PATIENCE { MOMENT } else { EVERY }).await;
        }
        if self.refusals >= PATIENCE {
            tracing::info!("the other process on this database is gone");
        }
        self.refusals = 0;
        metrics().company(false);
        while !link.is_closed() {
            sleep(EVERY).await;
        }
        Ok(())
    }

    fn refused(&mut self) {
        self.refusals += 1;
        if self.refusals != PATIENCE {
            return;
        }
        metrics().company(true);
        if self.shared {
            tracing::warn!(
                "a process with MODE=sole works on this database, too: what it reads may be old; no write is lost; \
                 give it MODE=cluster, or stop it"
            );
        } else {
            tracing::warn!(
                "another process works on this database, and this one runs with MODE=sole: what it reads may be \
                 old; no write is lost; give both MODE=cluster, or stop one"
            );
        }
    }
}
