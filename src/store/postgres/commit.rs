//! Group commit: one statement for all batches, and what its answer means for each.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::connection::connect::Connector;
use super::connection::error::{Kind, PostgresError};
use super::rows::{KeyColumns, TombstoneColumns};
use super::task_row::{self, TaskColumns};
use crate::domain::Change;
use crate::store::{Batch, Outcome};

/// Where the tasks' columns begin among the parameters: after those of batches, deletions and keys.
const FIRST_TASK_PARAM: usize = 16;

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

/// Commits batches that erase. It does the same, and more: the usual ones are spared that.
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

/// Which batches were applied earlier.
pub(super) const KNOWN: &str = include_str!("sql/known.sql");

/// A seq that no user has: what expects it is not applied, and known again if it was.
const NEVER: i64 = -1;

/// Commits, on a connection of its own: a commit never waits behind reads for one.
pub(super) struct CommitConnection {
    connector: Connector,
    answer_timeout: Duration,
    /// Kept between commits and dropped at any error: a new connection has no past.
    kept: Mutex<Option<Link>>,
    /// Set once, under the lock of `kept`: from then on no connection is made.
    closed: AtomicBool,
}

struct Link {
    client: ClientWrapper,
    made: std::time::Instant,
    advance: Statement,
    known: Statement,
}

/// What a statement that went through has done.
struct Applied {
    /// The users who passed the fence.
    passed: HashSet<Uuid>,
    /// Of the others, which batch made their seq.
    known: Result<HashMap<Uuid, Option<Uuid>>, PostgresError>,
}

impl Applied {
    fn outcome(&self, batch: &Batch) -> Outcome {
        let user = batch.user.as_uuid();
        if self.passed.contains(&user) {
            return Outcome::Committed;
        }
        match &self.known {
            // Sent again: what the row holds is this very batch.
            Ok(known) if known.get(&user) == Some(&Some(batch.id)) => Outcome::Committed,
            Ok(_) => Outcome::Conflict,
            Err(fault) => Outcome::Unknown(format!("PostgreSQL: {fault}")),
        }
    }
}

/// Why a statement did not go through.
enum Failure {
    /// It was never sent.
    NotSent(PostgresError),
    /// It was sent; the fault's kind says what is left open.
    Sent(PostgresError),
}

impl CommitConnection {
    pub(super) fn new(connector: Connector, answer_timeout: Duration) -> Self {
        Self { connector, answer_timeout, kept: Mutex::default(), closed: AtomicBool::new(false) }
    }

    /// Whether it has a connection, and whether that is at work.
    pub(super) fn connection(&self) -> (bool, bool) {
        self.kept.try_lock().map_or((true, true), |kept| (kept.is_some(), false))
    }

    /// Lets go of the connection, for good.
    pub(super) async fn close(&self) {
        let mut kept = self.kept.lock().await;
        self.closed.store(true, Ordering::Relaxed);
        drop(kept.take());
    }

    /// Applies the batches.
    pub(super) async fn commit(&self, batches: &[Arc<Batch>]) -> Vec<Outcome> {
        let mut kept = self.kept.lock().await;
        if !batches.iter().any(|batch| batch.erase) {
            return self.commit_group(&mut kept, batches).await;
        }
        let (erasing, usual): (Vec<_>, Vec<_>) = batches.iter().cloned().partition(|batch| batch.erase);
        let mut usual = self.commit_group(&mut kept, &usual).await.into_iter();
        let mut erasing = self.commit_group(&mut kept, &erasing).await.into_iter();
        let outcome = |batch: &Arc<Batch>| if batch.erase { erasing.next() } else { usual.next() };
        batches.iter().filter_map(outcome).collect()
    }

    /// Applies batches that all erase, or none of which does: all at once and, where one of them spoils
    /// that, one by one.
    async fn commit_group(&self, kept: &mut Option<Link>, batches: &[Arc<Batch>]) -> Vec<Outcome> {
        if batches.is_empty() {
            return Vec::new();
        }
        let started = Instant::now();
        match self.send(kept, batches).await {
            Ok(applied) => batches.iter().map(|batch| applied.outcome(batch)).collect(),
            Err(Failure::Sent(fault)) if batches.len() > 1 && may_be_one_batch_only(fault.kind) => {
                tracing::info!(reason = %fault, batches = batches.len(), "a group is committed one by one");
                self.one_by_one(kept, batches, started + self.answer_timeout).await
            }
            Err(failure) => vec![failed(failure); batches.len()],
        }
    }

    /// Commits each batch on its own. What does not get its turn before the deadline, or after the
    /// connection broke, is not sent at all.
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
                Err(failure) => {
                    broken = matches!(&failure, Failure::NotSent(_))
                        || matches!(&failure, Failure::Sent(fault) if fault.kind == Kind::Broken);
                    failed(failure)
                }
            });
        }
        outcomes
    }

    /// Sends the statement for `batches`, and asks about those that did not pass.
    async fn send(&self, kept: &mut Option<Link>, batches: &[Arc<Batch>]) -> Result<Applied, Failure> {
        let failover = self.connector.failover();
        let usable = |link: &Link| !link.client.is_closed() && !failover.is_outdated(link.made);
        let link = match kept.take().filter(usable) {
            Some(link) => link,
            None => self.open().await.map_err(Failure::NotSent)?,
        };
        let group = Group::of(batches, failover.epoch());
        let erase = if batches[0].erase {
            Some(self.prepare(&link.client, &ERASE).await.map_err(Failure::NotSent)?)
        } else {
            None
        };
        let statement = erase.as_ref().unwrap_or(&link.advance);
        let rows = self.ask(&link, statement, &group.params()).await.map_err(Failure::Sent)?;
        let passed = rows.iter().map(|row| row.try_get(0)).collect::<Result<HashSet<_>, _>>();
        let passed = passed.map_err(|error| Failure::Sent(PostgresError::of(&error)))?;
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

    /// Which batch made each user's seq.
    async fn known(
        &self,
        link: &Link,
        users: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, Option<Uuid>>, PostgresError> {
        let rows = self.ask(link, &link.known, &[&users]).await?;
        let known = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        known.collect::<Result<_, _>>().map_err(|error| PostgresError::of(&error))
    }

    async fn ask(
        &self,
        link: &Link,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PostgresError> {
        // A commit is never cancelled: giving up on the answer drops the connection, no more.
        let answer = tokio::select! {
            biased;
            // The answer of a server that was left behind would be worth nothing.
            () = self.connector.failover().outdated(link.made) => return Err(PostgresError::left_behind()),
            answer = timeout(self.answer_timeout, link.client.query(statement, params)) => answer,
        };
        answer
            .map_err(|_| PostgresError::no_answer(self.answer_timeout))?
            .map_err(|error| PostgresError::of(&error))
    }

    async fn open(&self) -> Result<Link, PostgresError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(PostgresError::unfit("the store is closed".to_owned()));
        }
        let (mut made, mut client) = (std::time::Instant::now(), self.connector.open().await?);
        if self.connector.failover().is_outdated(made) {
            // It was the first to tell of another server, or came too early for that one.
            (made, client) = (std::time::Instant::now(), self.connector.open().await?);
        }
        let advance = self.prepare(&client, &ADVANCE).await?;
        let known = self.prepare(&client, KNOWN).await?;
        Ok(Link { client, made, advance, known })
    }

    /// Has the server prepare a statement, once for each connection.
    async fn prepare(&self, client: &ClientWrapper, sql: &str) -> Result<Statement, PostgresError> {
        timeout(self.answer_timeout, client.prepare_cached(sql))
            .await
            .map_err(|_| PostgresError::no_answer(self.answer_timeout))?
            .map_err(|error| PostgresError::of(&error))
    }
}

/// Whether a group's failure may be one batch's doing.
const fn may_be_one_batch_only(kind: Kind) -> bool {
    matches!(kind, Kind::Data | Kind::Taken | Kind::Contention)
}

/// The outcome of a batch that failed alone, or together with all others.
fn failed(failure: Failure) -> Outcome {
    match failure {
        Failure::NotSent(fault) => Outcome::Unavailable(format!("PostgreSQL: {fault}")),
        Failure::Sent(fault) => match fault.kind {
            Kind::Broken => Outcome::Unknown(format!("PostgreSQL: {fault}")),
            Kind::Data => Outcome::Rejected(format!("PostgreSQL: {fault}")),
            // The lane loads the user again and runs its commands anew, and meets what was taken.
            Kind::Taken => Outcome::Conflict,
            Kind::Contention | Kind::Refusal | Kind::NotYet => {
                Outcome::Unavailable(format!("PostgreSQL: {fault}"))
            }
        },
    }
}

/// A group's batches as the columns of the statement.
#[derive(Default)]
struct Group<'a> {
    users: Vec<Uuid>,
    subjects: Vec<&'a str>,
    emails: Vec<Option<&'a str>>,
    expected: Vec<i64>,
    reached: Vec<i64>,
    batches: Vec<Uuid>,
    put: TaskColumns<'a>,
    gone: TombstoneColumns,
    keys: KeyColumns<'a>,
}

impl<'a> Group<'a> {
    fn of(batches: &'a [Arc<Batch>], epoch: u64) -> Self {
        let mut group = Self::default();
        let mut emails = HashSet::new();
        for batch in batches {
            let user = batch.user.as_uuid();
            group.users.push(user);
            group.subjects.push(&batch.subject);
            // Of two users with one address the first of the group keeps it.
            group.emails.push(batch.storable_email().filter(|email| emails.insert(*email)));
            group.expected.push(if batch.epoch == epoch { batch.expected.get() } else { NEVER });
            group.reached.push(batch.reached.get());
            group.batches.push(batch.id);
            for change in &batch.changes {
                match change {
                    Change::Put(task) => group.put.push(user, task),
                    Change::Delete { id, seq, at } => group.gone.push(user, *id, *seq, *at),
                }
            }
            for key in &batch.keys {
                group.keys.push(user, key);
            }
        }
        group
    }

    /// In the order of the statement's parameters.
    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut params: Vec<&(dyn ToSql + Sync)> =
            vec![&self.users, &self.subjects, &self.emails, &self.expected, &self.reached, &self.batches];
        params.extend(self.gone.params());
        params.extend(self.keys.params());
        params.extend(self.put.params());
        params
    }
}
