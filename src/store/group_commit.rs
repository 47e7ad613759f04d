//! Group commit: whatever batches wait, of all users, go to the store as one commit. There is no
//! artificial delay; a group forms while the last one is being made durable.
//!
//! The committer also settles doubt. A batch whose outcome the store could not tell is sent again,
//! aside, until the store answers: the fence and the batch id make that safe (see [`Store`]).

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::{Batch, Outcome, Store};
use crate::telemetry::metrics;

/// Batches of one group at the most. Larger groups gain nothing and make every caller wait longer.
const GROUP: usize = 512;

/// The pause before a batch in doubt is sent again; doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What finally became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Applied and durable.
    Committed,
    /// Another process wrote first. Not applied.
    Conflict,
    /// The store will never take it. Not applied.
    Rejected(String),
    /// The store could not be reached. Not applied.
    Unavailable(String),
    /// It was in doubt, and before it could be settled another process wrote for the user: whether it
    /// was applied before that cannot be told any more.
    Unknown,
}

/// A batch on its way, with who waits for it.
struct PendingBatch {
    batch: Arc<Batch>,
    permit: CommitPermit,
    tell: Box<dyn FnOnce(Settled, Option<CommitTiming>) + Send>,
    sent: Option<Instant>,
}

/// When a batch was first sent to the store, and how long the store took to settle it.
#[derive(Clone, Copy, Debug)]
pub struct CommitTiming {
    /// When it was sent.
    pub at: Instant,
    /// How long until it was settled, however often it was sent.
    pub took: Duration,
}

/// Held from the moment a batch is handed over until it is settled: at most one per user.
pub type CommitPermit = OwnedMutexGuard<()>;

/// A handle on the committer. The committer ends when the last handle is dropped.
#[derive(Clone)]
pub struct GroupCommitter {
    queue: mpsc::Sender<PendingBatch>,
}

impl GroupCommitter {
    /// Starts the committer on `runtime`, with room for `capacity` waiting batches. The second value
    /// completes when all handles are gone and every batch is settled.
    #[must_use]
    pub fn start(store: Arc<dyn Store>, runtime: &Handle, capacity: usize) -> (Self, JoinHandle<()>) {
        let (queue, pending) = mpsc::channel(capacity);
        (Self { queue }, runtime.spawn(run(store, pending)))
    }

    /// Hands a batch over. `tell` is called once it is settled, with how long the store took if it was sent;
    /// `permit` is released just before that. It is called on the committer's own task, which it must not hold up.
    pub fn submit(
        &self,
        batch: Arc<Batch>,
        permit: CommitPermit,
        tell: impl FnOnce(Settled, Option<CommitTiming>) + Send + 'static,
    ) {
        if let Err(refused) =
            self.queue.try_send(PendingBatch { batch, permit, tell: Box::new(tell), sent: None })
        {
            let why = match &refused {
                mpsc::error::TrySendError::Full(_) => "the committer's queue is full",
                mpsc::error::TrySendError::Closed(_) => "the service is stopping",
            };
            refused.into_inner().settle(Settled::Unavailable(why.into()));
        }
    }
}

impl PendingBatch {
    fn settle(self, settled: Settled) {
        // In this order: who hears the news may at once want the next permit.
        drop(self.permit);
        (self.tell)(settled, self.sent.map(|at| CommitTiming { at, took: at.elapsed() }));
    }
}

async fn run(store: Arc<dyn Store>, mut pending: mpsc::Receiver<PendingBatch>) {
    let mut group = Vec::with_capacity(GROUP);
    let mut doubts = JoinSet::new();
    while pending.recv_many(&mut group, GROUP).await > 0 {
        let in_doubt = commit(&*store, group.drain(..), false).await;
        if !in_doubt.is_empty() {
            doubts.spawn(resolve(Arc::clone(&store), in_doubt));
        }
        while doubts.try_join_next().is_some() {}
    }
    while doubts.join_next().await.is_some() {}
}

/// Sends a group once, settles what is certain, and returns the rest. `again`: it was sent before.
async fn commit(
    store: &dyn Store,
    group: impl Iterator<Item = PendingBatch>,
    again: bool,
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
        let settled = match outcome {
            Outcome::Committed => Settled::Committed,
            Outcome::Unknown(reason) => {
                tracing::warn!(batch = %pending.batch.id, reason, "the outcome of a commit is not known yet");
                in_doubt.push(pending);
                continue;
            }
            // A batch that was in doubt is out of it only when the store knows it, or can never have
            // taken it; the store being away says nothing.
            Outcome::Unavailable(_) if again => {
                in_doubt.push(pending);
                continue;
            }
            Outcome::Conflict if again => Settled::Unknown,
            Outcome::Conflict => Settled::Conflict,
            Outcome::Rejected(reason) => Settled::Rejected(reason),
            Outcome::Unavailable(reason) => Settled::Unavailable(reason),
        };
        pending.settle(settled);
    }
    in_doubt
}

/// Sends batches in doubt again until the store knows each one's outcome. The first time is at once:
/// most doubts come from one broken connection.
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
