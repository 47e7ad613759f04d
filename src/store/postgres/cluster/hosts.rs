//! Which of several servers is the primary. One that was left behind by a promotion may not know it: it still answers on
//! the connections it has, from its own past, and takes new ones. So each server is asked, on a connection of its own.

use std::convert::Infallible;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use crate::store::postgres::connection::connect::Connector;
use crate::store::postgres::connection::error::PostgresError;
use crate::store::postgres::connection::failover::{ServerIdentity, TIMELINE};

/// How often each server is asked: as long as this, and a connection takes, what is read may be from a server that was left
/// behind and that nobody has stopped.
const EVERY: Duration = Duration::from_millis(500);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(1);

/// Looks after all servers, for ever, where there are several.
pub(crate) async fn watch(connector: &Connector) {
    let hosts = 0..connector.each().len();
    join_all(hosts.map(|place| look(connector, place))).await;
}

/// Asks one server again and again.
async fn look(connector: &Connector, place: usize) -> Infallible {
    let mut kept = None;
    loop {
        let told = timeout(connector.create_timeout(), ask(connector, place, &mut kept)).await;
        let primary = match told {
            Ok(Ok(primary)) => primary,
            Ok(Err(fault)) => {
                tracing::debug!(reason = %fault, place, "one of the servers does not answer");
                None
            }
            Err(_) => None,
        };
        connector.failover().saw(place, primary);
        sleep(EVERY).await;
    }
}

/// A server's identity, if it takes writes. A connection that fails is not kept.
async fn ask(
    connector: &Connector,
    place: usize,
    kept: &mut Option<ClientWrapper>,
) -> Result<Option<ServerIdentity>, PostgresError> {
    let link = match kept.take().filter(|link| !link.is_closed()) {
        Some(link) => link,
        None => connector.open_at(place).await?,
    };
    let sql = format!(
        "SELECT system_identifier, CASE WHEN NOT pg_is_in_recovery() THEN {TIMELINE} END FROM pg_control_system()
            WHERE current_setting('transaction_read_only') = 'off'"
    );
    let row = timeout(ANSWER, link.query_opt(&sql, &[])).await;
    let row =
        row.map_err(|_| PostgresError::no_answer(ANSWER))?.map_err(|error| PostgresError::of(&error))?;
    *kept = Some(link);
    Ok(row.and_then(|row| Some((row.get(0), row.get::<_, Option<i64>>(1)?))))
}
