//! What those hold who use a lane. As long as one of them holds it, the lane stays in memory.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Snapshot;
use super::view::{News, View};

/// How much a lane is used, and when it last was. Holding this keeps the lane in memory.
#[derive(Default)]
pub(super) struct LaneUse {
    writes: AtomicUsize,
    followers: AtomicUsize,
    /// The map's clock at the last use.
    last: AtomicU32,
}

impl LaneUse {
    /// Notes the time of use. It writes only when the second has changed, to leave the cache line alone.
    pub(super) fn touch(&self, clock: &AtomicU32) {
        let now = clock.load(Ordering::Relaxed);
        if self.last() != now {
            self.last.store(now, Ordering::Relaxed);
        }
    }

    /// The map's clock at the last use.
    pub(super) fn last(&self) -> u32 {
        self.last.load(Ordering::Relaxed)
    }

    /// Whether writes are under way.
    pub(super) fn writes(&self) -> bool {
        self.writes.load(Ordering::Relaxed) > 0
    }

    /// Whether anybody follows the user.
    pub(super) fn is_followed(&self) -> bool {
        self.followers.load(Ordering::Relaxed) > 0
    }
}

/// The right to have one write waiting.
pub(super) struct WritePermit {
    lane: Arc<LaneUse>,
    _of_all: OwnedSemaphorePermit,
}

impl WritePermit {
    /// One more write of a lane, where it has fewer than `most`.
    pub(super) fn new(lane: &Arc<LaneUse>, most: usize, of_all: OwnedSemaphorePermit) -> Option<Self> {
        // Counted first: the permit's drop counts down again, whatever comes.
        let before = lane.writes.fetch_add(1, Ordering::Relaxed);
        let permit = Self { lane: Arc::clone(lane), _of_all: of_all };
        (before < most).then_some(permit)
    }
}

impl Drop for WritePermit {
    fn drop(&mut self) {
        self.lane.writes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Follows a user's changes.
pub struct Subscription {
    lane: Arc<LaneUse>,
    /// Not held: a big user's lane leaves memory though it is followed.
    view: Weak<View>,
    news: watch::Receiver<News>,
    _of_all: OwnedSemaphorePermit,
}

impl Subscription {
    /// One more follower of a lane, where it has fewer than `most`.
    pub(super) fn new(
        lane: &Arc<LaneUse>,
        view: &Arc<View>,
        most: usize,
        of_all: OwnedSemaphorePermit,
    ) -> Option<Self> {
        let before = lane.followers.fetch_add(1, Ordering::Relaxed);
        let news = view.follow();
        let view = Arc::downgrade(view);
        let subscription = Self { lane: Arc::clone(lane), view, news, _of_all: of_all };
        (before < most).then_some(subscription)
    }

    /// The newest snapshot; `None` when this subscription has ended.
    #[must_use]
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        Some(self.view.upgrade()?.snapshot())
    }

    /// Waits for a newer snapshot than any seen so far. `false`: this subscription has ended; subscribe again.
    pub async fn changed(&mut self) -> bool {
        self.news.changed().await.is_ok() && *self.news.borrow_and_update() != News::Ended
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.lane.followers.fetch_sub(1, Ordering::Relaxed);
    }
}
