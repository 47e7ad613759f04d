//! Connections of the threads that read much.
//!
//! By way of the pool, a read is passed on to a thread of the store's, from there to the connection's task, and
//! all the way back: on a machine with nothing else to do, these threads take longer to wake than the server to
//! answer. A thread that is attached has connections whose tasks run on the thread itself. Each serves one read at
//! a time; what comes while none is free, or none is there yet, goes by the pool, so that nothing waits for them.

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

/// How long a thread does without after it has lost a connection, or got none: the pool meets the same trouble.
const PAUSE: Duration = Duration::from_secs(1);

/// The connections of attached threads.
pub(crate) struct ThreadConnections {
    connector: Connector,
    /// For all others.
    pool: Arc<ReadPool>,
    /// How many there may be in all, and of one thread.
    most: usize,
    most_of_thread: usize,
    /// `None` once closed.
    threads: Mutex<Option<HashMap<ThreadId, Thread>>>,
}

/// What one thread has.
#[derive(Default)]
struct Thread {
    idle: Vec<Own>,
    /// Those that are at work, or being opened: as many as there are loans.
    busy: usize,
    /// When the last one was lost.
    lost: Option<Instant>,
}

impl Thread {
    fn all(&self) -> usize {
        self.idle.len() + self.busy
    }
}

/// A connection, and when it was made.
struct Own {
    client: ClientWrapper,
    made: Instant,
}

/// A thread's connection at work, or the place of one that is being opened. It goes back when this is dropped.
struct Loan {
    of: Arc<ThreadConnections>,
    thread: ThreadId,
    /// `None`: there is none yet, or none any more.
    own: Option<Own>,
}

impl Loan {
    /// Ends it: what there is now goes back.
    fn give_back(mut self, own: Option<Own>) {
        self.own = own;
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut threads = self.of.threads();
        if let Some(thread) = threads.as_mut().and_then(|threads| threads.get_mut(&self.thread)) {
            thread.busy -= 1;
            thread.lost = if self.own.is_none() { Some(Instant::now()) } else { None };
            thread.idle.extend(self.own.take());
        }
    }
}

impl ThreadConnections {
    /// So many in all at the most, for about so many threads.
    pub(crate) fn new(connector: Connector, pool: Arc<ReadPool>, most: usize, threads: usize) -> Arc<Self> {
        let most_of_thread = most.div_ceil(threads);
        Arc::new(Self { connector, pool, most, most_of_thread, threads: Mutex::new(Some(HashMap::new())) })
    }

    /// How many there are, and how many of them are idle.
    pub(crate) fn count(&self) -> (usize, usize) {
        let threads = self.threads();
        let threads = || threads.iter().flat_map(HashMap::values);
        (threads().map(Thread::all).sum(), threads().map(|thread| thread.idle.len()).sum())
    }

    /// Lets go of all of them, for good.
    pub(crate) fn close(&self) {
        drop(self.threads().take());
    }

    /// From now on the present thread has connections of its own, as far as there is a place for any.
    pub(crate) fn attach(self: &Arc<Self>) {
        if let Some(threads) = &mut *self.threads() {
            threads.entry(thread::current().id()).or_default();
        }
        if let Some(loan) = self.lend().filter(|loan| loan.own.is_none()) {
            self.open(loan);
        }
    }

    /// One of the present thread's that is free, or the place for one that is to be opened.
    fn lend(self: &Arc<Self>) -> Option<Loan> {
        let failover = self.connector.failover();
        let (here, mut threads) = (thread::current().id(), self.threads());
        let threads = threads.as_mut()?;
        // Of all threads, since one that has ended leaves its own behind.
        for thread in threads.values_mut() {
            thread.idle.retain(|own| !own.client.is_closed() && !failover.is_outdated(own.made));
        }
        let of_all: usize = threads.values().map(Thread::all).sum();
        let thread = threads.get_mut(&here)?;
        let own = thread.idle.pop();
        if own.is_none() {
            let full = of_all >= self.most || thread.all() >= self.most_of_thread;
            if full || thread.lost.is_some_and(|lost| lost.elapsed() < PAUSE) {
                return None;
            }
        }
        thread.busy += 1;
        Some(Loan { of: Arc::clone(self), thread: here, own })
    }

    fn threads(&self) -> MutexGuard<'_, Option<HashMap<ThreadId, Thread>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Opens the connection of which this is the place. Its task runs on the present thread.
    fn open(&self, place: Loan) {
        let connector = self.connector.clone();
        tokio::spawn(async move {
            let made = Instant::now();
            match connector.open().await {
                Ok(client) => place.give_back(Some(Own { client, made })),
                // The pool meets the same, and says so to whoever waits.
                Err(fault) => tracing::debug!(%fault, "a thread has no connection of its own"),
            }
        });
    }

    /// Runs one reading statement: on the present thread, if that has a connection that is free, else by the pool, on
    /// `runtime`.
    pub(crate) async fn query(
        self: &Arc<Self>,
        runtime: &Handle,
        sql: &'static str,
        params: Params,
    ) -> Result<Vec<Row>, StoreError> {
        let params = Arc::new(params);
        match self.lend() {
            Some(mut loan) if loan.own.is_some() => {
                let (pool, params) = (Arc::clone(&self.pool), Arc::clone(&params));
                let asked = async move {
                    let own = loan.own.take()?;
                    let rows = pool.send(&own.client, sql, &by_reference(&params)).await;
                    // One that failed in whatever way is not used again.
                    loan.give_back(rows.is_ok().then_some(own));
                    Some(rows)
                };
                match on(&Handle::current(), asked).await? {
                    Some(Ok(rows)) => return Ok(rows),
                    Some(Err(failed)) if !failed.was_closed => return Err(failed.fault.into()),
                    _ => {}
                }
            }
            Some(place) => self.open(place),
            None => {}
        }
        let pool = Arc::clone(&self.pool);
        on(runtime, async move { pool.query(sql, &by_reference(&params)).await }).await?
    }
}
