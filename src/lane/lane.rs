//! One user's lane in the map, and what those hold who use it: as long as one of them lives, it stays.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use actix::Addr;
use tokio::sync::{Mutex, OnceCell, OwnedSemaphorePermit, watch};

use super::Snapshot;
use super::view::{News, View};
use super::write::actor::UserActor;
use crate::domain::Identity;

/// One user's lane.
pub(super) struct Lane {
    pub(super) who: Identity,
    /// Set once the user's state has been read.
    pub(super) view: OnceCell<Arc<View>>,
    /// Set at the first write: readers need no actor.
    pub(super) actor: OnceLock<Addr<UserActor>>,
    /// Held while a batch of this user is on its way to the store.
    pub(super) commit_lock: Arc<Mutex<()>>,
    pub(super) waiting: AtomicUsize,
    pub(super) followers: AtomicUsize,
    /// The registry's clock at the last use.
    pub(super) used: AtomicU32,
}

/// The right to have one write waiting. It keeps the lane in the map.
pub(super) struct WritePermit {
    pub(super) lane: Arc<Lane>,
    pub(super) _of_all: OwnedSemaphorePermit,
}

impl Drop for WritePermit {
    fn drop(&mut self) {
        self.lane.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Follows a user's changes. While it lives, the user's lane stays in memory.
pub struct Subscription {
    pub(super) lane: Arc<Lane>,
    pub(super) view: Arc<View>,
    pub(super) news: watch::Receiver<News>,
    pub(super) _of_all: OwnedSemaphorePermit,
}

impl Subscription {
    /// The newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.view.snapshot()
    }

    /// Waits for a newer snapshot than any seen so far. `false`: this subscription has come to its end, and
    /// another one has to take its place.
    pub async fn changed(&mut self) -> bool {
        self.news.changed().await.is_ok() && *self.news.borrow_and_update() != News::Ended
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.lane.followers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    /// A cold lane.
    pub(super) fn new(who: &Identity) -> Self {
        Self {
            who: who.clone(),
            view: OnceCell::new(),
            actor: OnceLock::new(),
            commit_lock: Arc::default(),
            waiting: AtomicUsize::new(0),
            followers: AtomicUsize::new(0),
            used: AtomicU32::new(0),
        }
    }

    /// Notes the time of use. It writes only when the second has changed, to leave the cache line alone.
    pub(super) fn touch(&self, clock: &AtomicU32) {
        let now = clock.load(Ordering::Relaxed);
        if self.used.load(Ordering::Relaxed) != now {
            self.used.store(now, Ordering::Relaxed);
        }
    }
}
