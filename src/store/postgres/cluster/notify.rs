//! Hints between processes that share a database: which users have come how far, by NOTIFY. A hint that is lost
//! costs time and nothing else, so they are sent after the write and beside it, on a connection of their own,
//! many in one; where too many gather, or the connection is away, they are dropped.

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

/// What they are told by.
const CHANNEL: &str = "tasklane";

/// Users that may gather.
const GATHERED: usize = 4_096;

/// Users of one notification: of 52 bytes each at the most, and PostgreSQL takes less than 8000.
const TOLD: usize = 140;

/// The pause before a broken connection is made anew; doubled each time up to the second.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The hints that wait to be sent, the newest of each user.
#[derive(Default)]
pub(crate) struct Hints {
    gathered: Mutex<HashMap<UserId, Seq>>,
    wake: Notify,
}

impl Hints {
    /// Adds a hint, and waits for nothing.
    pub(crate) fn add(&self, user: UserId, seq: Seq) {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        if gathered.len() < GATHERED || gathered.contains_key(&user) {
            let newest = gathered.entry(user).or_insert(seq);
            *newest = seq.max(*newest);
            self.wake.notify_one();
        }
    }

    /// Takes what one notification can carry.
    fn take(&self) -> Vec<Hint> {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        let users: Vec<_> = gathered.keys().take(TOLD).copied().collect();
        users.into_iter().filter_map(|user| Some(Hint { user, seq: gathered.remove(&user)? })).collect()
    }

    fn clear(&self) {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Sends what gathers, one notification at a time, for ever.
    pub(crate) async fn send(&self, connector: &Connector, within: Duration) {
        let (mut link, mut pause) = (None, PAUSE);
        loop {
            self.wake.notified().await;
            loop {
                let hints = self.take();
                if hints.is_empty() {
                    break;
                }
                let sent = timeout(within, notify(connector, &mut link, &payload(&hints))).await;
                match sent.unwrap_or_else(|_| Err(PostgresError::no_answer(within))) {
                    Ok(()) => {
                        metrics().hints_sent(hints.len());
                        pause = PAUSE;
                    }
                    Err(fault) => {
                        tracing::info!(reason = %fault, "other processes cannot be told of changes for now");
                        link = None;
                        sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                        self.clear();
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
    let link = if let Some(link) = kept.take().filter(|link| !link.is_closed()) {
        link
    } else {
        let link = connector.open().await?;
        // A notification writes to the log; nobody needs it after a crash.
        let relax = link.batch_execute("SET synchronous_commit = off").await;
        relax.map_err(|error| PostgresError::of(&error))?;
        link
    };
    let told = async {
        let statement = link.prepare_cached("SELECT pg_notify($1, $2)").await?;
        link.execute(&statement, &[&CHANNEL, &payload]).await
    };
    told.await.map_err(|error| PostgresError::of(&error))?;
    *kept = Some(link);
    Ok(())
}

/// Passes on what other processes tell, and this one itself, for ever. Hints that nobody takes are dropped.
pub(crate) async fn listen(connector: &Connector, heard: &mpsc::Sender<Hint>) {
    let mut pause = PAUSE;
    loop {
        match connector.listen(CHANNEL).await {
            Ok((_link, mut payloads)) => {
                metrics().listening(true);
                pause = PAUSE;
                while let Some(payload) = payloads.recv().await {
                    for hint in parse(&payload) {
                        metrics().hint_received();
                        let _ = heard.try_send(hint);
                    }
                }
                metrics().listening(false);
            }
            Err(fault) => {
                tracing::info!(reason = %fault, "changes of other processes are not heard of for now");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn payload(hints: &[Hint]) -> String {
    let told = hints.iter().map(|hint| format!("{}:{}", hint.user.as_uuid().simple(), hint.seq));
    told.collect::<Vec<_>>().join(" ")
}

/// Reads a payload; what is no hint is passed over.
fn parse(payload: &str) -> impl Iterator<Item = Hint> {
    payload.split(' ').filter_map(|told| {
        let (user, seq) = told.split_once(':')?;
        let user = UserId::from_uuid(Uuid::try_parse(user).ok()?);
        Some(Hint { user, seq: Seq::new(seq.parse().ok()?) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_of_one_user_become_one_and_a_full_notification_is_one_that_postgresql_takes() {
        let hints = Hints::default();
        let users: Vec<_> = (0..GATHERED + 10).map(|_| UserId::from_uuid(Uuid::new_v4())).collect();
        for user in &users {
            hints.add(*user, Seq::new(i64::MAX - 1));
            hints.add(*user, Seq::new(i64::MAX));
            hints.add(*user, Seq::new(3));
        }
        let mut told = HashMap::new();
        loop {
            let taken = hints.take();
            if taken.is_empty() {
                break;
            }
            let payload = payload(&taken);
            assert!(payload.len() < 8000, "{}", payload.len());
            assert_eq!(parse(&payload).collect::<Vec<_>>(), taken);
            told.extend(taken.into_iter().map(|hint| (hint.user, hint.seq)));
        }
        assert_eq!(told, users[..GATHERED].iter().map(|user| (*user, Seq::new(i64::MAX))).collect());
    }

    #[test]
    fn what_is_no_hint_is_passed_over() {
        let user = Uuid::new_v4();
        let payload = format!("x  {user}:7 {user} {user}: {user}:x :1 a:1");
        assert_eq!(
            parse(&payload).collect::<Vec<_>>(),
            [Hint { user: UserId::from_uuid(user), seq: Seq::new(7) }]
        );
    }
}
