//! What lanes are limited to.

use std::time::Duration;

use crate::config::{LaneConfig, Mode};

/// With more tasks than this, whatever looks at all of them happens on the threads of heavy work.
pub const MANY_TASKS: usize = 1000;

/// With more bytes of tasks than this, so does whatever folds or sorts their texts: what takes longest of all, U+FDFA
/// everywhere, takes some ten milliseconds.
pub(crate) const MUCH_TEXT: usize = 64 << 10;

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

/// What lanes are limited to.
#[derive(Clone, Debug)]
pub struct LaneLimits {
    /// What the settings say.
    pub config: LaneConfig,
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
    /// Seed for retry jitter; differs per process, so that competing writers do not retry in lockstep.
    pub jitter_seed: u64,
}

impl LaneLimits {
    /// What the settings say, and the usual for the rest.
    #[must_use]
    pub const fn new(config: LaneConfig) -> Self {
        Self {
            followers: config.max_event_streams,
            followers_per_user: config.max_event_streams / 10,
            config,
            waiting: 16_384,
            waiting_per_user: 1_024,
            write_timeout: Duration::from_secs(10),
            idle: Duration::from_mins(10),
            jitter_seed: 0,
        }
    }

    /// What must hold before a read is answered from memory.
    #[must_use]
    pub fn reads(&self) -> Reads {
        match (self.config.mode, self.config.read_max_staleness.unwrap_or_default()) {
            (Mode::Sole, _) => Reads::Own,
            (Mode::Cluster, Duration::ZERO) => Reads::Strict,
            (Mode::Cluster, staleness) => Reads::Bounded(staleness),
        }
    }
}

impl Default for LaneLimits {
    fn default() -> Self {
        Self::new(LaneConfig::default())
    }
}
