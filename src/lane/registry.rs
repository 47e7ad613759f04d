//! The map of lanes, and the only door to them.
//!
//! A lane's life: *absent*, then *cold* (in the map, its state being read from the store, once,
//! however many wait for it), then *warm* (reads are served), and with the first write *active* (the
//! actor runs). A lane nobody uses is *passivated*: taken out of the map. "Nobody uses it" is exact:
//! every user holds an [`Arc`] of the lane, handed out under the map's own lock, and a lane is taken
//! out under that lock only if the map holds the last one. Which `Arc` it is also tells one
//! generation of a user's lane from the next.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::dev::SendError;
use actix::dev::channel::channel;
use actix::{Addr, ArbiterHandle, Context};
use dashmap::DashMap;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify, OnceCell, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{interval, timeout};

use super::Snapshot;
use super::home::Home;
use super::plan::replay;
use super::user::{Claim, Submit, UserActor, Works};
use super::view::{CachedBytes, News, View};
use super::write::{Answer, Write};
use crate::domain::{Identity, Seq, UserId};
use crate::error::Error;
use crate::store::Store;
use crate::store::committer::Committer;
use crate::telemetry::metrics;

/// How often, in seconds, all lanes are looked through for idle ones.
const IDLE_SCAN: u32 = 30;

/// Where a caller hears what became of its write.
type Reply = oneshot::Receiver<Result<Answer, Error>>;

/// The bounds within which lanes live.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Tasks one user may have.
    pub max_tasks: usize,
    /// Bytes the cached tasks may take, nearly. Beyond it the longest unused lanes go.
    pub cache_bytes: usize,
    /// Writes that may wait in all.
    pub waiting: usize,
    /// Writes of one user that may wait, so that one user's flood leaves room for others.
    pub waiting_per_user: usize,
    /// Event streams that may be open in all.
    pub followers: usize,
    /// Event streams of one user that may be open.
    pub followers_per_user: usize,
    /// How long a write may take. After it the caller gets an answer, whatever the store does.
    pub write_timeout: Duration,
    /// How long an unused lane stays in memory.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_tasks: 100_000,
            cache_bytes: 256 << 20,
            waiting: 16_384,
            waiting_per_user: 1_024,
            followers: 5_000,
            followers_per_user: 500,
            write_timeout: Duration::from_secs(10),
            idle: Duration::from_mins(10),
        }
    }
}

/// One user's lane.
struct Lane {
    who: Identity,
    /// Set once the user's state has been read.
    view: OnceCell<Arc<View>>,
    /// Set at the first write: readers need no actor.
    actor: OnceLock<Addr<UserActor>>,
    /// Held while a batch of this user is on its way to the store.
    flight: Arc<Mutex<()>>,
    waiting: AtomicUsize,
    followers: AtomicUsize,
    /// The registry's clock at the last use.
    used: AtomicU32,
}

/// The right to have one write waiting. It keeps the lane in the map.
pub(super) struct Permit {
    lane: Arc<Lane>,
    _of_all: OwnedSemaphorePermit,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.lane.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Follows a user's changes. While it lives, the user's lane stays in memory.
pub struct Subscription {
    lane: Arc<Lane>,
    view: Arc<View>,
    news: watch::Receiver<News>,
    _of_all: OwnedSemaphorePermit,
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

/// The map of lanes. A clone is another handle on the same map.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    lanes: Arc<DashMap<UserId, Arc<Lane>>>,
    works: Arc<Works>,
    limits: Limits,
    admission: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    arbiters: Vec<ArbiterHandle>,
    /// Spreads users over arbiters.
    spread: RandomState,
    runtime: Handle,
    cached_bytes: CachedBytes,
    /// Wakes the sweeper when the byte budget is exceeded.
    pressure: Arc<Notify>,
    /// Seconds since the start, advanced by the sweeper: a read need not ask the system for the time.
    clock: AtomicU32,
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
        committer: Committer,
        limits: Limits,
        arbiters: Vec<ArbiterHandle>,
        runtime: Handle,
    ) -> Self {
        assert!(!arbiters.is_empty(), "lanes need an arbiter to run on");
        let inner = Arc::new(Inner {
            lanes: Arc::default(),
            works: Arc::new(Works { store, committer, max_tasks: limits.max_tasks }),
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
        let sweeper = Arc::downgrade(&inner);
        let pressure = Arc::clone(&inner.pressure);
        inner.runtime.spawn(async move {
            let mut ticks = interval(Duration::from_secs(1));
            loop {
                let tick = tokio::select! {
                    _ = ticks.tick() => true,
                    () = pressure.notified() => false,
                };
                let Some(inner) = sweeper.upgrade() else { return };
                if tick {
                    inner.clock.fetch_add(1, Ordering::Relaxed);
                    inner.report();
                }
                inner.sweep();
            }
        });
        Self { inner }
    }

    /// The newest snapshot of a user, if the user's lane is loaded: no wait, no store call.
    #[must_use]
    pub fn cached(&self, who: &Identity) -> Option<Arc<Snapshot>> {
        let lane = self.inner.lanes.get(&who.user())?;
        let view = lane.view.get().filter(|view| !view.is_abandoned())?;
        if lane.who.subject() != who.subject() {
            return None;
        }
        lane.touch(&self.inner.clock);
        Some(view.snapshot())
    }

    /// The newest snapshot of a user, loading the lane first where need be.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] when it had to be loaded and could not be; [`Error::ForeignSubject`].
    pub async fn snapshot(&self, who: &Identity) -> Result<Arc<Snapshot>, Error> {
        if let Some(snapshot) = self.cached(who) {
            metrics().cache_hit();
            return Ok(snapshot);
        }
        metrics().cache_miss();
        let lane = self.inner.living(who).await?;
        Ok(self.inner.view(&lane).await?.snapshot())
    }

    /// Carries out a write and returns once it is durable.
    ///
    /// A caller that goes away (its future is dropped) takes nothing back: a write handed to the lane
    /// runs on.
    ///
    /// # Errors
    /// Every variant of [`Error`]; only [`Error::OutcomeUnknown`] leaves open whether it was applied.
    pub async fn submit(&self, who: &Identity, write: Write) -> Result<Answer, Error> {
        let claim = Claim::default();
        let written = self.inner.write(who, write, claim.clone());
        match timeout(self.inner.limits.write_timeout, written).await {
            Ok(result) => result,
            Err(_) if claim.take() => {
                Err(Error::StoreUnavailable("the write could not be taken up in time".into()))
            }
            Err(_) => Err(Error::OutcomeUnknown),
        }
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
        let view = Arc::clone(self.inner.view(&lane).await?);
        let before = lane.followers.fetch_add(1, Ordering::Relaxed);
        let news = view.follow();
        let subscription = Subscription { lane, view, news, _of_all: of_all };
        if before >= self.inner.limits.followers_per_user {
            return Err(Error::Overloaded("this user has too many event streams open"));
        }
        Ok(subscription)
    }

    /// Asks the store for a sign of life.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] says what is down.
    pub async fn ping(&self) -> Result<(), Error> {
        self.inner.works.store.ping().await.map_err(|error| Error::StoreUnavailable(error.to_string()))
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

impl Inner {
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

    /// The lane's view, read from the store by the first who asks, while all others wait. Should that
    /// one fail or go away, the next one takes over.
    async fn view<'a>(&self, lane: &'a Lane) -> Result<&'a Arc<View>, Error> {
        let load = || async {
            let stored = self.works.store.load(lane.who.user()).await;
            let stored = stored.map_err(|error| Error::StoreUnavailable(error.to_string()))?;
            if stored.as_ref().is_some_and(|stored| stored.subject != **lane.who.subject()) {
                return Err(Error::ForeignSubject);
            }
            let snapshot = Snapshot::of_stored(stored, lane.who.subject());
            Ok(Arc::new(View::new(snapshot, Arc::clone(&self.cached_bytes))))
        };
        let view = lane.view.get_or_try_init(load).await;
        if self.cached_bytes.load(Ordering::Relaxed) > self.limits.cache_bytes {
            self.pressure.notify_one();
        }
        view
    }

    /// The lane's actor, started by the first write.
    fn actor<'a>(&self, lane: &'a Lane, view: &Arc<View>) -> &'a Addr<UserActor> {
        lane.actor.get_or_init(|| {
            let (works, view, flight) = (Arc::clone(&self.works), Arc::clone(view), Arc::clone(&lane.flight));
            let actor = UserActor::new(lane.who.clone(), works, view, flight);
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

    fn admit(&self, lane: &Arc<Lane>) -> Result<Permit, Error> {
        let of_all = Arc::clone(&self.admission).try_acquire_owned();
        let of_all = of_all.map_err(|_| Error::Overloaded("too many writes are waiting"))?;
        // From here on the permit's drop counts down again, whatever comes.
        let before = lane.waiting.fetch_add(1, Ordering::Relaxed);
        let permit = Permit { lane: Arc::clone(lane), _of_all: of_all };
        if before >= self.limits.waiting_per_user {
            return Err(Error::Overloaded("too many writes of this user are waiting"));
        }
        Ok(permit)
    }

    async fn write(&self, who: &Identity, write: Write, claim: Claim) -> Result<Answer, Error> {
        let looked_up = match &write.key {
            None => Seq::ZERO,
            Some(key) => {
                let recalled = self.works.store.recall(who.user(), &key.key).await;
                let recalled = recalled.map_err(|error| Error::StoreUnavailable(error.to_string()))?;
                if let Some(record) = recalled.record {
                    return replay(&record, key, || Answer::from_record(&record.answer), recalled.seq);
                }
                recalled.seq
            }
        };
        let (lane, answer) = self.dispatch(who, write, looked_up, claim).await?;
        if let Ok(result) = answer.await {
            return result;
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
        claim: Claim,
    ) -> Result<(Arc<Lane>, Reply), Error> {
        let lane = self.living(who).await?;
        let (reply, answer) = oneshot::channel();
        let permit = self.admit(&lane)?;
        let (who_asks, looked_up, home) = (who.clone(), Some(looked_up), Home::here());
        let submit = Submit { who: who_asks, write, looked_up, claim, reply, home, planned: false, permit };
        let view = self.view(&lane).await?;
        let submit = match self.actor(&lane, view).try_send(submit) {
            Ok(()) => return Ok((lane, answer)),
            Err(SendError::Full(_)) => return Err(Error::Overloaded("this user's lane is full")),
            Err(SendError::Closed(submit)) => submit,
        };
        self.retire(lane).await;
        let lane = self.lane(who)?;
        let submit = Submit { permit: self.admit(&lane)?, ..submit };
        let view = self.view(&lane).await?;
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
            let _settled = lane.flight.lock().await;
            lanes.remove_if(&lane.who.user(), |_, current| Arc::ptr_eq(current, &lane));
        });
        // It cannot panic; and were it cancelled, the process would be ending.
        let _ = retired.await;
    }

    /// Passivates lanes: those idle for long, and beyond the byte budget the longest unused ones until
    /// a tenth of the budget is free again.
    fn sweep(&self) {
        let now = self.clock.load(Ordering::Relaxed);
        let mut excess = self.cached_bytes.load(Ordering::Relaxed).saturating_sub(self.limits.cache_bytes);
        if excess > 0 {
            excess += self.limits.cache_bytes / 10;
        } else if !now.is_multiple_of(IDLE_SCAN) {
            return;
        }
        let idle = u32::try_from(self.limits.idle.as_secs()).unwrap_or(u32::MAX);
        let mut unused: Vec<_> = (self.lanes.iter())
            .filter(|lane| excess > 0 || now.saturating_sub(lane.used.load(Ordering::Relaxed)) >= idle)
            .map(|lane| {
                (
                    lane.used.load(Ordering::Relaxed),
                    lane.view.get().map_or(0, |view| view.weight()),
                    *lane.key(),
                )
            })
            .collect();
        unused.sort_unstable();
        for (used, weight, user) in unused {
            if excess == 0 && now.saturating_sub(used) < idle {
                break;
            }
            let passivated = self.lanes.remove_if(&user, |_, lane| Arc::strong_count(lane) == 1);
            if passivated.is_some() {
                excess = excess.saturating_sub(weight);
            }
        }
    }

    fn report(&self) {
        let waiting = self.limits.waiting - self.admission.available_permits();
        metrics().lanes(self.lanes.len(), waiting, self.cached_bytes.load(Ordering::Relaxed));
        metrics().pool(self.works.store.pool());
    }
}

impl Lane {
    fn new(who: &Identity) -> Self {
        Self {
            who: who.clone(),
            view: OnceCell::new(),
            actor: OnceLock::new(),
            flight: Arc::default(),
            waiting: AtomicUsize::new(0),
            followers: AtomicUsize::new(0),
            used: AtomicU32::new(0),
        }
    }

    /// Notes the time of use. It writes only when the second has changed, to leave the cache line alone.
    fn touch(&self, clock: &AtomicU32) {
        let now = clock.load(Ordering::Relaxed);
        if self.used.load(Ordering::Relaxed) != now {
            self.used.store(now, Ordering::Relaxed);
        }
    }
}
