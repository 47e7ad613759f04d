//! Versions of a user's tasks that answers under way are made from.
//!
//! A version shares its tasks with the newest one. Holding an old one costs the tasks that were replaced since; when
//! those are too many bytes, the version is let go, and its answers end early.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwapOption;

use super::snapshot::Snapshot;

/// Bytes of replaced tasks that one user's answers may keep in memory.
const MOST_REPLACED: usize = 16 << 20;

/// Holds a version, until it costs too much, and the lane in memory.
pub struct Pinned {
    version: Arc<ArcSwapOption<Snapshot>>,
    _usage: Arc<dyn Send + Sync>,
}

impl Pinned {
    /// The version, unless it was let go.
    #[must_use]
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.version.load_full()
    }
}

/// A user's pinned versions.
#[derive(Default)]
pub(crate) struct Pins(Mutex<Vec<Weak<ArcSwapOption<Snapshot>>>>);

impl Pins {
    /// Pins a version for one answer; `usage` keeps the lane in memory meanwhile.
    pub(crate) fn pin(&self, snapshot: &Arc<Snapshot>, usage: Arc<dyn Send + Sync>) -> Pinned {
        let version = Arc::new(ArcSwapOption::from(Some(Arc::clone(snapshot))));
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|pin| pin.strong_count() > 0);
        pins.push(Arc::downgrade(&version));
        Pinned { version, _usage: usage }
    }

    /// Lets the versions go that cost too much beside `newest`.
    pub(crate) fn check(&self, newest: &Snapshot) {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|pin| {
            let Some(version) = pin.upgrade() else { return false };
            let costs = |old: &Arc<Snapshot>| newest.replaced().saturating_sub(old.replaced());
            let keeps = version.load().as_ref().is_some_and(|old| costs(old) <= MOST_REPLACED);
            if !keeps {
                version.store(None);
            }
            keeps
        });
    }
}
