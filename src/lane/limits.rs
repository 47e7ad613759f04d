//! The bounds within which lanes live, as the settings have them.

use std::time::Duration;

/// What a read has to know before it is answered from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Nothing: all writes pass through this process.
    Own,
    /// That no process had written anything newer when the read arrived.
    Strict,
    /// That this was so not longer ago than this. Writes are as exact as with [`Reads::Strict`].
    Bounded(Duration),
}

/// The bounds within which lanes live.
#[derive(Clone, Debug)]
pub struct LaneLimits {
    /// Tasks one user may have.
    pub max_tasks: usize,
    /// Bytes the cached tasks may take, nearly. Beyond it the longest unused lanes go.
    pub cache_bytes: usize,
    /// Writes that may wait in all.
    pub waiting: usize,
    /// Writes of one user that may wait, so that one user's flood leaves room for others.
    pub waiting_per_user: usize,
    /// Event streams that may be open in all.
    pub followers: usize,
    /// Event streams of one user that may be open.
    pub followers_per_user: usize,
    /// How long a write may take. After it the caller gets an answer, whatever the store does.
    pub write_timeout: Duration,
    /// How long an unused lane stays in memory.
    pub idle: Duration,
    /// What a read has to know before it is answered from memory.
    pub reads: Reads,
    /// What the lengths of pauses are drawn by: another number in every process, so that those that write for
    /// one user get out of step.
    pub jitter_seed: u64,
}

impl Default for LaneLimits {
    fn default() -> Self {
        Self {
            max_tasks: 100_000,
            cache_bytes: 256 << 20,
            waiting: 16_384,
            waiting_per_user: 1_024,
            followers: 5_000,
            followers_per_user: 500,
            write_timeout: Duration::from_secs(10),
            idle: Duration::from_mins(10),
            reads: Reads::Own,
            jitter_seed: 0,
        }
    }
}
