//! The newest committed snapshot of one user: written by the user's actor, read by everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;

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
}

impl View {
    pub(super) fn new(snapshot: Snapshot, sum: CachedBytes) -> Self {
        sum.fetch_add(LANE + snapshot.weight(), Ordering::Relaxed);
        Self { snapshot: ArcSwap::from_pointee(snapshot), sum }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Shows a newer state. Only the user's actor calls this, after the store holds that state.
    pub(super) fn publish(&self, next: Snapshot) {
        self.sum.fetch_add(next.weight(), Ordering::Relaxed);
        let old = self.snapshot.swap(Arc::new(next));
        self.sum.fetch_sub(old.weight(), Ordering::Relaxed);
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
