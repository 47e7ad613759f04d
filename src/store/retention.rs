//! Purges old tombstones and idempotency keys.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::{Store, StoreError};
use crate::domain::Timestamp;

/// How long a tombstone is kept. A client that was away for longer has to reload its list.
const TOMBSTONES: Duration = Duration::from_hours(30 * 24);

/// How long a key is kept: twice the documented day.
const KEYS: Duration = Duration::from_hours(48);

/// Time between two purges.
const EVERY: Duration = Duration::from_hours(1);

/// Purges now and every hour. It never returns: the caller aborts its task.
pub async fn maintain(store: Arc<dyn Store>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Timestamp::now();
        match store.purge(now.before(TOMBSTONES), now.before(KEYS)).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "forgot old deletions and idempotency keys"),
            Err(error) => tracing::warn!(%error, "old deletions and idempotency keys could not be forgotten"),
        }
    }
}

/// Repeats one bounded step of a purge until it finds nothing more. Returns how many rows were removed.
pub(super) async fn repeat<F: Future<Output = Result<u64, StoreError>>>(
    step: impl Fn() -> F,
) -> Result<u64, StoreError> {
    let mut all = 0;
    loop {
        match step().await? {
            0 => return Ok(all),
            removed => all += removed,
        }
    }
}
