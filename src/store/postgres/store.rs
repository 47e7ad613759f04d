//! The store: what goes on beside the calls, and which connection serves which call.
//!
//! Connections, tasks and queries live on one runtime of the store's own: a connection's task dies
//! with the runtime it was spawned on, and an HTTP worker's may go at any time. Callers of any runtime
//! await a task there, so that dropping a call never stops a commit. Only reads of threads that are attached
//! may be done on these threads themselves (`connection/thread_connections.rs`).

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_postgres::Row;

use super::cluster::notify::{self, Hints};
use super::cluster::{hosts, peers};
use super::commit::{self, CommitConnection};
use super::connection::connect::Connector;
use super::connection::read_pool::{Params, ReadPool, by_reference, on};
use super::connection::thread_connections::ThreadConnections;
use super::options::PostgresOptions;
use super::{migrate, read, retention};
use crate::domain::{Seq, Timestamp, UserId};
use crate::store::{Batch, Hint, Outcome, PoolState, Recalled, Store, StoreError, StoredUser};

/// A [`Store`] in a PostgreSQL database.
pub struct PostgresStore {
    pub(super) inner: Arc<PostgresInner>,
    pub(super) runtime: Handle,
}

pub(super) struct PostgresInner {
    pub(super) pool: Arc<ReadPool>,
    own: Arc<ThreadConnections>,
    committer: CommitConnection,
    pub(super) connector: Connector,
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
        store.run(async move { hosts::watch(&connector).await });
        Ok(store)
    }

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
        self.run(async move { notify::listen(&connector, &heard).await });
        self.inner.hints.get_or_init(Hints::default);
        hints
    }

    /// From now on it is told in the log, and by a metric, when a process works on this database that is not
    /// expected to: any other one, or, of those that share it, one that does not. It takes one connection
    /// beside the pool's.
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

    /// Does work beside the calls, until the store is closed.
    pub(super) fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn_on(work, &self.runtime);
    }

    /// Runs one reading statement by the pool, on the store's runtime.
    pub(super) async fn ask(&self, sql: &'static str, params: Params) -> Result<Vec<Row>, StoreError> {
        let pool = Arc::clone(&self.inner.pool);
        on(&self.runtime, async move { pool.query(sql, &by_reference(&params)).await }).await?
    }

    /// The same, by a connection of the present thread's own if one is free.
    async fn ask_here(&self, sql: &'static str, params: Params) -> Result<Vec<Row>, StoreError> {
        self.inner.own.query(&self.runtime, sql, params).await
    }
}

impl PostgresInner {
    fn new(connector: Connector, options: &PostgresOptions) -> Result<Self, StoreError> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        // The committer has one; of the others half may be threads' own, if two are left for everybody.
        let readers = options.pool_size.saturating_sub(1).max(1);
        let own = readers.saturating_sub(2).min(readers / 2);
        let pool = Arc::new(ReadPool::new(&connector, readers - own, options)?);
        let (answer_timeout, hints, tasks) = (options.answer_timeout, OnceLock::new(), Mutex::default());
        let committer = CommitConnection::new(connector.clone(), answer_timeout);
        let own = ThreadConnections::new(connector.clone(), Arc::clone(&pool), own, threads);
        Ok(Self { pool, own, committer, connector, answer_timeout, hints, tasks })
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
            return on(&self.runtime, async move { read::stored_user(&rows) }).await?.map_err(Into::into);
        }
        Ok(read::stored_user(&rows)?)
    }

    async fn seqs(&self, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError> {
        let users: Vec<_> = users.iter().map(|user| user.as_uuid()).collect();
        Ok(read::seqs(&self.ask(read::SEQS, vec![Box::new(users)]).await?)?)
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
        let pool = Arc::clone(&self.inner.pool);
        on(&self.runtime, async move { retention::purge(&pool, tombstones, keys).await }).await?
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.ask("SELECT FROM users LIMIT 1", Vec::new()).await.map(drop)
    }

    fn attach_thread(&self) {
        self.inner.own.attach();
    }

    fn epoch(&self) -> u64 {
        self.inner.connector.failover().epoch()
    }

    fn pool(&self) -> PoolState {
        let (size, idle, waiting) = self.inner.pool.count();
        let (connected, busy) = self.inner.committer.connection();
        let (own, own_idle) = self.inner.own.count();
        PoolState {
            size: size + own + usize::from(connected),
            idle: idle + own_idle + usize::from(connected && !busy),
            waiting,
        }
    }

    async fn close(&self) {
        self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        self.inner.pool.close();
        self.inner.own.close();
        self.inner.committer.close().await;
    }
}
