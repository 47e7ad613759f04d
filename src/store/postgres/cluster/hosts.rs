//! Finds the primary among several servers. A server that was left behind by a fail-over may not know it:
//! it still answers on its open connections, from its own past, and accepts new ones. So each server is
//! asked, on a connection of its own.

use std::convert::Infallible;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use crate::store::postgres::connection::connect::Connector;
use crate::store::postgres::connection::error::{PostgresError, within};
use crate::store::postgres::connection::failover::{ServerIdentity, TIMELINE};

/// How often each server is asked. For this long, plus the time a connection takes, reads may come from a
/// server that was left behind and is still running.
const EVERY: Duration = Duration::from_millis(500);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(1);

/// Watches all servers, if there are several. It never returns then.
pub(crate) async fn watch(connector: &Connector) {
    let hosts = 0..connector.single_hosts.len();
    join_all(hosts.map(|host| watch_one(connector, host))).await;
}

/// Asks one server again and again.
async fn watch_one(connector: &Connector, host: usize) -> Infallible {
    let mut kept = None;
    loop {
        let primary = match timeout(connector.create_timeout, ask(connector, host, &mut kept)).await {
            Ok(Ok(primary)) => primary,
            Ok(Err(fault)) => {
                tracing::debug!(reason = %fault, host, "one of the servers does not answer");
                None
            }
            Err(_) => None,
        };
        connector.failover.observe_host(host, primary);
        sleep(EVERY).await;
    }
}

/// A server's identity, if it takes writes. A connection that fails is dropped.
async fn ask(
    connector: &Connector,
    host: usize,
    kept: &mut Option<ClientWrapper>,
) -> Result<Option<ServerIdentity>, PostgresError> {
    let client = match kept.take().filter(|client| !client.is_closed()) {
        Some(client) => client,
        None => connector.open_at(host).await?,
    };
    let sql = format!(
        "SELECT system_identifier, CASE WHEN NOT pg_is_in_recovery() THEN {TIMELINE} END FROM pg_control_system()
            WHERE current_setting('transaction_read_only') = 'off'"
    );
    let row = within(ANSWER, client.query_opt(&sql, &[])).await?;
    *kept = Some(client);
    Ok(row.and_then(|row| Some((row.get(0), row.get::<_, Option<i64>>(1)?))))
}
