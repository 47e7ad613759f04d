//! Group commit: all waiting batches, of all users, go to the store as one commit. There is no artificial
//! delay: a group forms while the previous one is made durable.
//!
//! A large batch (an import, an erasure) is committed alone, beside the groups: none of them waits for it. Some are
//! committed at once, so that one user's never keeps the others' waiting.
//!
//! The committer also settles batches in doubt: it retries them, beside new groups, until the store knows
//! their outcome. The fence and the batch id make that safe (see [`Store`]).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::batch::fitting;
use super::{Batch, Outcome, Store};
use crate::domain::Cost;
use crate::telemetry::metrics;

/// At most this many batches in one group. Larger groups gain nothing and make every caller wait longer.
const GROUP: usize = 512;

/// At most this much in one group of more than one batch. The next group begins with what does not fit.
const GROUP_COST: Cost = Cost::new(2_000, 4 << 20);

/// Large batches that are committed at once, at most. A user has one at most.
pub const LARGE_AT_ONCE: usize = 4;

/// The pause before a batch in doubt is retried; it doubles each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A batch that is not settled yet.
struct PendingBatch {
    batch: Arc<Batch>,
    permit: CommitPermit,
    on_settled: Box<dyn FnOnce(Outcome, Option<CommitTiming>) + Send>,
    sent: Option<Instant>,
}

/// When a batch was first sent, and how long it took to settle it.
#[derive(Clone, Copy, Debug)]
pub struct CommitTiming {
    /// When it was first sent.
    pub at: Instant,
    /// How long until it was settled, retries included.
    pub took: Duration,
}

/// Held from the time a batch is submitted until it is settled: at most one per user.
pub type CommitPermit = OwnedMutexGuard<()>;

/// A handle to the committer, which stops when the last handle is dropped.
#[derive(Clone)]
pub struct GroupCommitter {
    usual: mpsc::Sender<PendingBatch>,
    large: mpsc::Sender<PendingBatch>,
}

impl GroupCommitter {
    /// Starts the committer on `runtime`, with a queue of `capacity` usual batches and one of as many large
    /// ones. The returned task ends when all handles are dropped and every batch is settled.
    #[must_use]
    pub fn start(store: Arc<dyn Store>, runtime: &Handle, capacity: usize) -> (Self, JoinHandle<()>) {
        let (usual, groups) = mpsc::channel(capacity);
        let (large, alone) = mpsc::channel(capacity);
        let groups = runtime.spawn(commit_groups(Arc::clone(&store), groups));
        let alone = runtime.spawn(commit_alone(store, alone));
        let settled = runtime.spawn(async move { drop(join(groups, alone).await) });
        (Self { usual, large }, settled)
    }

    /// Queues a batch. Once it is settled, `permit` is released and then `on_settled` is called, with the
    /// timing if the batch was sent. It runs on the committer's task and must not block it. The outcome is
    /// [`Outcome::Unknown`] only if it can no longer be determined, because another process has written.
    pub fn submit(
        &self,
        batch: Arc<Batch>,
        permit: CommitPermit,
        on_settled: impl FnOnce(Outcome, Option<CommitTiming>) + Send + 'static,
    ) {
        let queue = if batch.is_large() { &self.large } else { &self.usual };
        let pending = PendingBatch { batch, permit, on_settled: Box::new(on_settled), sent: None };
        if let Err(refused) = queue.try_send(pending) {
            let why = match &refused {
                mpsc::error::TrySendError::Full(_) => "the committer's queue is full",
                mpsc::error::TrySendError::Closed(_) => "the service is stopping",
            };
            refused.into_inner().settle(Outcome::Unavailable(why.into()));
        }
    }
}

impl PendingBatch {
    fn settle(self, outcome: Outcome) {
        // In this order: the callback may need the next permit at once.
        drop(self.permit);
        (self.on_settled)(outcome, self.sent.map(|at| CommitTiming { at, took: at.elapsed() }));
    }
}

/// Commits what arrives, in order and in groups.
async fn commit_groups(store: Arc<dyn Store>, mut queue: mpsc::Receiver<PendingBatch>) {
    let mut waiting = Vec::with_capacity(GROUP);
    let mut doubts = JoinSet::new();
    while !waiting.is_empty() || queue.recv_many(&mut waiting, GROUP).await > 0 {
        while waiting.len() < GROUP
            && let Ok(pending) = queue.try_recv()
        {
            waiting.push(pending);
        }
        let fitting = match waiting.len() {
            1 => 1,
            _ => fitting(waiting.iter().map(|pending| pending.batch.cost()), GROUP_COST),
        };
        let in_doubt = commit(&*store, waiting.drain(..fitting), false).await;
        if !in_doubt.is_empty() {
            doubts.spawn(resolve(Arc::clone(&store), in_doubt));
        }
        while doubts.try_join_next().is_some() {}
    }
    while doubts.join_next().await.is_some() {}
}

/// Commits each batch that arrives by itself, [`LARGE_AT_ONCE`] of them at once.
async fn commit_alone(store: Arc<dyn Store>, mut queue: mpsc::Receiver<PendingBatch>) {
    let slots = Arc::new(Semaphore::new(LARGE_AT_ONCE));
    let mut commits = JoinSet::new();
    while let Some(pending) = queue.recv().await {
        let slot = Arc::clone(&slots).acquire_owned().await;
        let store = Arc::clone(&store);
        commits.spawn(async move {
            let in_doubt = commit(&*store, std::iter::once(pending), false).await;
            drop(slot);
            if !in_doubt.is_empty() {
                resolve(store, in_doubt).await;
            }
        });
        while commits.try_join_next().is_some() {}
    }
    while commits.join_next().await.is_some() {}
}

/// Sends a group once, settles every batch whose outcome is known, and returns those in doubt.
async fn commit(
    store: &dyn Store,
    group: impl Iterator<Item = PendingBatch> + Send,
    is_retry: bool,
) -> Vec<PendingBatch> {
    let start = Instant::now();
    let pending: Vec<PendingBatch> =
        group.map(|pending| PendingBatch { sent: pending.sent.or(Some(start)), ..pending }).collect();
    let batches: Vec<Arc<Batch>> = pending.iter().map(|pending| Arc::clone(&pending.batch)).collect();
    let outcomes = store.commit(&batches).await;
    metrics().commit(batches.len(), start.elapsed());
    debug_assert_eq!(outcomes.len(), pending.len(), "the store answers for every batch");

    let mut in_doubt = Vec::new();
    for (pending, outcome) in pending.into_iter().zip(outcomes) {
        let outcome = match outcome {
            Outcome::Unknown(reason) => {
                tracing::warn!(batch = %pending.batch.id, reason, "the outcome of a commit is not known yet");
                in_doubt.push(pending);
                continue;
            }
            // It says nothing of the earlier attempt: the batch stays in doubt.
            Outcome::Unavailable(_) if is_retry => {
                in_doubt.push(pending);
                continue;
            }
            // Another process wrote before the batch was settled, perhaps after the batch was applied.
            Outcome::Conflict if is_retry => Outcome::Unknown("another process wrote meanwhile".into()),
            outcome => outcome,
        };
        pending.settle(outcome);
    }
    in_doubt
}

/// Retries batches in doubt until the store knows the outcome of each. The first retry is immediate,
/// because the usual cause is one broken connection.
async fn resolve(store: Arc<dyn Store>, mut pending: Vec<PendingBatch>) {
    let mut pause = FIRST_PAUSE;
    loop {
        pending = commit(&*store, pending.into_iter(), true).await;
        if pending.is_empty() {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
