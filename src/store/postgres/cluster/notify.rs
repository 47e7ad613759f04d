//! Hints between processes that share a database: which seq each user has reached, sent by NOTIFY. A lost
//! hint costs only time. So hints are sent after the write, on a connection of their own, many in one
//! notification. They are dropped if too many are waiting or the connection is down.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::domain::{Seq, UserId};
use crate::store::Hint;
use crate::store::postgres::connection::connect::Connector;
use crate::store::postgres::connection::error::PostgresError;
use crate::telemetry::metrics;

/// The channel of the notifications.
const CHANNEL: &str = "tasklane";

/// At most this many users wait to be sent.
const WAITING: usize = 4_096;

/// Users in one notification: at most 52 bytes each, and PostgreSQL allows fewer than 8000.
const USERS: usize = 140;

/// The pause before a broken connection is replaced; it doubles each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The hints waiting to be sent, the newest of each user.
#[derive(Default)]
pub(crate) struct Hints {
    waiting: Mutex<HashMap<UserId, Seq>>,
    wake: Notify,
}

impl Hints {
    /// Adds a hint, without waiting.
    pub(crate) fn add(&self, user: UserId, seq: Seq) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING || waiting.contains_key(&user) {
            let newest = waiting.entry(user).or_insert(seq);
            *newest = seq.max(*newest);
            self.wake.notify_one();
        }
    }

    /// Takes as many hints as fit in one notification.
    fn take(&self) -> Vec<Hint> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let users: Vec<_> = waiting.keys().take(USERS).copied().collect();
        users.into_iter().filter_map(|user| Some(Hint { user, seq: waiting.remove(&user)? })).collect()
    }

    /// Sends waiting hints, one notification at a time. It never returns.
    pub(crate) async fn send(&self, connector: &Connector, limit: Duration) {
        let (mut client, mut pause) = (None, FIRST_PAUSE);
        loop {
            self.wake.notified().await;
            loop {
                let hints = self.take();
                if hints.is_empty() {
                    break;
                }
                let sent = timeout(limit, notify(connector, &mut client, &payload(&hints))).await;
                match sent.unwrap_or_else(|_| Err(PostgresError::no_answer(limit))) {
                    Ok(()) => {
                        metrics().hints_sent.increment(hints.len() as u64);
                        pause = FIRST_PAUSE;
                    }
                    Err(fault) => {
                        tracing::info!(reason = %fault, "cannot send hints to other processes at present");
                        client = None;
                        sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    }
                }
            }
        }
    }
}

async fn notify(
    connector: &Connector,
    kept: &mut Option<ClientWrapper>,
    payload: &str,
) -> Result<(), PostgresError> {
    let client = if let Some(client) = kept.take().filter(|client| !client.is_closed()) {
        client
    } else {
        let client = connector.open().await?;
        // A notification is written to the log, where nobody needs it after a crash.
        client.batch_execute("SET synchronous_commit = off").await?;
        client
    };
    let statement = client.prepare_cached("SELECT pg_notify($1, $2)").await?;
    client.execute(&statement, &[&CHANNEL, &payload]).await?;
    *kept = Some(client);
    Ok(())
}

/// Receives the hints of all processes, this one included. It never returns. Hints that find `received`
/// full are dropped.
pub(crate) async fn listen(connector: &Connector, received: &mpsc::Sender<Hint>) {
    let mut pause = FIRST_PAUSE;
    loop {
        match connector.listen(CHANNEL).await {
            Ok((_client, mut payloads)) => {
                metrics().listening.set(1.0);
                pause = FIRST_PAUSE;
                while let Some(payload) = payloads.recv().await {
                    for hint in parse(&payload) {
                        metrics().hints_received.increment(1);
                        let _ = received.try_send(hint);
                    }
                }
                metrics().listening.set(0.0);
            }
            Err(fault) => {
                tracing::info!(reason = %fault, "cannot receive hints from other processes at present");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn payload(hints: &[Hint]) -> String {
    let hints = hints.iter().map(|hint| format!("{}:{}", hint.user.as_uuid().simple(), hint.seq));
    hints.collect::<Vec<_>>().join(" ")
}

/// Parses a payload; anything that is not a hint is skipped.
fn parse(payload: &str) -> impl Iterator<Item = Hint> {
    payload.split(' ').filter_map(|hint| {
        let (user, seq) = hint.split_once(':')?;
        let user = UserId::from_uuid(Uuid::try_parse(user).ok()?);
        Some(Hint { user, seq: Seq::new(seq.parse().ok()?) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_of_one_user_become_one_and_a_full_notification_fits_postgresqls_limit() {
        let hints = Hints::default();
        let users: Vec<_> = (0..WAITING + 10).map(|_| UserId::from_uuid(Uuid::new_v4())).collect();
        for user in &users {
            hints.add(*user, Seq::new(i64::MAX - 1));
            hints.add(*user, Seq::new(i64::MAX));
            hints.add(*user, Seq::new(3));
        }
        let mut sent = HashMap::new();
        loop {
            let taken = hints.take();
            if taken.is_empty() {
                break;
            }
            let payload = payload(&taken);
            assert!(payload.len() < 8000, "{}", payload.len());
            assert_eq!(parse(&payload).collect::<Vec<_>>(), taken);
            sent.extend(taken.into_iter().map(|hint| (hint.user, hint.seq)));
        }
        assert_eq!(sent, users[..WAITING].iter().map(|user| (*user, Seq::new(i64::MAX))).collect());
    }

    #[test]
    fn anything_that_is_not_a_hint_is_skipped() {
        let user = Uuid::new_v4();
        let payload = format!("x  {user}:7 {user} {user}: {user}:x :1 a:1");
        assert_eq!(
            parse(&payload).collect::<Vec<_>>(),
            [Hint { user: UserId::from_uuid(user), seq: Seq::new(7) }]
        );
    }
}
