//! Keeps followed lanes up to date with what other processes write: at once when a hint comes, and by asking the
//! store every second, since hints may be lost.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval};

use super::lane::Lane;
use super::lane_map::LaneMap;
use crate::store::Hint;

/// How often the store is asked about followed lanes: at most this late is an event whose hint was lost.
const EVERY: Duration = Duration::from_secs(1);

/// Lanes that hints bring up to date at the same time. Further ones wait for the next question to the store.
const AT_ONCE: usize = 64;

/// Works until the map is gone.
pub(super) async fn follow(map: Weak<LaneMap>, mut hints: mpsc::Receiver<Hint>) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // When the sender is gone no hints come any more; the store is still asked.
        let hint = tokio::select! {
            Some(hint) = hints.recv() => Some(hint),
            _ = ticks.tick() => None,
        };
        let Some(map) = map.upgrade() else { return };
        if let Some(hint) = hint {
            if let Some(lane) = map.heard(hint)
                && let Ok(permit) = Arc::clone(&permits).try_acquire_owned()
            {
                tokio::spawn(async move {
                    bring_up(&map, &lane, hint).await;
                    drop(permit);
                });
            }
            continue;
        }
        // All at once, so that one query asks about them all.
        let lanes = map.followed();
        let freshness = &map.context.freshness;
        let questions = lanes.iter().filter_map(|lane| Some(freshness.newest(&lane.who, lane.view.get()?)));
        let asked = join_all(questions).await;
        if let Some(error) = asked.into_iter().find_map(Result::err) {
            tracing::debug!(%error, "followed users cannot be brought up to date for now");
        }
    }
}

async fn bring_up(map: &LaneMap, lane: &Lane, hint: Hint) {
    let Some(view) = lane.view.get() else { return };
    let freshness = &map.context.freshness;
    if let Err(error) = freshness.catch_up(&lane.who, view, |shown| shown.seq() >= hint.seq).await {
        tracing::debug!(%error, user = %hint.user, "a hint could not be followed");
    }
}
