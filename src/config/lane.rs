//! Limits per user, what is kept in memory, and how fresh reads are.

use std::time::Duration;

use clap::Args;

use super::check::{ConfigError, defaults, either, form, number};
use super::store::StoreUrl;

/// Maximum of `READ_MAX_STALENESS`.
const OLDEST: Duration = Duration::from_mins(1);

/// Limits per user, what is kept in memory, and how fresh reads are.
#[derive(Args, Clone, Debug)]
pub struct LaneConfig {
    /// `sole`: no other process works on the store; `cluster`: any number of them do, on one PostgreSQL
    #[arg(long, env, display_order = 10, default_value = "sole")]
    #[arg(value_parser = either(("sole", Mode::Sole), ("cluster", Mode::Cluster)))]
    pub mode: Mode,
    /// With `MODE=cluster`, how old a state a read may show; 0, the default, for the newest only
    // 0: every read shows every write acknowledged before it. Too high: a user who is moved to another
    // process misses what was just written.
    #[arg(long, env, display_order = 11, value_name = "DURATION")]
    #[arg(value_parser = form("a duration up to 1m, such as 1s or 500ms, or 0", staleness))]
    pub read_max_staleness: Option<Duration>,
    /// Maximum memory for cached tasks; beyond it idle users are dropped from memory
    #[arg(long, env, display_order = 13, value_name = "BYTES")]
    #[arg(default_value_t = 256 << 20, value_parser = number(1 << 20..=1_usize << 40))]
    pub cache_max_bytes: usize,
    /// Maximum memory for requests under way: bodies, waiting writes, large answers; one user may have half of it
    #[arg(long, env, display_order = 13, value_name = "BYTES")]
    #[arg(default_value_t = 128 << 20, value_parser = number(8 << 20..=1_usize << 40))]
    pub work_max_bytes: usize,
    /// Maximum number of tasks per user
    #[arg(long, env, display_order = 14, value_name = "COUNT")]
    #[arg(default_value_t = 100_000, value_parser = number(1..=10_000_000_usize))]
    pub max_tasks_per_user: usize,
    /// Maximum bytes of one user's data: tasks, deletions and idempotency keys
    #[arg(long, env, display_order = 14, value_name = "BYTES")]
    #[arg(default_value_t = 64 << 20, value_parser = number(1 << 10..=1_usize << 40))]
    pub max_bytes_per_user: usize,
    /// Maximum number of open event streams; one user may have a tenth of them
    // Each takes a connection: as many as there may be connections would leave none for requests.
    #[arg(long, env, display_order = 15, value_name = "COUNT")]
    #[arg(default_value_t = 5_000, value_parser = number(10..=1_000_000_usize))]
    pub max_event_streams: usize,
}

/// Which processes work on the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// This one alone. Its memory is the newest state.
    Sole,
    /// Any number of them, on one PostgreSQL database.
    Cluster,
}

impl Default for LaneConfig {
    fn default() -> Self {
        defaults()
    }
}

impl LaneConfig {
    pub(super) fn check(&self, store: &StoreUrl) -> Result<(), ConfigError> {
        let why = match (self.mode, self.read_max_staleness, store) {
            (Mode::Sole, Some(_), _) => "READ_MAX_STALENESS is set, but only has a meaning with MODE=cluster",
            (Mode::Cluster, _, StoreUrl::Sqlite(_)) => {
                "MODE is `cluster`, but the store is SQLite, which one process uses at a time: \
                 DATABASE_URL must name a PostgreSQL database"
            }
            _ => return Ok(()),
        };
        Err(ConfigError(why.to_owned()))
    }
}

fn staleness(text: &str) -> Option<Duration> {
    let given = if text == "0" { Ok(Duration::ZERO) } else { humantime::parse_duration(text) };
    given.ok().filter(|given| *given <= OLDEST)
}
