//! The map of lanes: which users are in memory, and how they come in.
//!
//! A lane's life: *absent*, then *cold* (in the map, its state being read from the store, once, however many
//! wait for it), then *warm* (reads are served), and with the first write *active* (the actor runs). An unused
//! lane is *passivated*: taken out of the map. "Unused" is exact ([`Lane::is_unused`]). Which `Arc` a lane is
//! also tells one generation of a user's lane from the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep};

use super::Snapshot;
use super::lane::Lane;
use super::read::pinned::{Pinned, Pins};
use super::view::{CachedBytes, Room, View};
use super::write::context::LaneContext;
use crate::domain::{Identity, UserId};
use crate::error::Error;
use crate::store::Hint;

/// How long a large write waits for other lanes to leave memory, and the pause between two looks at it.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);

/// The map of lanes, with what all of them share.
pub(super) struct LaneMap {
    lanes: DashMap<UserId, Arc<Lane>>,
    pub(super) context: Arc<LaneContext>,
    /// As many permits as event streams may be open.
    pub(super) followers: Arc<Semaphore>,
    runtime: Handle,
    pub(super) cached_bytes: CachedBytes,
    /// The part of them that large writes will take.
    pub(super) rooms: CachedBytes,
    /// Wakes eviction when the byte budget is exceeded.
    pub(super) pressure: Arc<Notify>,
    /// Seconds since the start, advanced by eviction: a read need not ask the system for the time.
    pub(super) clock: AtomicU32,
}

impl LaneMap {
    /// An empty map. Lanes whose actor has died are cleared away on `runtime`.
    pub(super) fn new(context: LaneContext, runtime: Handle) -> Self {
        Self {
            lanes: DashMap::new(),
            followers: Arc::new(Semaphore::new(context.limits.followers)),
            context: Arc::new(context),
            runtime,
            cached_bytes: CachedBytes::default(),
            rooms: CachedBytes::default(),
            pressure: Arc::default(),
            clock: AtomicU32::new(0),
        }
    }

    /// How many users have a lane.
    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// What a loaded lane shows, if it will do.
    pub(super) fn warm(
        &self,
        who: &Identity,
        will_do: impl FnOnce(&View, &Snapshot) -> bool,
    ) -> Option<Arc<Snapshot>> {
        let lane = self.lanes.get(&who.user())?;
        let view = lane.view.get().filter(|view| !view.is_abandoned())?;
        if lane.who.subject() != who.subject() {
            return None;
        }
        lane.usage.touch(&self.clock);
        Some(view.snapshot()).filter(|snapshot| will_do(view, snapshot))
    }

    /// Pins a snapshot of a user for an answer that is made while it is sent.
    pub(super) fn pin(&self, who: &Identity, snapshot: &Arc<Snapshot>) -> Pinned {
        let usage = |lane: &Arc<Lane>| Arc::clone(&lane.usage);
        let lane = self.lanes.get(&who.user());
        match lane.as_ref().and_then(|lane| Some((lane.view.get()?, usage(lane)))) {
            Some((view, usage)) => view.pin(snapshot, usage),
            // The lane left memory since the snapshot was taken.
            None => Pins::default().pin(snapshot, Arc::new(())),
        }
    }

    /// The user's lane, cold at first.
    ///
    /// # Errors
    /// [`Error::ForeignSubject`].
    pub(super) fn lane(&self, who: &Identity) -> Result<Arc<Lane>, Error> {
        let lane = match self.lanes.get(&who.user()) {
            Some(lane) => Arc::clone(&lane),
            None => Arc::clone(&self.lanes.entry(who.user()).or_insert_with(|| Arc::new(Lane::new(who)))),
        };
        if lane.who.subject() != who.subject() {
            return Err(Error::ForeignSubject);
        }
        lane.usage.touch(&self.clock);
        Ok(lane)
    }

    /// The user's lane; a new one if the actor of the old one has died.
    ///
    /// # Errors
    /// As [`LaneMap::lane`].
    pub(super) async fn living(self: &Arc<Self>, who: &Identity) -> Result<Arc<Lane>, Error> {
        let lane = self.lane(who)?;
        if lane.view.get().is_none_or(|view| !view.is_abandoned()) {
            return Ok(lane);
        }
        self.retire(lane).await;
        self.lane(who)
    }

    /// The lane's view, and whether this call read it from the store. The first caller reads, all others wait;
    /// should it fail or go away, the next one takes over.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`], [`Error::ForeignSubject`].
    pub(super) async fn view<'a>(&self, lane: &'a Lane) -> Result<(&'a Arc<View>, bool), Error> {
        let mut loaded = false;
        let load = || {
            loaded = true;
            let (freshness, at) = (&self.context.freshness, self.context.freshness.now());
            async move {
                let snapshot = freshness.load(&lane.who).await?;
                Ok::<_, Error>(Arc::new(View::new(snapshot, at, Arc::clone(&self.cached_bytes))))
            }
        };
        let view = lane.view.get_or_try_init(load).await?;
        if self.excess() > 0 {
            self.pressure.notify_one();
        }
        Ok((view, loaded))
    }

    /// Makes room for what a write will bring, before it is planned: other lanes leave memory, if they can. What cannot
    /// leave within a while is not waited for.
    pub(super) async fn make_room(&self, bytes: usize) -> Room {
        let room = Room::new([&self.cached_bytes, &self.rooms].map(Arc::clone), bytes);
        let patience = Instant::now() + PATIENCE;
        while self.excess() > 0 && Instant::now() < patience {
            self.pressure.notify_one();
            sleep(PAUSE).await;
        }
        room
    }

    /// Bytes that all lanes together may take.
    pub(super) fn byte_budget(&self) -> usize {
        self.context.limits.config.cache_max_bytes
    }

    /// Bytes to free until a tenth of the budget is free; 0 within the budget.
    pub(super) fn excess(&self) -> usize {
        let budget = self.byte_budget();
        let beyond = self.cached_bytes.load(Ordering::Relaxed).saturating_sub(budget);
        if beyond > 0 { beyond + budget / 10 } else { 0 }
    }

    /// Takes a lane whose actor died out of the map, once its last batch is settled: its successor then finds
    /// in the store whatever came of it. Until then reads see the last committed state.
    pub(super) async fn retire(self: &Arc<Self>, lane: Arc<Lane>) {
        let map = Arc::clone(self);
        // On a task of its own, since the caller may give up waiting.
        let retired = self.runtime.spawn(async move {
            let _settled = lane.commit_lock.lock().await;
            map.lanes.remove_if(&lane.who.user(), |_, current| Arc::ptr_eq(current, &lane));
        });
        // It cannot panic; and were it cancelled, the process would be ending.
        let _ = retired.await;
    }

    /// Notes a hint; returns the user's lane if it is followed and behind the hint.
    pub(super) fn heard(&self, hint: Hint) -> Option<Arc<Lane>> {
        let lane = self.lanes.get(&hint.user)?;
        let view = lane.view.get()?;
        if view.snapshot().seq() >= hint.seq {
            return None;
        }
        view.doubt();
        lane.usage.is_followed().then(|| Arc::clone(&lane))
    }

    /// Every lane that is followed.
    pub(super) fn followed(&self) -> Vec<Arc<Lane>> {
        if self.followers.available_permits() == self.context.limits.followers {
            return Vec::new();
        }
        let followed = self.lanes.iter().filter(|lane| lane.usage.is_followed());
        followed.map(|lane| Arc::clone(&lane)).collect()
    }

    /// Lanes that were last used at `before` or earlier: their last use, their weight in bytes, their user.
    pub(super) fn last_used_by(&self, before: u32) -> Vec<(u32, usize, UserId)> {
        let old = self.lanes.iter().filter(|lane| lane.usage.last() <= before);
        old.map(|lane| (lane.usage.last(), lane.view.get().map_or(0, |view| view.weight()), *lane.key()))
            .collect()
    }

    /// Takes a user's lane out though somebody follows it, unless writes are under way. Its streams end.
    pub(super) fn push_out(self: &Arc<Self>, user: UserId) -> bool {
        let Some(lane) = self.lanes.get(&user).map(|lane| Arc::clone(&lane)) else { return false };
        let Some(view) = lane.view.get().filter(|_| !lane.usage.writes()) else { return false };
        view.abandon();
        let map = Arc::clone(self);
        self.runtime.spawn(async move { map.retire(lane).await });
        true
    }

    /// Takes a user's lane out, unless somebody uses it.
    pub(super) fn passivate(&self, user: UserId) -> bool {
        self.lanes.remove_if(&user, |_, lane| lane.is_unused()).is_some()
    }
}
