//! One user's lane, as the map holds it.

use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, OnceLock};

use actix::Addr;
use tokio::sync::{Mutex, OnceCell};

use super::permits::LaneUse;
use super::view::View;
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
    /// Cloned only from a lane that is held: once neither is held, no new clone can be made.
    pub(super) usage: Arc<LaneUse>,
}

impl Lane {
    /// A cold lane.
    pub(super) fn new(who: &Identity) -> Self {
        Self {
            who: who.clone(),
            view: OnceCell::new(),
            actor: OnceLock::new(),
            commit_lock: Arc::default(),
            usage: Arc::default(),
        }
    }

    /// Whether the map alone holds it. To be asked under the map's lock: then nobody can begin to use it.
    pub(super) fn is_unused(self: &Arc<Self>) -> bool {
        if Arc::strong_count(self) > 1 {
            return false;
        }
        // A permit is taken before its lane is released; this fence makes it visible here.
        fence(Ordering::Acquire);
        Arc::strong_count(&self.usage) == 1
    }
}
