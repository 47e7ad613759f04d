//! Connections that belong to the threads that read most: the HTTP workers.
//!
//! A read through the pool wakes a thread of the store, then the connection's task, and then the caller's
//! thread again. On an idle machine these wake-ups take longer than the server's answer. An attached thread
//! has connections whose tasks run on the thread itself. Each serves one read at a time. While none is free
//! or open, reads go through the pool, so no read waits for one of these.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use deadpool_postgres::ClientWrapper;
use tokio::runtime::Handle;
use tokio_postgres::Row;

use super::connect::Connector;
use super::read_pool::{Params, ReadPool, by_reference, on};
use crate::store::StoreError;

/// How long a thread opens no new connection after it has lost one, or failed to open one.
const PAUSE: Duration = Duration::from_secs(1);

/// The connections of attached threads.
pub(crate) struct ThreadConnections {
    connector: Connector,
    /// For reads that find no free connection here.
    pool: Arc<ReadPool>,
    /// At most this many connections in all, and per thread.
    limit: usize,
    limit_per_thread: usize,
    /// `None` once closed.
    threads: Mutex<Option<HashMap<ThreadId, Thread>>>,
}

/// One thread's connections.
#[derive(Default)]
struct Thread {
    idle: Vec<ThreadConnection>,
    /// The number in use or being opened: one for each [`Loan`].
    busy: usize,
    /// When a connection was lost, unless one has been returned since.
    lost: Option<Instant>,
}

impl Thread {
    fn size(&self) -> usize {
        self.idle.len() + self.busy
    }
}

/// A connection, and when it was opened.
struct ThreadConnection {
    client: ClientWrapper,
    made: Instant,
}

/// A thread's connection in use, or the slot of one that is being opened. Dropping it returns the
/// connection.
struct Loan {
    owner: Arc<ThreadConnections>,
    thread: ThreadId,
    /// `None` if it is not open yet, or was lost.
    connection: Option<ThreadConnection>,
}

impl Loan {
    /// Ends the loan, and returns the connection if there is one.
    fn give_back(mut self, connection: Option<ThreadConnection>) {
        self.connection = connection;
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut threads = self.owner.threads();
        if let Some(thread) = threads.as_mut().and_then(|threads| threads.get_mut(&self.thread)) {
            thread.busy -= 1;
            thread.lost = self.connection.is_none().then(Instant::now);
            thread.idle.extend(self.connection.take());
        }
    }
}

impl ThreadConnections {
    /// At most `limit` connections, shared by about so many threads.
    pub(crate) fn new(connector: Connector, pool: Arc<ReadPool>, limit: usize, threads: usize) -> Arc<Self> {
        let limit_per_thread = limit.div_ceil(threads);
        let threads = Mutex::new(Some(HashMap::new()));
        Arc::new(Self { connector, pool, limit, limit_per_thread, threads })
    }

    /// The number of connections, and of idle ones.
    pub(crate) fn count(&self) -> (usize, usize) {
        let threads = self.threads();
        let threads = || threads.iter().flat_map(HashMap::values);
        (threads().map(Thread::size).sum(), threads().map(|thread| thread.idle.len()).sum())
    }

    /// Closes all connections for good.
    pub(crate) fn close(&self) {
        drop(self.threads().take());
    }

    /// From now on the current thread has connections of its own, within the limits.
    pub(crate) fn attach(self: &Arc<Self>) {
        if let Some(threads) = &mut *self.threads() {
            threads.entry(thread::current().id()).or_default();
        }
        if let Some(loan) = self.lend().filter(|loan| loan.connection.is_none()) {
            self.open(loan);
        }
    }

    /// A free connection of the current thread, or the slot for one to be opened.
    fn lend(self: &Arc<Self>) -> Option<Loan> {
        let failover = &self.connector.failover;
        let (here, mut threads) = (thread::current().id(), self.threads());
        let threads = threads.as_mut()?;
        // For all threads, because one that has ended leaves closed connections behind.
        for thread in threads.values_mut() {
            thread.idle.retain(|one| !one.client.is_closed() && !failover.is_outdated(one.made));
        }
        let size: usize = threads.values().map(Thread::size).sum();
        let thread = threads.get_mut(&here)?;
        let connection = thread.idle.pop();
        if connection.is_none() {
            let full = size >= self.limit || thread.size() >= self.limit_per_thread;
            if full || thread.lost.is_some_and(|lost| lost.elapsed() < PAUSE) {
                return None;
            }
        }
        thread.busy += 1;
        Some(Loan { owner: Arc::clone(self), thread: here, connection })
    }

    fn threads(&self) -> MutexGuard<'_, Option<HashMap<ThreadId, Thread>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the connection for this slot. Its task runs on the current thread.
    fn open(&self, slot: Loan) {
        let connector = self.connector.clone();
        tokio::spawn(async move {
            let made = Instant::now();
            match connector.open().await {
                Ok(client) => slot.give_back(Some(ThreadConnection { client, made })),
                // At debug level: reads through the pool report the same trouble.
                Err(fault) => tracing::debug!(%fault, "cannot open a thread's own connection"),
            }
        });
    }

    /// Runs one read: on the current thread if it has a free connection, otherwise through the pool, on
    /// `runtime`.
    pub(crate) async fn query(
        self: &Arc<Self>,
        runtime: &Handle,
        sql: &'static str,
        params: Params,
    ) -> Result<Vec<Row>, StoreError> {
        let params = Arc::new(params);
        match self.lend() {
            Some(mut loan) if loan.connection.is_some() => {
                let (pool, params) = (Arc::clone(&self.pool), Arc::clone(&params));
                let asked = async move {
                    let connection = loan.connection.take()?;
                    let rows = pool.send(&connection.client, sql, &by_reference(&params)).await;
                    // A connection that failed in any way is not used again.
                    loan.give_back(rows.is_ok().then_some(connection));
                    Some(rows)
                };
                match on(&Handle::current(), asked).await? {
                    Some(Ok(rows)) => return Ok(rows),
                    Some(Err(failed)) if !failed.was_closed => return Err(failed.fault.into()),
                    _ => {}
                }
            }
            Some(slot) => self.open(slot),
            None => {}
        }
        let pool = Arc::clone(&self.pool);
        on(runtime, async move { pool.query(sql, &by_reference(&params)).await }).await?
    }
}
