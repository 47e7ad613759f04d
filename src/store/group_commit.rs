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
struct Job {
    batch: Arc<Batch>,
    flight: Flight,
    tell: Box<dyn FnOnce(Settled, Option<Sending>) + Send>,
    sent: Option<Instant>,
}

/// When a batch was first sent to the store, and how long the store took to settle it.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// When it was sent.
    pub at: Instant,
    /// How long until it was settled, however often it was sent.
    pub took: Duration,
}

/// Held from the moment a batch is handed over until it is settled: at most one per user.
pub type Flight = OwnedMutexGuard<()>;

/// A handle on the committer. The committer ends when the last handle is dropped.
#[derive(Clone)]
pub struct Committer {
    queue: mpsc::Sender<Job>,
}

impl Committer {
    /// Starts the committer on `runtime`, with room for `capacity` waiting batches. The second value
    /// completes when all handles are gone and every batch is settled.
    #[must_use]
    pub fn start(store: Arc<dyn Store>, runtime: &Handle, capacity: usize) -> (Self, JoinHandle<()>) {
        let (queue, jobs) = mpsc::channel(capacity);
        (Self { queue }, runtime.spawn(run(store, jobs)))
    }

    /// Hands a batch over. `tell` is called once it is settled, with how long the store took if it was sent;
    /// `flight` is released just before that. It is called on the committer's own task, which it must not hold up.
    pub fn submit(
        &self,
        batch: Arc<Batch>,
        flight: Flight,
        tell: impl FnOnce(Settled, Option<Sending>) + Send + 'static,
    ) {
        if let Err(refused) = self.queue.try_send(Job { batch, flight, tell: Box::new(tell), sent: None }) {
            let why = match &refused {
                mpsc::error::TrySendError::Full(_) => "the committer's queue is full",
                mpsc::error::TrySendError::Closed(_) => "the service is stopping",
            };
            refused.into_inner().settle(Settled::Unavailable(why.into()));
        }
    }
}

impl Job {
    fn settle(self, settled: Settled) {
        // In this order: who hears the news may at once want the next flight.
        drop(self.flight);
        (self.tell)(settled, self.sent.map(|at| Sending { at, took: at.elapsed() }));
    }
}

async fn run(store: Arc<dyn Store>, mut jobs: mpsc::Receiver<Job>) {
    let mut group = Vec::with_capacity(GROUP);
    let mut doubts = JoinSet::new();
    while jobs.recv_many(&mut group, GROUP).await > 0 {
        let in_doubt = commit(&*store, group.drain(..), false).await;
        if !in_doubt.is_empty() {
            doubts.spawn(resolve(Arc::clone(&store), in_doubt));
        }
        while doubts.try_join_next().is_some() {}
    }
    while doubts.join_next().await.is_some() {}
}

/// Sends a group once, settles what is certain, and returns the rest. `again`: it was sent before.
async fn commit(store: &dyn Store, group: impl Iterator<Item = Job>, again: bool) -> Vec<Job> {
    let start = Instant::now();
    let jobs: Vec<Job> = group.map(|job| Job { sent: job.sent.or(Some(start)), ..job }).collect();
    let batches: Vec<Arc<Batch>> = jobs.iter().map(|job| Arc::clone(&job.batch)).collect();
    let outcomes = store.commit(&batches).await;
    metrics().commit(batches.len(), start.elapsed());
    debug_assert_eq!(outcomes.len(), jobs.len(), "the store answers for every batch");

    let mut in_doubt = Vec::new();
    for (job, outcome) in jobs.into_iter().zip(outcomes) {
        let settled = match outcome {
            Outcome::Committed => Settled::Committed,
            Outcome::Unknown(reason) => {
                tracing::warn!(batch = %job.batch.id, reason, "the outcome of a commit is not known yet");
                in_doubt.push(job);
                continue;
            }
            // A batch that was in doubt is out of it only when the store knows it, or can never have
            // taken it; the store being away says nothing.
            Outcome::Unavailable(_) if again => {
                in_doubt.push(job);
                continue;
            }
            Outcome::Conflict if again => Settled::Unknown,
            Outcome::Conflict => Settled::Conflict,
            Outcome::Rejected(reason) => Settled::Rejected(reason),
            Outcome::Unavailable(reason) => Settled::Unavailable(reason),
        };
        job.settle(settled);
    }
    in_doubt
}

/// Sends batches in doubt again until the store knows each one's outcome. The first time is at once:
/// most doubts come from one broken connection.
async fn resolve(store: Arc<dyn Store>, mut jobs: Vec<Job>) {
    let mut pause = FIRST_PAUSE;
    loop {
        jobs = commit(&*store, jobs.into_iter(), true).await;
        if jobs.is_empty() {
            return;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
