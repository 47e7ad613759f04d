//! The store: its background tasks, and which connection serves which call.
//!
//! Connections, tasks and queries run on one runtime of the store's own, because a connection's task ends
//! with the runtime it was spawned on, and an HTTP worker's runtime may end at any time. Callers on any
//! runtime await a task there, so dropping a call never stops a commit. Only attached threads may read on
//! their own (`connection/thread_connections.rs`).

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_postgres::Row;

use super::cluster::notify::{self, Hints};
use super::cluster::{hosts, peers};
use super::commit::{self, CommitConnection};
use super::connection::connect::Connector;
use super::connection::failover::{RENEW, TABLES};
use super::connection::read_pool::{Params, ReadPool, by_reference, on};
use super::connection::thread_connections::ThreadConnections;
use super::options::PostgresOptions;
use super::{migrate, read, retention};
use crate::domain::{Seq, Timestamp, UserId};
use crate::store::group_commit::LARGE_AT_ONCE;
use crate::store::{Batch, Hint, Outcome, PoolState, Recalled, Store, StoreError, StoreLife, StoredUser};

/// A [`Store`] in a PostgreSQL database.
pub struct PostgresStore {
    pub(super) inner: Arc<PostgresInner>,
    pub(super) runtime: Handle,
}

pub(super) struct PostgresInner {
    pub(super) pool: Arc<ReadPool>,
    thread_connections: Arc<ThreadConnections>,
    committer: CommitConnection,
    /// For large batches: usual ones never wait for them. Each is open only while there is one.
    large_committers: [CommitConnection; LARGE_AT_ONCE],
    pub(super) connector: Connector,
    answer_timeout: Duration,
    /// Hints for other processes; set if there are any.
    hints: OnceLock<Hints>,
    /// Background tasks, until the store is closed.
    tasks: Mutex<JoinSet<()>>,
}

/// Up to this many rows are decoded on the caller's thread; more on the store's runtime.
const MANY: usize = 2_000;

/// Received hints that may wait to be read.
const HINTS: usize = 4_096;

impl PostgresStore {
    /// Connects to the server and migrates its tables. The store works on `runtime`, which needs timers and
    /// I/O; only attached threads read on their own.
    ///
    /// # Errors
    /// [`StoreError`] when the connection string is invalid, the server cannot be reached within
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
        store.run(async move { hosts::watch(&connector).await });
        Ok(store)
    }

    /// Whether a server is on another machine, and nothing proves that it is the right one.
    #[must_use]
    pub fn is_open_to_a_middleman(&self) -> bool {
        self.inner.connector.is_open_to_a_middleman()
    }

    /// Starts to send hints of commits to other processes on this database, and returns the hints received.
    /// It uses two connections in addition to the pool's.
    pub(crate) fn exchange_hints(&self) -> mpsc::Receiver<Hint> {
        let (received, hints) = mpsc::channel(HINTS);
        let inner = Arc::clone(&self.inner);
        self.run(async move {
            inner.hints.get_or_init(Hints::default).send(&inner.connector, inner.answer_timeout).await;
        });
        let connector = self.inner.connector.clone();
        self.run(async move { notify::listen(&connector, &received).await });
        self.inner.hints.get_or_init(Hints::default);
        hints
    }

    /// Starts to report unexpected peers, in the log and by a metric. If the database is `shared`, that is
    /// a process that expects none; otherwise it is any other process. It uses one connection in addition
    /// to the pool's.
    pub fn watch_for_others(&self, shared: bool) {
        let connector = self.inner.connector.clone();
        self.run(async move { peers::watch(&connector, shared).await });
    }

    /// The statements whose plans must stay good however much is stored, for the tests.
    #[doc(hidden)]
    #[must_use]
    pub fn statements() -> [&'static str; 5] {
        [&commit::ADVANCE, &commit::ERASE, &read::LOAD, read::SEQS, commit::KNOWN]
    }

    /// Runs a background task, until the store is closed.
    pub(super) fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn_on(work, &self.runtime);
    }

    /// Runs one read through the pool, on the store's runtime.
    pub(super) async fn ask(&self, sql: &'static str, params: Params) -> Result<Vec<Row>, StoreError> {
        let pool = Arc::clone(&self.inner.pool);
        on(&self.runtime, async move { pool.query(sql, &by_reference(&params)).await }).await?
    }

    /// The same, on a connection of the current thread's own if one is free.
    async fn ask_here(&self, sql: &'static str, params: Params) -> Result<Vec<Row>, StoreError> {
        self.inner.thread_connections.query(&self.runtime, sql, params).await
    }
}

impl PostgresInner {
    fn new(connector: Connector, options: &PostgresOptions) -> Result<Self, StoreError> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        // The committer has one. Half of the others may belong to threads, if two are left for everybody.
        let readers = options.pool_size.saturating_sub(1).max(1);
        let thread_owned = readers.saturating_sub(2).min(readers / 2);
        let pool = Arc::new(ReadPool::new(&connector, readers - thread_owned, options)?);
        let (answer_timeout, hints, tasks) = (options.answer_timeout, OnceLock::new(), Mutex::default());
        let committer = CommitConnection::new(connector.clone(), answer_timeout);
        let large_committers =
            std::array::from_fn(|_| CommitConnection::new(connector.clone(), answer_timeout));
        let thread_connections =
            ThreadConnections::new(connector.clone(), Arc::clone(&pool), thread_owned, threads);
        Ok(Self {
            pool,
            thread_connections,
            committer,
            large_committers,
            connector,
            answer_timeout,
            hints,
            tasks,
        })
    }

    async fn commit(&self, batches: &[Arc<Batch>]) -> Vec<Outcome> {
        if !batches.iter().any(|batch| batch.is_large()) {
            return self.committer.commit(batches).await;
        }
        let (large, usual): (Vec<_>, Vec<_>) = batches.iter().cloned().partition(|batch| batch.is_large());
        let free = self.large_committers.iter().find(|committer| !committer.connection().1);
        let apart = free.unwrap_or(&self.large_committers[0]).commit_large(&large);
        // Boxed, so that usual commits do not carry the size of its state.
        let apart = Box::pin(join(apart, self.committer.commit(&usual)));
        let (large, usual) = apart.await;
        commit::in_order(batches, Batch::is_large, large, usual)
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn load(&self, user: UserId) -> Result<Option<StoredUser>, StoreError> {
        self.since(user, Seq::ZERO).await
    }

    async fn since(&self, user: UserId, seq: Seq) -> Result<Option<StoredUser>, StoreError> {
        let rows = self.ask_here(&read::LOAD, vec![Box::new(user.as_uuid()), Box::new(seq.get())]).await?;
        if rows.len() > MANY {
            return on(&self.runtime, async move { read::stored_user(rows) }).await?.map_err(Into::into);
        }
        Ok(read::stored_user(rows)?)
    }

    async fn seqs(&self, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError> {
        let users: Vec<_> = users.iter().map(|user| user.as_uuid()).collect();
        Ok(read::seqs(&self.ask(read::SEQS, vec![Box::new(users)]).await?)?)
    }

    async fn commit(&self, batches: &[Arc<Batch>]) -> Vec<Outcome> {
        let inner = Arc::clone(&self.inner);
        let count = batches.len();
        let sent = batches.to_vec();
        match on(&self.runtime, async move { inner.commit(&sent).await }).await {
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

    async fn went_back(&self, epoch: u64) -> Result<(), StoreError> {
        let failover = &self.inner.connector.failover;
        // Perhaps it shows by now; if it does not, this is another store from here on.
        failover.observe_tables(&self.ask(TABLES, Vec::new()).await?);
        if self.life().epoch == epoch {
            failover.observe_tables(&self.ask(RENEW, Vec::new()).await?);
        }
        Ok(())
    }

    async fn recall(&self, user: UserId, key: &str) -> Result<Recalled, StoreError> {
        let params: Params = vec![Box::new(user.as_uuid()), Box::new(key.to_owned())];
        Ok(read::recalled(&self.ask_here(read::RECALL, params).await?, key)?)
    }

    async fn purge(&self, tombstones: Timestamp, keys: Timestamp) -> Result<u64, StoreError> {
        let pool = Arc::clone(&self.inner.pool);
        on(&self.runtime, async move { retention::purge(&pool, tombstones, keys).await }).await?
    }

    async fn forget(&self, user: UserId, before: Seq) -> Result<u64, StoreError> {
        let pool = Arc::clone(&self.inner.pool);
        on(&self.runtime, async move { retention::forget(&pool, user, before).await }).await?
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.ask("SELECT FROM users LIMIT 1", Vec::new()).await.map(drop)
    }

    fn attach_thread(&self) {
        self.inner.thread_connections.attach();
    }

    fn life(&self) -> StoreLife {
        self.inner.connector.failover.life()
    }

    fn pool(&self) -> PoolState {
        let (size, idle, waiting) = self.inner.pool.count();
        let (own, own_idle) = self.inner.thread_connections.count();
        let committers = std::iter::once(&self.inner.committer).chain(&self.inner.large_committers);
        let committers: Vec<_> = committers.map(CommitConnection::connection).collect();
        let count = |is_so: fn(&(bool, bool)) -> bool| committers.iter().filter(|state| is_so(state)).count();
        PoolState {
            size: size + own + count(|(connected, _)| *connected),
            idle: idle + own_idle + count(|(connected, busy)| *connected && !busy),
            waiting,
        }
    }

    async fn close(&self) {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        self.inner.pool.close();
        self.inner.thread_connections.close();
        self.inner.committer.close().await;
        for committer in &self.inner.large_committers {
            committer.close().await;
        }
    }
}
