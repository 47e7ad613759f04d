//! What the settings limit lanes to.

use std::time::Duration;

/// What must hold before a read is answered from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Nothing: all writes go through this process.
    Own,
    /// That no process had written anything newer when the read arrived.
    Strict,
    /// That this was so at most this long ago. Writes are as exact as with [`Reads::Strict`].
    Bounded(Duration),
}

/// What the settings limit lanes to.
#[derive(Clone, Debug)]
pub struct LaneLimits {
    /// Tasks one user may have.
    pub max_tasks: usize,
    /// Bytes that cached tasks may take, nearly. Beyond it the least recently used lanes are passivated.
    pub cache_bytes: usize,
    /// Writes that may wait in all.
    pub waiting: usize,
    /// Writes of one user that may wait: one user's flood leaves room for others.
    pub waiting_per_user: usize,
    /// Event streams that may be open in all.
    pub followers: usize,
    /// Event streams of one user that may be open.
    pub followers_per_user: usize,
    /// How long a write may take. Then the caller gets an answer, whatever the store does.
    pub write_timeout: Duration,
    /// How long an unused lane stays in memory.
    pub idle: Duration,
    /// What must hold before a read is answered from memory.
    pub reads: Reads,
    /// Seed for retry jitter; differs per process, so that competing writers do not retry in lockstep.
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
