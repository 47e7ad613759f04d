//! What a write's caller and the actor share: who decides over the write, and how long it took.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::store::group_commit::CommitTiming;

/// How long a write took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Until its batch went to the store (the last one, if it was planned again), or until it was answered without.
    pub queue: Duration,
    /// What the store took to make that batch durable, or to refuse it.
    pub commit: Option<Duration>,
}

/// A caller gives up or the actor plans: the first one wins.
/// So a caller that gives up knows for certain whether its command can still take effect.
#[derive(Clone)]
pub(crate) struct Cancellation(Arc<CancellationState>);

struct CancellationState {
    taken: AtomicBool,
    made: Instant,
    /// The last batch that was sent.
    sent: Mutex<Option<CommitTiming>>,
}

impl Cancellation {
    /// For a write that comes now.
    pub(crate) fn new() -> Self {
        let (taken, made, sent) = (AtomicBool::new(false), Instant::now(), Mutex::default());
        Self(Arc::new(CancellationState { taken, made, sent }))
    }

    /// True for the first to ask.
    pub(crate) fn win(&self) -> bool {
        !self.0.taken.swap(true, Ordering::AcqRel)
    }

    /// Makes the decision open again. Only for a command that had no effect.
    pub(crate) fn reopen(&self) {
        self.0.taken.store(false, Ordering::Release);
    }

    /// Notes how long the batch took, for the caller.
    pub(crate) fn note_commit(&self, sending: CommitTiming) {
        *self.0.sent.lock().unwrap_or_else(PoisonError::into_inner) = Some(sending);
    }

    /// How long the write took. To be called once it is answered.
    pub(crate) fn timing(&self) -> Timing {
        let sent = *self.0.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let end = sent.map_or_else(Instant::now, |sent| sent.at);
        Timing { queue: end.saturating_duration_since(self.0.made), commit: sent.map(|sent| sent.took) }
    }
}
