//! What a write's caller and the actor share while it is under way: who decides over it, and how long the
//! store took for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::store::group_commit::CommitTiming;

/// How long a write took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Until its batch, the last one if it was planned anew, went to the store; of a write that did not come
    /// to that, until it was answered.
    pub queue: Duration,
    /// What the store took to make that batch durable, or to refuse it.
    pub commit: Option<Duration>,
}

/// Who decides over a queued command: the actor by planning it, or the caller by giving up on it.
/// The first one wins, so a caller knows for certain whether its command can still take effect.
#[derive(Clone)]
pub(crate) struct Cancellation(Arc<CancellationState>);

struct CancellationState {
    taken: AtomicBool,
    made: Instant,
    /// Microseconds: from `made` until the batch was sent, and, in the lower half, until it was settled. 0: not sent.
    sent: AtomicU64,
}

impl Cancellation {
    /// Of a write that comes now.
    pub(crate) fn new() -> Self {
        let (taken, made, sent) = (AtomicBool::new(false), Instant::now(), AtomicU64::new(0));
        Self(Arc::new(CancellationState { taken, made, sent }))
    }

    /// True for the first to ask.
    pub(crate) fn win(&self) -> bool {
        !self.0.taken.swap(true, Ordering::AcqRel)
    }

    /// Gives the decision back. Only for a command that was answered without effect.
    pub(crate) fn reopen(&self) {
        self.0.taken.store(false, Ordering::Release);
    }

    /// Notes that its batch was sent, for the caller to see with the answer.
    pub(crate) fn note_commit(&self, sending: CommitTiming) {
        let queue = sending.at.saturating_duration_since(self.0.made);
        // At the least one, which tells it from a batch that was not sent.
        let took = micros(sending.took).max(1);
        self.0.sent.store(u64::from(micros(queue)) << 32 | u64::from(took), Ordering::Relaxed);
    }

    /// How long it took, to be asked when it is answered.
    pub(crate) fn timing(&self) -> Timing {
        match self.0.sent.load(Ordering::Relaxed) {
            0 => Timing { queue: self.0.made.elapsed(), commit: None },
            sent => Timing {
                queue: Duration::from_micros(sent >> 32),
                commit: Some(Duration::from_micros(sent & u64::from(u32::MAX))),
            },
        }
    }
}

/// An hour at the most; no write takes as long.
fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
