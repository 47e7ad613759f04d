//! The map of lanes, and the only door to them.
//!
//! A lane's life: *absent*, then *cold* (in the map, its state being read from the store, once,
//! however many wait for it), then *warm* (reads are served), and with the first write *active* (the
//! actor runs). A lane nobody uses is *passivated*: taken out of the map. "Nobody uses it" is exact:
//! every user holds an [`Arc`] of the lane, handed out under the map's own lock, and a lane is taken
//! out under that lock only if the map holds the last one. Which `Arc` it is also tells one
//! generation of a user's lane from the next.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::dev::SendError;
use actix::dev::channel::channel;
use actix::{Addr, ArbiterHandle, Context};
use dashmap::DashMap;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::Snapshot;
use super::cluster::follow::follow;
use super::cluster::freshness::Freshness;
use super::eviction::sweep;
use super::lane::{Lane, Subscription, WritePermit};
use super::limits::LaneLimits;
use super::view::{CachedBytes, View};
use super::write::actor::{LaneContext, Submit, UserActor};
use super::write::cancellation::{Cancellation, Timing};
use super::write::command::{Effect, Write, WriteReply};
use super::write::plan::replay;
use super::write::reply_dispatch::ReplyDispatch;
use crate::domain::{Identity, Seq, UserId};
use crate::error::Error;
use crate::store::group_commit::GroupCommitter;
use crate::store::{Hint, Store};
use crate::telemetry::metrics;

/// How often a write that had no effect is carried out anew because another process wrote meanwhile.
const DOUBTS: u32 = 5;

/// Where a caller hears what became of its write.
type Reply = oneshot::Receiver<Result<WriteReply, Error>>;

/// The map of lanes. A clone is another handle on the same map.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<RegistryInner>,
}

pub(super) struct RegistryInner {
    pub(super) lanes: Arc<DashMap<UserId, Arc<Lane>>>,
    pub(super) context: Arc<LaneContext>,
    pub(super) limits: LaneLimits,
    pub(super) admission: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    arbiters: Vec<ArbiterHandle>,
    /// Spreads users over arbiters.
    spread: RandomState,
    runtime: Handle,
    pub(super) cached_bytes: CachedBytes,
    /// Wakes the sweeper when the byte budget is exceeded.
    pressure: Arc<Notify>,
    /// Seconds since the start, advanced by the sweeper: a read need not ask the system for the time.
    pub(super) clock: AtomicU32,
}

impl Registry {
    /// An empty map. Actors run on `arbiters` (at least one), everything else on `runtime`, where the
    /// sweeper that passivates lanes also lives until the last handle is dropped.
    ///
    /// # Panics
    /// Without arbiters.
    #[must_use]
    pub fn start(
        store: Arc<dyn Store>,
        committer: GroupCommitter,
        limits: LaneLimits,
        arbiters: Vec<ArbiterHandle>,
        runtime: Handle,
    ) -> Self {
        assert!(!arbiters.is_empty(), "lanes need an arbiter to run on");
        let freshness = Freshness::start(Arc::clone(&store), limits.reads, &runtime);
        let inner = Arc::new(RegistryInner {
            lanes: Arc::default(),
            context: Arc::new(LaneContext {
                store,
                committer,
                freshness,
                max_tasks: limits.max_tasks,
                jitter_seed: limits.jitter_seed,
            }),
            admission: Arc::new(Semaphore::new(limits.waiting)),
            followers: Arc::new(Semaphore::new(limits.followers)),
            limits,
            arbiters,
            spread: RandomState::new(),
            runtime,
            cached_bytes: CachedBytes::default(),
            pressure: Arc::default(),
            clock: AtomicU32::new(0),
        });
        inner.runtime.spawn(sweep(Arc::downgrade(&inner), Arc::clone(&inner.pressure)));
        Self { inner }
    }

    /// What is in memory of a user, if the user's lane is loaded: no wait, no store call. Where other
    /// processes write, too, it may be an old state.
    #[must_use]
    pub fn cached(&self, who: &Identity) -> Option<Arc<Snapshot>> {
        self.inner.warm(who, |_, _| true)
    }

    /// The newest snapshot of a user, if it is in memory and known to be the newest, and not older than
    /// `least`: what is to be had without a wait.
    #[must_use]
    pub fn fresh(&self, who: &Identity, least: Seq) -> Option<Arc<Snapshot>> {
        let freshness = &self.inner.context.freshness;
        let snapshot = self.inner.warm(who, |view, shown| freshness.vouches(view, shown, least))?;
        metrics().cache_hit();
        Some(snapshot)
    }

    /// The newest snapshot of a user, loading the lane, or bringing it up to date, where need be.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] when the store had to be asked and could not be; [`Error::Overloaded`];
    /// [`Error::ForeignSubject`].
    pub async fn snapshot(&self, who: &Identity) -> Result<Arc<Snapshot>, Error> {
        self.snapshot_from(who, Seq::ZERO).await
    }

    /// As [`Registry::snapshot`], and not older than `least`.
    ///
    /// # Errors
    /// Further: [`Error::SeqAhead`] when the store has not come to `least`.
    pub async fn snapshot_from(&self, who: &Identity, least: Seq) -> Result<Arc<Snapshot>, Error> {
        if let Some(snapshot) = self.fresh(who, least) {
            return Ok(snapshot);
        }
        let freshness = &self.inner.context.freshness;
        let lane = self.inner.living(who).await?;
        let (view, loaded) = self.inner.view(&lane).await?;
        if loaded {
            metrics().cache_miss();
            let snapshot = view.snapshot();
            if snapshot.seq() >= least {
                return Ok(snapshot);
            }
        } else {
            metrics().cache_hit();
        }
        freshness.current(who, view, least).await
    }

    /// Carries out a write and returns once it is durable.
    ///
    /// A caller that goes away (its future is dropped) takes nothing back: a write handed to the lane
    /// runs on.
    ///
    /// # Errors
    /// Every variant of [`Error`]; only [`Error::OutcomeUnknown`] leaves open whether it was applied.
    pub async fn submit(&self, who: &Identity, write: Write) -> Result<WriteReply, Error> {
        self.submit_timed(who, write).await.0
    }

    /// As [`Registry::submit`], and says how long it took.
    pub async fn submit_timed(&self, who: &Identity, write: Write) -> (Result<WriteReply, Error>, Timing) {
        let cancellation = Cancellation::new();
        let written = self.inner.write(who, write, cancellation.clone());
        let answer = match timeout(self.inner.limits.write_timeout, written).await {
            Ok(result) => result,
            Err(_) if cancellation.win() => {
                Err(Error::StoreUnavailable("the write could not be taken up in time".into()))
            }
            Err(_) => Err(Error::OutcomeUnknown),
        };
        (answer, cancellation.timing())
    }

    /// Follows a user's changes from now on.
    ///
    /// # Errors
    /// As [`Registry::snapshot`]; [`Error::Overloaded`] when the user, or all users together, have as many
    /// followers as allowed.
    pub async fn follow(&self, who: &Identity) -> Result<Subscription, Error> {
        let of_all = Arc::clone(&self.inner.followers).try_acquire_owned();
        let of_all = of_all.map_err(|_| Error::Overloaded("too many event streams are open"))?;
        let lane = self.inner.living(who).await?;
        let (view, loaded) = self.inner.view(&lane).await?;
        let view = Arc::clone(view);
        let freshness = &self.inner.context.freshness;
        // The newest one also where reads may be older: whoever goes on from a seq would be told to start anew.
        match (loaded, freshness.is_shared()) {
            (true, _) => {}
            (false, true) => drop(freshness.newest(who, &view).await?),
            (false, false) => drop(freshness.current(who, &view, Seq::ZERO).await?),
        }
        let before = lane.followers.fetch_add(1, Ordering::Relaxed);
        let news = view.follow();
        let subscription = Subscription { lane, view, news, _of_all: of_all };
        if before >= self.inner.limits.followers_per_user {
            return Err(Error::Overloaded("this user has too many event streams open"));
        }
        Ok(subscription)
    }

    /// From now on lanes that are followed show what other processes write, whom these hints come from.
    pub fn follow_others(&self, hints: mpsc::Receiver<Hint>) {
        self.inner.runtime.spawn(follow(Arc::downgrade(&self.inner), hints));
    }

    /// Says that the present thread, an HTTP worker's, will ask for snapshots often. To be called on its runtime.
    pub fn attach_thread(&self) {
        self.inner.context.store.attach_thread();
    }

    /// Asks the store for a sign of life.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] says what is down.
    pub async fn ping(&self) -> Result<(), Error> {
        self.inner.context.store.ping().await.map_err(|error| Error::StoreUnavailable(error.to_string()))
    }

    /// Takes no more writes, and returns when none waits any more. After `within` it returns anyway,
    /// with how many still wait.
    ///
    /// # Errors
    /// The number of writes that were not settled in time.
    pub async fn drain(&self, within: Duration) -> Result<(), usize> {
        let all = self.inner.limits.waiting;
        let every = u32::try_from(all).unwrap_or(u32::MAX);
        let drained = timeout(within, self.inner.admission.acquire_many(every)).await;
        match drained {
            Ok(Ok(permits)) => {
                permits.forget();
                Ok(())
            }
            _ => Err(all - self.inner.admission.available_permits()),
        }
    }
}

impl RegistryInner {
    pub(super) fn freshness(&self) -> &Freshness {
        &self.context.freshness
    }

    /// Notes word of a change; if the user's lane is behind it and is followed, it is given back.
    pub(super) fn heard(&self, hint: Hint) -> Option<Arc<Lane>> {
        let lane = self.lanes.get(&hint.user)?;
        let view = lane.view.get()?;
        if view.snapshot().seq() >= hint.seq {
            return None;
        }
        view.doubt();
        (lane.followers.load(Ordering::Relaxed) > 0).then(|| Arc::clone(&lane))
    }

    /// Every lane that is followed.
    pub(super) fn followed(&self) -> Vec<Arc<Lane>> {
        if self.followers.available_permits() == self.limits.followers {
            return Vec::new();
        }
        let followed = self.lanes.iter().filter(|lane| lane.followers.load(Ordering::Relaxed) > 0);
        followed.map(|lane| Arc::clone(&lane)).collect()
    }

    /// What a loaded lane shows, if it will do.
    fn warm(&self, who: &Identity, will_do: impl FnOnce(&View, &Snapshot) -> bool) -> Option<Arc<Snapshot>> {
        let lane = self.lanes.get(&who.user())?;
        let view = lane.view.get().filter(|view| !view.is_abandoned())?;
        if lane.who.subject() != who.subject() {
            return None;
        }
        lane.touch(&self.clock);
        Some(view.snapshot()).filter(|snapshot| will_do(view, snapshot))
    }

    /// The user's lane, cold at first.
    fn lane(&self, who: &Identity) -> Result<Arc<Lane>, Error> {
        let lane = match self.lanes.get(&who.user()) {
            Some(lane) => Arc::clone(&lane),
            None => Arc::clone(&self.lanes.entry(who.user()).or_insert_with(|| Arc::new(Lane::new(who)))),
        };
        if lane.who.subject() != who.subject() {
            return Err(Error::ForeignSubject);
        }
        lane.touch(&self.clock);
        Ok(lane)
    }

    /// The user's lane, made anew if its actor has died.
    async fn living(&self, who: &Identity) -> Result<Arc<Lane>, Error> {
        let lane = self.lane(who)?;
        if lane.view.get().is_none_or(|view| !view.is_abandoned()) {
            return Ok(lane);
        }
        self.retire(lane).await;
        self.lane(who)
    }

    /// The lane's view, read from the store by the first who asks, while all others wait, and whether it was
    /// this call that read it. Should the first one fail or go away, the next one takes over.
    async fn view<'a>(&self, lane: &'a Lane) -> Result<(&'a Arc<View>, bool), Error> {
        let mut loaded = false;
        let load = || {
            loaded = true;
            let (freshness, at) = (&self.context.freshness, self.context.freshness.now());
            async move {
                let snapshot = freshness.load(&lane.who).await?;
                Ok(Arc::new(View::new(snapshot, at, Arc::clone(&self.cached_bytes))))
            }
        };
        let view = lane.view.get_or_try_init(load).await?;
        if self.cached_bytes.load(Ordering::Relaxed) > self.limits.cache_bytes {
            self.pressure.notify_one();
        }
        Ok((view, loaded))
    }

    /// The lane's actor, started by the first write.
    fn actor<'a>(&self, lane: &'a Lane, view: &Arc<View>) -> &'a Addr<UserActor> {
        lane.actor.get_or_init(|| {
            let (context, view, commit_lock) =
                (Arc::clone(&self.context), Arc::clone(view), Arc::clone(&lane.commit_lock));
            let actor = UserActor::new(lane.who.clone(), context, view, commit_lock);
            // As many places as permits: the channel is made here because the usual start gives the
            // mailbox 16 places until its actor runs for the first time.
            let (sender, receiver) = channel(self.limits.waiting_per_user);
            let place = usize::try_from(self.spread.hash_one(lane.who.user())).unwrap_or(0);
            self.arbiters[place % self.arbiters.len()].spawn_fn(move || {
                actix::spawn(Context::with_receiver(receiver).into_future(actor));
            });
            Addr::new(sender)
        })
    }

    fn admit(&self, lane: &Arc<Lane>) -> Result<WritePermit, Error> {
        let of_all = Arc::clone(&self.admission).try_acquire_owned();
        let of_all = of_all.map_err(|_| Error::Overloaded("too many writes are waiting"))?;
        // From here on the permit's drop counts down again, whatever comes.
        let before = lane.waiting.fetch_add(1, Ordering::Relaxed);
        let permit = WritePermit { lane: Arc::clone(lane), _of_all: of_all };
        if before >= self.limits.waiting_per_user {
            return Err(Error::Overloaded("too many writes of this user are waiting"));
        }
        Ok(permit)
    }

    async fn write(
        &self,
        who: &Identity,
        write: Write,
        cancellation: Cancellation,
    ) -> Result<WriteReply, Error> {
        let looked_up = match &write.key {
            None => Seq::ZERO,
            Some(key) => {
                let recalled = self.context.store.recall(who.user(), &key.key).await;
                let recalled = recalled.map_err(|error| Error::StoreUnavailable(error.to_string()))?;
                if let Some(record) = recalled.record {
                    // No read after this answer may show less than it says.
                    let lane = self.living(who).await?;
                    self.context.freshness.reach(who, self.view(&lane).await?.0, recalled.seq).await?;
                    return replay(&record, key, || WriteReply::from_record(&record.answer), recalled.seq);
                }
                recalled.seq
            }
        };
        if !self.context.freshness.is_shared() {
            return self.carry_out(who, write, looked_up, cancellation).await?.1;
        }
        for _ in 0..=DOUBTS {
            let (lane, answer) = self.carry_out(who, write.clone(), looked_up, cancellation.clone()).await?;
            let Some(seq) = without_effect(&answer) else { return answer };
            // No fence has told whether the state it was decided on was the newest: nothing was written.
            cancellation.reopen();
            let (view, _) = self.view(&lane).await?;
            if self.context.freshness.was_newest(who, view, seq).await? {
                return answer;
            }
        }
        Err(Error::StoreUnavailable("other processes keep writing for this user".into()))
    }

    /// Has the lane carry out a write, once.
    async fn carry_out(
        &self,
        who: &Identity,
        write: Write,
        looked_up: Seq,
        cancellation: Cancellation,
    ) -> Result<(Arc<Lane>, Result<WriteReply, Error>), Error> {
        let (lane, answer) = self.dispatch(who, write, looked_up, cancellation).await?;
        if let Ok(answer) = answer.await {
            return Ok((lane, answer));
        }
        // The actor died with the command planned or not, perhaps on its way to the store.
        self.retire(lane).await;
        Err(Error::OutcomeUnknown)
    }

    /// Puts a command into the mailbox of the lane's actor; should the actor have died, into that of
    /// its successor.
    async fn dispatch(
        &self,
        who: &Identity,
        write: Write,
        looked_up: Seq,
        cancellation: Cancellation,
    ) -> Result<(Arc<Lane>, Reply), Error> {
        let lane = self.living(who).await?;
        let (reply, answer) = oneshot::channel();
        let permit = self.admit(&lane)?;
        let (who_asks, looked_up, dispatch) =
            (who.clone(), Some(looked_up), ReplyDispatch::of_current_thread());
        let submit =
            Submit { who: who_asks, write, looked_up, cancellation, reply, dispatch, planned: false, permit };
        let (view, _) = self.view(&lane).await?;
        let submit = match self.actor(&lane, view).try_send(submit) {
            Ok(()) => return Ok((lane, answer)),
            Err(SendError::Full(_)) => return Err(Error::Overloaded("this user's lane is full")),
            Err(SendError::Closed(submit)) => submit,
        };
        self.retire(lane).await;
        let lane = self.lane(who)?;
        let submit = Submit { permit: self.admit(&lane)?, ..submit };
        let (view, _) = self.view(&lane).await?;
        match self.actor(&lane, view).try_send(submit) {
            Ok(()) => Ok((lane, answer)),
            Err(_) => Err(Error::Overloaded("this user's lane is being made anew")),
        }
    }

    /// Takes a lane whose actor died out of the map, once its last batch is settled: its successor
    /// then finds in the store whatever came of it. Until then reads see the last committed state.
    async fn retire(&self, lane: Arc<Lane>) {
        let lanes = Arc::clone(&self.lanes);
        // On a task of its own, since the caller may give up waiting.
        let retired = self.runtime.spawn(async move {
            let _settled = lane.commit_lock.lock().await;
            lanes.remove_if(&lane.who.user(), |_, current| Arc::ptr_eq(current, &lane));
        });
        // It cannot panic; and were it cancelled, the process would be ending.
        let _ = retired.await;
    }
}

/// The seq at which an answer is true that tells of no change.
fn without_effect(answer: &Result<WriteReply, Error>) -> Option<Seq> {
    match answer {
        Err(Error::Refused { seq, .. }) => Some(*seq),
        Ok(answer) => {
            let found = |effect: &Effect| matches!(effect, Effect::Exists(_));
            (!answer.effects.is_empty() && answer.effects.iter().all(found)).then_some(answer.seq)
        }
        Err(_) => None,
    }
}
