//! What a write's caller and the actor share: who decides over the write, and how long it took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// Microseconds: upper half, from `made` until the batch was sent; lower half, from then until it was settled.
    /// 0: not sent.
    sent: AtomicU64,
}

impl Cancellation {
    /// For a write that comes now.
    pub(crate) fn new() -> Self {
        let (taken, made, sent) = (AtomicBool::new(false), Instant::now(), AtomicU64::new(0));
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
        let queue = sending.at.saturating_duration_since(self.0.made);
        // At least one: 0 stands for a batch that was not sent.
        let took = micros(sending.took).max(1);
        self.0.sent.store(u64::from(micros(queue)) << 32 | u64::from(took), Ordering::Relaxed);
    }

    /// How long the write took. To be called once it is answered.
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

/// Saturates after an hour; no write takes that long.
fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
