//! The connections that all reads share, and how a read uses one.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::connect::Connector;
use super::error::{Kind, PostgresError};
use crate::store::StoreError;
use crate::store::postgres::options::PostgresOptions;

/// The parameters of a statement that another task sends.
pub(crate) type Params = Vec<Box<dyn ToSql + Sync + Send>>;

/// Connections that all reads share.
pub(crate) struct ReadPool {
    pool: Pool,
    answer_timeout: Duration,
}

impl ReadPool {
    /// A pool of at most `limit` connections.
    pub(crate) fn new(
        connector: &Connector,
        limit: usize,
        options: &PostgresOptions,
    ) -> Result<Self, StoreError> {
        // Fast only checks that the connection is open, without a query. A read that meets one that has
        // just closed is retried.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let config = connector.config.clone();
        let failover = Arc::clone(&connector.failover);
        let pool = Pool::builder(Manager::from_connect(config, connector.clone(), recycling))
            .max_size(limit)
            .wait_timeout(Some(options.wait_timeout))
            .create_timeout(Some(connector.create_timeout))
            .recycle_timeout(Some(options.wait_timeout))
            .runtime(Runtime::Tokio1)
            .pre_recycle(Hook::sync_fn(move |_, metrics| {
                // A connection to a server that was left behind may still be open.
                let is_current = !failover.is_outdated(metrics.created);
                is_current.then_some(()).ok_or(HookError::message("outdated"))
            }))
            .build()
            .map_err(|error| StoreError(format!("PostgreSQL: {error}")))?;
        Ok(Self { pool, answer_timeout: options.answer_timeout })
    }

    /// Takes a connection from the pool, until it is dropped.
    pub(crate) async fn get(&self) -> Result<Object, PostgresError> {
        self.pool.get().await.map_err(|error| PostgresError::of_pool(&error))
    }

    /// The number of connections, of idle ones, and of waiting callers.
    pub(crate) fn count(&self) -> (usize, usize, usize) {
        let status = self.pool.status();
        (status.size, status.available, status.waiting)
    }

    /// Closes all connections for good.
    pub(crate) fn close(&self) {
        self.pool.close();
    }

    /// Runs one read. If the connection turns out to be closed, the read is retried once on another. A
    /// connection that failed in any way is not used again.
    pub(crate) async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let mut retried = false;
        loop {
            let client = self.get().await?;
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

    /// Sends one read.
    pub(super) async fn send(
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
pub(super) struct Unanswered {
    pub(super) fault: PostgresError,
    /// Whether the connection turned out to be closed: a retry on another one may succeed.
    pub(super) was_closed: bool,
}

/// Parameters as the driver expects them.
pub(crate) fn by_reference(params: &Params) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect()
}

/// Runs `work` on `runtime`. It continues if the caller stops waiting.
pub(crate) async fn on<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, StoreError> {
    let ended = |error| StoreError(format!("PostgreSQL: the store's task broke off: {error}"));
    runtime.spawn(work).await.map_err(ended)
}
