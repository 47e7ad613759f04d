//! What has to be forgotten in time: old deletions and old idempotency keys.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Store;
use crate::domain::Timestamp;

/// How long a deletion is remembered. A client that was away for longer has to read its list anew.
const TOMBSTONES: Duration = Duration::from_hours(30 * 24);

/// How long a key is remembered: twice the day that is promised.
const KEYS: Duration = Duration::from_hours(48);

/// The time between two clean-ups.
const EVERY: Duration = Duration::from_hours(1);

/// Cleans up now and every hour. It never ends: whoever starts it ends its task.
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
