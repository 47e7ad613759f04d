//! The store in PostgreSQL: the production store.
//!
//! Connections, tasks and queries live on one runtime of the store's own: a connection's task dies
//! with the runtime it was spawned on, and an HTTP worker's may go at any time. Callers of any runtime
//! await a task there, so that dropping a call never stops a commit. Only reads of threads that are attached
//! may be done on these threads themselves, by connections of their own (`own.rs`).

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::{Batch, Hint, Outcome, PoolState, Recalled, Store, StoreError, StoredUser};
use crate::domain::{Seq, Timestamp, UserId};
use cluster::notify::Hints;
use commit::CommitConnection;
use connection::connect::Connector;
use connection::error::{Kind, PostgresError};
use connection::thread_connections::{Params, ThreadConnections};

mod check;
mod cluster;
mod commit;
mod connection;
mod copy;
mod migrate;
mod read;
mod retention;
mod task_row;

/// How to reach the server, and how long to wait for it.
///
/// Each time-out contains the one before it: a lock wait ends before its statement does, a statement
/// before its caller gives up, so that the server's clear answer comes first where there is one.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host[:port][,host…]/database[?parameters]`; see `tls.rs` for
    /// `sslmode` and `sslrootcert`.
    pub url: String,
    /// Connections, the committer's included; at least two are used. Too few: cold users wait for one
    /// another. Too many: the server's `max_connections` is used up by the first few processes.
    pub pool_size: usize,
    /// For each host to accept a connection.
    pub connect_timeout: Duration,
    /// For a pooled connection to come free.
    pub wait_timeout: Duration,
    /// For a row lock somebody else holds. While it lasts, all commits of this process wait.
    pub lock_timeout: Duration,
    /// For one statement, on the server.
    pub statement_timeout: Duration,
    /// For the answer to one statement. A connection without one is given up.
    pub answer_timeout: Duration,
    /// For a server that is still starting, at the start of the store.
    pub startup_patience: Duration,
    /// Whether a server whose settings lose commits at a crash of its machine will do, with a warning.
    pub allow_unsafe: bool,
}

impl PostgresOptions {
    /// The usual time-outs, and a server that loses nothing.
    #[must_use]
    pub const fn new(url: String, pool_size: usize) -> Self {
        Self {
            url,
            pool_size,
            connect_timeout: Duration::from_secs(3),
            wait_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(15),
            startup_patience: Duration::from_secs(15),
            allow_unsafe: false,
        }
    }

    /// The same for whoever keeps the store: no statement is too long, and a lock may be waited for. Only a
    /// server that is gone ends the waiting, which the connection finds out.
    #[must_use]
    pub fn patient(self) -> Self {
        Self {
            lock_timeout: Duration::from_mins(1),
            statement_timeout: Duration::ZERO,
            answer_timeout: Duration::from_hours(24),
            ..self
        }
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL holds a password.
        f.debug_struct("PostgresOptions").field("pool_size", &self.pool_size).finish_non_exhaustive()
    }
}

/// A [`Store`] in a PostgreSQL database.
pub struct PostgresStore {
    inner: Arc<PostgresInner>,
    runtime: Handle,
}

struct PostgresInner {
    pool: Pool,
    own: Arc<ThreadConnections>,
    committer: CommitConnection,
    connector: Connector,
    answer_timeout: Duration,
    /// What other processes are to be told; set where there are any.
    hints: OnceLock<Hints>,
    /// What goes on beside the calls, until the store is closed.
    tasks: Mutex<JoinSet<()>>,
}

/// Rows up to which a user is read where its caller waits; more are taken apart aside.
const MANY: usize = 2_000;

/// Hints that may wait to be taken.
const HINTS: usize = 4_096;

impl PostgresStore {
    /// Reaches the server and brings its tables up to date. The work of the store is done on
    /// `runtime`, which needs timers and I/O; only attached threads read for themselves.
    ///
    /// # Errors
    /// [`StoreError`] when the connection string is wrong, the server cannot be reached within
    /// [`PostgresOptions::startup_patience`], or the tables cannot be migrated.
    pub async fn connect(options: PostgresOptions, runtime: Handle) -> Result<Self, StoreError> {
        let connector =
            Connector::new(&options).map_err(|error| StoreError(format!("PostgreSQL: {error}")))?;
        let work = async move {
            migrate::migrate(&connector, options.startup_patience, options.allow_unsafe)
                .await
                .map_err(|fault| StoreError(format!("PostgreSQL at {}: {fault}", connector.hosts())))?;
            PostgresInner::new(connector, &options)
        };
        let inner = on(&runtime, work).await??;
        let store = Self { inner: Arc::new(inner), runtime };
        let connector = store.inner.connector.clone();
        store.run(async move { cluster::hosts::watch(&connector).await });
        Ok(store)
    }
}

impl PostgresStore {
    /// From now on other processes on this database are told of this one's commits, and what they tell comes
    /// out here. It takes two connections beside the pool's.
    #[must_use]
    pub fn exchange_hints(&self) -> mpsc::Receiver<Hint> {
        let (heard, hints) = mpsc::channel(HINTS);
        let inner = Arc::clone(&self.inner);
        self.run(async move {
            inner.hints.get_or_init(Hints::default).send(&inner.connector, inner.answer_timeout).await;
        });
        let connector = self.inner.connector.clone();
        self.run(async move { cluster::notify::listen(&connector, &heard).await });
        self.inner.hints.get_or_init(Hints::default);
        hints
    }

    /// From now on it is told in the log, and by a metric, when a process works on this database that is not
    /// expected to: any other one, or, of those that share it, one that does not. It takes one connection
    /// beside the pool's.
    pub fn watch_for_others(&self, shared: bool) {
        let connector = self.inner.connector.clone();
        self.run(async move { cluster::peers::watch(&connector, shared).await });
    }

    /// Does work beside the calls, until the store is closed.
    fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn_on(work, &self.runtime);
    }
}

impl PostgresInner {
    fn new(connector: Connector, options: &PostgresOptions) -> Result<Self, StoreError> {
        // Fast looks whether the connection is closed and asks no question; a read that meets one that
        // closed just then is tried again.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let config = connector.config().clone();
        let threads = thread::available_parallelism().map_or(1, usize::from);
        // The committer has one; of the others half may be threads' own, if two are left for everybody.
        let readers = options.pool_size.saturating_sub(1).max(1);
        let own = readers.saturating_sub(2).min(readers / 2);
        let failover = Arc::clone(connector.failover());
        let pool = Pool::builder(Manager::from_connect(config, connector.clone(), recycling))
            .max_size(readers - own)
            .wait_timeout(Some(options.wait_timeout))
            .create_timeout(Some(connector.create_timeout()))
            .recycle_timeout(Some(options.wait_timeout))
            .runtime(Runtime::Tokio1)
            .pre_recycle(Hook::sync_fn(move |_, metrics| {
                // A connection to a server that was left behind may still be open.
                if failover.is_outdated(metrics.created) {
                    Err(HookError::message("outdated"))
                } else {
                    Ok(())
                }
            }))
            .build()
            .map_err(|error| StoreError(format!("PostgreSQL: {error}")))?;
        let (answer_timeout, hints, tasks) = (options.answer_timeout, OnceLock::new(), Mutex::default());
        let committer = CommitConnection::new(connector.clone(), answer_timeout);
        let own = ThreadConnections::new(own, threads);
        Ok(Self { pool, own, committer, connector, answer_timeout, hints, tasks })
    }

    /// Runs one reading statement by the pool. A connection that turns out to be closed is replaced once; one
    /// that failed in whatever way is not used again.
    async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let mut retried = false;
        loop {
            let client =
                self.pool.get().await.map_err(|error| StoreError::from(PostgresError::of_pool(&error)))?;
            let failed = match self.send(&client, sql, params).await {
                Ok(rows) => return Ok(rows),
                Err(failed) => failed,
            };
            drop(Object::take(client));
            if retried || !failed.was_closed {
                return Err(failed.fault.into());
            }
            retried = true;
        }
    }

    /// Sends one reading statement.
    async fn send(
        &self,
        client: &ClientWrapper,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Unanswered> {
        let query = async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, params).await
        };
        match timeout(self.answer_timeout, query).await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => {
                let fault = PostgresError::of(&error);
                Err(Unanswered { was_closed: fault.kind == Kind::Broken, fault })
            }
            Err(_) => {
                Err(Unanswered { was_closed: false, fault: PostgresError::no_answer(self.answer_timeout) })
            }
        }
    }
}

/// Why a read has no answer.
struct Unanswered {
    fault: PostgresError,
    /// Whether the connection turned out to be closed: another one may do.
    was_closed: bool,
}

impl From<PostgresError> for StoreError {
    fn from(fault: PostgresError) -> Self {
        Self(format!("PostgreSQL: {fault}"))
    }
}

/// Does `work` on the store's runtime, whether or not its caller stays to see the end.
async fn on<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, StoreError> {
    let ended = |error| StoreError(format!("PostgreSQL: the store's task broke off: {error}"));
    runtime.spawn(work).await.map_err(ended)
}

#[async_trait]
impl Store for PostgresStore {
    async fn load(&self, user: UserId) -> Result<Option<StoredUser>, StoreError> {
        self.since(user, Seq::ZERO).await
    }

    async fn since(&self, user: UserId, seq: Seq) -> Result<Option<StoredUser>, StoreError> {
        let rows = self.ask_here(read::LOAD, vec![Box::new(user.as_uuid()), Box::new(seq.get())]).await?;
        if rows.len() > MANY {
            return on(&self.runtime, async move { read::stored_user(&rows) }).await?.map_err(Into::into);
        }
        Ok(read::stored_user(&rows)?)
    }

    async fn seqs(&self, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError> {
        let (inner, users) = (Arc::clone(&self.inner), users.to_vec());
        on(&self.runtime, async move { inner.seqs(&users).await }).await?
    }

    async fn commit(&self, batches: &[Arc<Batch>]) -> Vec<Outcome> {
        let inner = Arc::clone(&self.inner);
        let count = batches.len();
        let sent = batches.to_vec();
        match on(&self.runtime, async move { inner.committer.commit(&sent).await }).await {
            Ok(outcomes) => {
                if let Some(hints) = self.inner.hints.get() {
                    let durable = batches.iter().zip(&outcomes);
                    let durable = durable.filter(|(_, outcome)| **outcome == Outcome::Committed);
                    durable.for_each(|(batch, _)| hints.add(batch.user, batch.reached));
                }
                outcomes
            }
            Err(error) => vec![Outcome::Unknown(error.0); count],
        }
    }

    async fn recall(&self, user: UserId, key: &str) -> Result<Recalled, StoreError> {
        let params: Params = vec![Box::new(user.as_uuid()), Box::new(key.to_owned())];
        Ok(read::recalled(&self.ask_here(read::RECALL, params).await?, key)?)
    }

    async fn purge(&self, tombstones: Timestamp, keys: Timestamp) -> Result<u64, StoreError> {
        let inner = Arc::clone(&self.inner);
        on(&self.runtime, async move { inner.purge(tombstones, keys).await }).await?
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        on(&self.runtime, async move { inner.query("SELECT FROM users LIMIT 1", &[]).await.map(drop) })
            .await?
    }

    fn attach_thread(&self) {
        self.attach();
    }

    fn epoch(&self) -> u64 {
        self.inner.connector.failover().epoch()
    }

    fn pool(&self) -> PoolState {
        let status = self.inner.pool.status();
        let (connected, busy) = self.inner.committer.connection();
        let (own, own_idle) = self.inner.own.count();
        PoolState {
            size: status.size + own + usize::from(connected),
            idle: status.available + own_idle + usize::from(connected && !busy),
            waiting: status.waiting,
        }
    }

    async fn close(&self) {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        self.inner.pool.close();
        self.inner.own.close();
        self.inner.committer.close().await;
    }
}
