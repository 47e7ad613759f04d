//! Finds a pooler that gives one session of the server to several clients in turn: PgBouncer's transaction and
//! statement mode. The service keeps prepared statements, settings and locks in its sessions. With such a pooler
//! some of its statements would fail, and its locks and settings would be left to others.

use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::connect::Connector;
use super::error::PostgresError;

/// How often two connections are compared. A pooler that takes sessions in turn shows by the second.
const ROUNDS: usize = 4;

/// A session of the server: no two have the same process and start.
const SESSION: &str = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()";

/// Checks that a connection keeps its session, and shares it with no other.
///
/// # Errors
/// When it does not, or another connection cannot be opened.
pub(crate) async fn refuse_shared_sessions(
    connector: &Connector,
    client: &Client,
) -> Result<(), PostgresError> {
    let other = connector.open().await?;
    let own = session(client).await?;
    for _ in 0..ROUNDS {
        if session(&other).await? == own || session(client).await? != own {
            return Err(PostgresError::unfit(
                "a pooler in transaction or statement mode, such as PgBouncer, stands in between: connections share \
                 the server's sessions, in which the service keeps prepared statements, settings and locks; name the \
                 server itself, or set pool_mode = session for this database in the pooler"
                    .to_owned(),
            ));
        }
    }
    Ok(())
}

/// Asked in text form, which needs no prepared statement.
async fn session(client: &Client) -> Result<Vec<String>, Error> {
    let rows = client.simple_query(SESSION).await?;
    let rows = rows.iter().filter_map(|row| match row {
        SimpleQueryMessage::Row(row) => Some(format!("{:?} {:?}", row.get(0), row.get(1))),
        _ => None,
    });
    Ok(rows.collect())
}
