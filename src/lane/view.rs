//! The newest committed snapshot of one user. The user's actor publishes it, and so does a reader that fetched what
//! another process wrote; everybody reads it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, MutexGuard, watch};

use super::Snapshot;
use super::read::pinned::{Pinned, Pins};
use crate::domain::Seq;

/// Approximate bytes of all views together.
pub(super) type CachedBytes = Arc<AtomicUsize>;

/// Room for what a large write will bring, counted before it is there.
pub(super) struct Room {
    /// The sum over all views, and that over all rooms.
    sums: [CachedBytes; 2],
    bytes: usize,
}

impl Room {
    pub(super) fn new(sums: [CachedBytes; 2], bytes: usize) -> Self {
        for sum in &sums {
            sum.fetch_add(bytes, Ordering::Relaxed);
        }
        Self { sums, bytes }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for sum in &self.sums {
            sum.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// Approximate bytes of a loaded lane beside its snapshot: its entry in the map, the lane, the view, and the actor.
const LANE: usize = 1024;

/// One user's newest committed snapshot. Its weight is part of the sum over all views for as long as it lives.
pub(super) struct View {
    snapshot: ArcSwap<Snapshot>,
    sum: CachedBytes,
    /// When it was last known to be the newest state, by the lanes' clock.
    validated: AtomicU64,
    /// The seq of the newest state that another process may have made.
    foreign: AtomicI64,
    /// Held while somebody fetches what another process wrote.
    catching_up: Mutex<()>,
    /// Set when the actor that published here is gone: the state may be older than the store's.
    abandoned: AtomicBool,
    /// Versions that answers under way are made from.
    pins: OnceLock<Pins>,
    /// Wakes the user's followers; made by the first of them.
    news: OnceLock<watch::Sender<News>>,
}

/// What followers are woken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// There may be a newer snapshot.
    Published,
    /// This view will never show a newer one: its lane is being replaced.
    Ended,
}

impl View {
    /// Of a snapshot that was the newest state at `validated`.
    pub(super) fn new(snapshot: Snapshot, validated: u64, sum: CachedBytes) -> Self {
        sum.fetch_add(LANE + snapshot.weight(), Ordering::Relaxed);
        Self {
            foreign: AtomicI64::new(snapshot.seq().get()),
            snapshot: ArcSwap::from_pointee(snapshot),
            sum,
            validated: AtomicU64::new(validated),
            catching_up: Mutex::new(()),
            abandoned: AtomicBool::new(false),
            pins: OnceLock::new(),
            news: OnceLock::new(),
        }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Shows a state that the store holds, unless a later one is shown already.
    pub(super) fn publish(&self, next: Snapshot) {
        let next = Arc::new(next);
        let mut shown = self.snapshot.load_full();
        loop {
            // A batch of keys alone leaves the seq as it is.
            let is_later = next.moment() > shown.moment()
                || next.moment() == shown.moment() && next.key_bytes() != shown.key_bytes();
            if !is_later {
                return;
            }
            next.follow(&shown);
            let found = self.snapshot.compare_and_swap(&shown, Arc::clone(&next));
            if Arc::ptr_eq(&found, &shown) {
                break;
            }
            shown = Arc::clone(&found);
        }
        self.sum.fetch_add(next.weight(), Ordering::Relaxed);
        self.sum.fetch_sub(shown.weight(), Ordering::Relaxed);
        if let Some(pins) = self.pins.get() {
            pins.check(&next);
        }
        self.wake(News::Published);
    }

    /// Pins a version for an answer that is made while it is sent.
    pub(super) fn pin(&self, snapshot: &Arc<Snapshot>, usage: Arc<dyn Send + Sync>) -> Pinned {
        self.pins.get_or_init(Pins::default).pin(snapshot, usage)
    }

    /// Notes that what is shown, or what was shown before it, was the newest state at this time.
    pub(super) fn validate(&self, at: u64) {
        self.validated.fetch_max(at, Ordering::Relaxed);
    }

    /// Notes that there is a newer state than the one shown.
    pub(super) fn doubt(&self) {
        self.validated.store(0, Ordering::Relaxed);
    }

    /// When it was last known to be the newest state; 0 for never.
    pub(super) fn validated(&self) -> u64 {
        self.validated.load(Ordering::Relaxed)
    }

    /// Notes that the state of this seq may be another process's, before it is shown.
    pub(super) fn note_foreign(&self, seq: Seq) {
        self.foreign.store(seq.get(), Ordering::Release);
    }

    /// The seq of the newest state that another process may have made.
    pub(super) fn foreign(&self) -> Seq {
        Seq::new(self.foreign.load(Ordering::Acquire))
    }

    /// The right to fetch what another process wrote: one at a time.
    pub(super) async fn catch_up(&self) -> MutexGuard<'_, ()> {
        self.catching_up.lock().await
    }

    /// Notes that nobody will publish here any more, and wakes the followers.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.wake(News::Ended);
    }

    /// Whether its actor is gone, so that the lane has to be replaced.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// A receiver that is woken by every newer snapshot.
    pub(super) fn follow(&self) -> watch::Receiver<News> {
        self.news.get_or_init(|| watch::Sender::new(News::Published)).subscribe()
    }

    fn wake(&self, news: News) {
        if let Some(sender) = self.news.get() {
            sender.send_replace(news);
        }
    }

    /// Its approximate bytes in memory.
    pub(super) fn weight(&self) -> usize {
        LANE + self.snapshot.load().weight()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.weight(), Ordering::Relaxed);
    }
}
