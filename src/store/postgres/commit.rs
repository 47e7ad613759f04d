//! Commits a group of batches by one statement, and derives each batch's outcome from its answer.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::batch_columns::{Group, slices};
use super::connection::connect::Connector;
use super::connection::error::{Kind, PostgresError, within};
use super::task_row;
use crate::store::{Batch, Outcome};

/// The number of the first parameter with task columns: after those of batches, deletions and keys.
const FIRST_TASK_PARAM: usize = 17;

/// Commits batches that do not erase.
pub(super) static ADVANCE: LazyLock<String> = LazyLock::new(|| {
    let sql = concat!(
        include_str!("sql/fence.sql"),
        include_str!("sql/advance.sql"),
        include_str!("sql/apply.sql"),
        include_str!("sql/answer.sql")
    );
    task_row::fill(sql, FIRST_TASK_PARAM)
});

/// Commits batches that erase. A statement of its own, so that other batches do not pay for the erasure.
pub(super) static ERASE: LazyLock<String> = LazyLock::new(|| {
    let sql = concat!(
        include_str!("sql/fence.sql"),
        include_str!("sql/erase.sql"),
        include_str!("sql/apply.sql"),
        include_str!("sql/replace.sql"),
        include_str!("sql/answer.sql")
    );
    task_row::fill(sql, FIRST_TASK_PARAM)
});

/// Finds the batches that were applied earlier.
pub(super) const KNOWN: &str = include_str!("sql/known.sql");

/// Commits on a connection of its own, so that commits never wait for reads.
pub(super) struct CommitConnection {
    connector: Connector,
    answer_timeout: Duration,
    /// Kept between commits, and dropped after any error.
    kept: Mutex<Option<Link>>,
    /// Set once, under the lock of `kept`: no connection is opened after that.
    closed: AtomicBool,
}

struct Link {
    client: ClientWrapper,
    made: std::time::Instant,
    advance: Statement,
    known: Statement,
}

/// What a successful statement has done.
struct Applied {
    /// The users who passed the fence.
    passed: HashSet<Uuid>,
    /// For the other users, the batch that made their seq.
    known: Result<HashMap<Uuid, Option<Uuid>>, PostgresError>,
}

impl Applied {
    fn outcome(&self, batch: &Batch) -> Outcome {
        let user = batch.user.as_uuid();
        if self.passed.contains(&user) {
            return Outcome::Committed;
        }
        match &self.known {
            // A retry: this very batch was applied earlier.
            Ok(known) if known.get(&user) == Some(&Some(batch.id)) => Outcome::Committed,
            Ok(_) => Outcome::Conflict,
            Err(fault) => Outcome::Unknown(format!("PostgreSQL: {fault}")),
        }
    }
}

impl CommitConnection {
    pub(super) fn new(connector: Connector, answer_timeout: Duration) -> Self {
        Self { connector, answer_timeout, kept: Mutex::default(), closed: AtomicBool::new(false) }
    }

    /// Whether it has a connection, and whether that is in use.
    pub(super) fn connection(&self) -> (bool, bool) {
        self.kept.try_lock().map_or((true, true), |kept| (kept.is_some(), false))
    }

    /// Closes the connection for good.
    pub(super) async fn close(&self) {
        let mut kept = self.kept.lock().await;
        self.closed.store(true, Ordering::Relaxed);
        drop(kept.take());
    }

    /// Applies the batches.
    pub(super) async fn commit(&self, batches: &[Arc<Batch>]) -> Vec<Outcome> {
        let kept = &mut *self.kept.lock().await;
        if !batches.iter().any(|batch| batch.erase) {
            return self.commit_group(kept, batches).await;
        }
        let (erasing, usual): (Vec<_>, Vec<_>) = batches.iter().cloned().partition(|batch| batch.erase);
        let usual = self.commit_group(kept, &usual).await;
        let erasing = self.commit_group(kept, &erasing).await;
        in_order(batches, |batch| batch.erase, erasing, usual)
    }

    /// Applies large batches, each by itself and in slices, and closes the connection.
    pub(super) async fn commit_large(&self, batches: &[Arc<Batch>]) -> Vec<Outcome> {
        let kept = &mut *self.kept.lock().await;
        let mut outcomes = Vec::with_capacity(batches.len());
        for batch in batches {
            // What erases is one statement: it brings little.
            let applied = if batch.erase {
                self.send(kept, std::slice::from_ref(batch)).await
            } else {
                self.send_slices(kept, batch).await
            };
            outcomes.push(applied.map_or_else(|fault| failed(&fault), |applied| applied.outcome(batch)));
        }
        drop(kept.take());
        outcomes
    }

    /// Applies batches of which all erase, or none. They are sent together, and one by one if one of them
    /// makes the whole group fail.
    async fn commit_group(&self, kept: &mut Option<Link>, batches: &[Arc<Batch>]) -> Vec<Outcome> {
        if batches.is_empty() {
            return Vec::new();
        }
        let started = Instant::now();
        match self.send(kept, batches).await {
            Ok(applied) => batches.iter().map(|batch| applied.outcome(batch)).collect(),
            Err(fault) if batches.len() > 1 && may_be_one_batch_only(fault.kind) => {
                tracing::info!(reason = %fault, batches = batches.len(), "a group is committed one by one");
                self.one_by_one(kept, batches, started + self.answer_timeout).await
            }
            Err(fault) => vec![failed(&fault); batches.len()],
        }
    }

    /// Commits each batch on its own. After the deadline, or once the connection broke, the remaining
    /// batches are not sent.
    async fn one_by_one(
        &self,
        kept: &mut Option<Link>,
        batches: &[Arc<Batch>],
        deadline: Instant,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batches.len());
        let mut broken = false;
        for batch in batches {
            if broken || Instant::now() >= deadline {
                let reason = if broken { "the connection broke before its turn" } else { "no time was left" };
                outcomes.push(Outcome::Unavailable(format!("PostgreSQL: {reason}")));
                continue;
            }
            outcomes.push(match self.send(kept, std::slice::from_ref(batch)).await {
                Ok(applied) => {
                    broken = applied.known.as_ref().is_err_and(|fault| fault.kind == Kind::Broken);
                    applied.outcome(batch)
                }
                Err(fault) => {
                    broken = matches!(fault.kind, Kind::Broken | Kind::NotYet);
                    failed(&fault)
                }
            });
        }
        outcomes
    }

    /// Sends the statement for `batches`, then looks up those that did not pass. The error's kind is
    /// [`Kind::NotYet`] if nothing was sent.
    async fn send(&self, kept: &mut Option<Link>, batches: &[Arc<Batch>]) -> Result<Applied, PostgresError> {
        let link = self.link(kept).await?;
        let group = Group::of(batches, self.connector.failover.life().epoch);
        let statement = if batches[0].erase {
            self.prepare(&link.client, &ERASE).await.map_err(PostgresError::not_sent)?
        } else {
            link.advance.clone()
        };
        let rows = self.ask(&link, &statement, &group.params()).await?;
        let passed: HashSet<_> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let known = if passed.len() < batches.len() {
            let users = group.users.into_iter().filter(|user| !passed.contains(user)).collect();
            self.known(&link, users).await
        } else {
            Ok(HashMap::new())
        };
        if known.is_ok() {
            *kept = Some(link);
        }
        Ok(Applied { passed, known })
    }

    /// Sends a large batch in one transaction of several statements: one alone would be in memory as a whole, twice as
    /// parameters and twice as a message.
    ///
    /// The first statement passes the fence and moves the user to the seq reached. Each other one passes the
    /// fence there and stays, under an id of its own until the last one: the fence lets no batch pass twice.
    async fn send_slices(
        &self,
        kept: &mut Option<Link>,
        batch: &Arc<Batch>,
    ) -> Result<Applied, PostgresError> {
        let link = self.link(kept).await?;
        let (user, started) = (batch.user.as_uuid(), Instant::now());
        self.control(&link, "BEGIN").await.map_err(PostgresError::not_sent)?;
        let slices = slices(&batch.changes);
        for (index, changes) in slices.iter().enumerate() {
            if started.elapsed() >= self.answer_timeout {
                return Err(PostgresError::out_of_time(self.answer_timeout));
            }
            let mut group = Group::default();
            let id = if index + 1 == slices.len() { batch.id } else { Uuid::now_v7() };
            if index == 0 {
                group.push_batch(batch, id, self.connector.failover.life().epoch, batch.storable_email());
            } else {
                group.push_slice(batch, id);
            }
            group.push_changes(user, changes);
            if self.ask(&link, &link.advance, &group.params()).await?.is_empty() {
                self.control(&link, "ROLLBACK").await?;
                let known = self.known(&link, vec![user]).await;
                return Ok(Applied { passed: HashSet::new(), known });
            }
        }
        self.control(&link, "COMMIT").await?;
        *kept = Some(link);
        Ok(Applied { passed: HashSet::from([user]), known: Ok(HashMap::new()) })
    }

    /// The connection kept, or a new one.
    async fn link(&self, kept: &mut Option<Link>) -> Result<Link, PostgresError> {
        let usable =
            |link: &Link| !link.client.is_closed() && !self.connector.failover.is_outdated(link.made);
        match kept.take().filter(usable) {
            Some(link) => Ok(link),
            None => self.open().await.map_err(PostgresError::not_sent),
        }
    }

    /// Looks up the batch that made each user's seq.
    async fn known(
        &self,
        link: &Link,
        users: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, Option<Uuid>>, PostgresError> {
        let rows = self.ask(link, &link.known, &[&users]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    async fn ask(
        &self,
        link: &Link,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PostgresError> {
        self.answer(link, link.client.query(statement, params)).await
    }

    /// Begins or ends a transaction.
    async fn control(&self, link: &Link, sql: &str) -> Result<(), PostgresError> {
        self.answer(link, link.client.batch_execute(sql)).await
    }

    async fn answer<T>(
        &self,
        link: &Link,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PostgresError> {
        // A commit is never cancelled: giving up on the answer only drops the connection.
        tokio::select! {
            biased;
            // The answer of a server that was left behind would be worthless.
            () = self.connector.failover.outdated(link.made) => Err(PostgresError::left_behind()),
            answer = within(self.answer_timeout, answer) => answer,
        }
    }

    async fn open(&self) -> Result<Link, PostgresError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(PostgresError::unfit("the store is closed".to_owned()));
        }
        let (mut made, mut client) = (std::time::Instant::now(), self.connector.open().await?);
        if self.connector.failover.is_outdated(made) {
            // This connection revealed a fail-over, or was opened before one was detected.
            (made, client) = (std::time::Instant::now(), self.connector.open().await?);
        }
        let advance = self.prepare(&client, &ADVANCE).await?;
        let known = self.prepare(&client, KNOWN).await?;
        Ok(Link { client, made, advance, known })
    }

    /// Prepares a statement, once per connection.
    async fn prepare(&self, client: &ClientWrapper, sql: &str) -> Result<Statement, PostgresError> {
        within(self.answer_timeout, client.prepare_cached(sql)).await
    }
}

/// The outcomes of batches that were committed in two parts, in the order of the batches.
pub(super) fn in_order(
    batches: &[Arc<Batch>],
    is_first: impl Fn(&Batch) -> bool,
    first: Vec<Outcome>,
    second: Vec<Outcome>,
) -> Vec<Outcome> {
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    batches.iter().filter_map(|batch| if is_first(batch) { first.next() } else { second.next() }).collect()
}

/// Whether a single batch may have made the group fail.
const fn may_be_one_batch_only(kind: Kind) -> bool {
    matches!(kind, Kind::Data | Kind::Taken | Kind::Contention)
}

/// The outcome of a batch that failed alone, or together with all others.
fn failed(fault: &PostgresError) -> Outcome {
    let reason = format!("PostgreSQL: {fault}");
    match fault.kind {
        Kind::Broken => Outcome::Unknown(reason),
        Kind::Data => Outcome::Rejected(reason),
        // The lane reloads the user, runs its commands again, and finds what was taken.
        Kind::Taken => Outcome::Conflict,
        Kind::Contention | Kind::Refusal | Kind::NotYet => Outcome::Unavailable(reason),
    }
}
