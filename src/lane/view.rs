//! The newest committed snapshot of one user: written by the user's actor, read by everybody.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Snapshot;

/// The bytes all views together weigh, nearly.
pub(super) type CachedBytes = Arc<AtomicUsize>;

/// The bytes a loaded lane takes beside its snapshot, nearly: its place in the registry, the lane, the
/// view, and the actor once there is one.
const LANE: usize = 1024;

/// One user's newest committed snapshot. It counts its weight into the sum over all views, and takes
/// it out when it goes.
pub(super) struct View {
    snapshot: ArcSwap<Snapshot>,
    sum: CachedBytes,
    /// Set when the actor that published here is gone: the state may be older than the store's.
    abandoned: AtomicBool,
    /// Wakes those who follow the user; made by the first of them.
    news: OnceLock<watch::Sender<News>>,
}

/// What followers hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// There may be a newer snapshot.
    Published,
    /// No newer one will ever come from this view: the lane is being made anew.
    Ended,
}

impl View {
    pub(super) fn new(snapshot: Snapshot, sum: CachedBytes) -> Self {
        sum.fetch_add(LANE + snapshot.weight(), Ordering::Relaxed);
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            sum,
            abandoned: AtomicBool::new(false),
            news: OnceLock::new(),
        }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Shows a newer state. Only the user's actor calls this, after the store holds that state.
    pub(super) fn publish(&self, next: Snapshot) {
        next.follow(&self.snapshot.load());
        self.sum.fetch_add(next.weight(), Ordering::Relaxed);
        let old = self.snapshot.swap(Arc::new(next));
        self.sum.fetch_sub(old.weight(), Ordering::Relaxed);
        self.tell(News::Published);
    }

    /// Notes that nobody will publish here any more, and tells the followers.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.tell(News::Ended);
    }

    /// Whether its actor is gone, so that the lane has to be made anew.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// A receiver that is woken by every newer snapshot.
    pub(super) fn follow(&self) -> watch::Receiver<News> {
        self.news.get_or_init(|| watch::Sender::new(News::Published)).subscribe()
    }

    fn tell(&self, news: News) {
        if let Some(sender) = self.news.get() {
            sender.send_replace(news);
        }
    }

    /// What it weighs in memory, in bytes, nearly.
    pub(super) fn weight(&self) -> usize {
        LANE + self.snapshot.load().weight()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.weight(), Ordering::Relaxed);
    }
}
