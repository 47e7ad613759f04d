//! The only door to the lanes: reads, writes, followers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::available_parallelism;
use std::time::Duration;

use actix::ArbiterHandle;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Snapshot;
use super::eviction::evict;
use super::follow::follow;
use super::freshness::Freshness;
use super::lane_map::LaneMap;
use super::limits::LaneLimits;
use super::permits::Subscription;
use super::read::chunks::{Chunks, TasksBody};
use super::read::list_json::{START, end};
use super::submission::Submission;
use super::write::cancellation::{Cancellation, Timing};
use super::write::command::{Write, WriteReply};
use super::write::context::LaneContext;
use crate::domain::{Identity, Seq};
use crate::error::Error;
use crate::store::group_commit::GroupCommitter;
use crate::store::{Hint, PoolState, Store};
use crate::telemetry::metrics;
use crate::work::{WorkBudget, WorkPool};

/// The door to the lanes. A clone is another handle on the same ones.
#[derive(Clone)]
pub struct Registry {
    map: Arc<LaneMap>,
    submission: Arc<Submission>,
    runtime: Handle,
}

impl Registry {
    /// No lanes yet. Actors run on `arbiters` (at least one), everything else on `runtime`, where eviction
    /// also lives until the last handle is dropped.
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
        let work = WorkPool::start(available_parallelism().map_or(2, usize::from));
        let budget = WorkBudget::new(limits.config.work_max_bytes);
        let freshness = Freshness::start(Arc::clone(&store), limits.reads(), work.clone(), &runtime);
        let context = LaneContext { store, committer, freshness, limits, work, budget };
        let map = Arc::new(LaneMap::new(context, runtime.clone()));
        let submission = Arc::new(Submission::new(Arc::clone(&map), arbiters));
        let admission = Arc::clone(&submission.admission);
        let report = move |map: &LaneMap| {
            let waiting = map.context.limits.waiting - admission.available_permits();
            let bytes = map.cached_bytes.load(Ordering::Relaxed);
            metrics().lanes(map.len(), waiting, bytes);
            metrics().work(map.context.budget.taken());
            let PoolState { size, idle, waiting } = map.context.store.pool();
            metrics().pool(size, idle, waiting);
        };
        runtime.spawn(evict(Arc::downgrade(&map), Arc::clone(&map.pressure), report));
        Self { map, submission, runtime }
    }

    /// A user's snapshot if the lane is loaded: no wait, no store call. It may be old if other processes write as
    /// well.
    #[must_use]
    pub fn cached(&self, who: &Identity) -> Option<Arc<Snapshot>> {
        self.map.warm(who, |_, _| true)
    }

    /// The newest snapshot of a user, if it is available without a wait: it is in memory, known to be the newest,
    /// and not older than `least`.
    #[must_use]
    pub fn fresh(&self, who: &Identity, least: Seq) -> Option<Arc<Snapshot>> {
        let freshness = &self.map.context.freshness;
        let snapshot = self.map.warm(who, |view, shown| freshness.vouches(view, shown, least))?;
        metrics().cache_hits.increment(1);
        Some(snapshot)
    }

    /// The newest snapshot of a user. Loads the lane, or brings it up to date, if it must.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] if the store is needed and out of reach; [`Error::Overloaded`];
    /// [`Error::ForeignSubject`].
    pub async fn snapshot(&self, who: &Identity) -> Result<Arc<Snapshot>, Error> {
        self.snapshot_from(who, Seq::ZERO).await
    }

    /// As [`Registry::snapshot`], and not older than `least`.
    ///
    /// # Errors
    /// Also [`Error::SeqAhead`] if the store has not reached `least`.
    pub async fn snapshot_from(&self, who: &Identity, least: Seq) -> Result<Arc<Snapshot>, Error> {
        if let Some(snapshot) = self.fresh(who, least) {
            return Ok(snapshot);
        }
        let freshness = &self.map.context.freshness;
        let lane = self.map.living(who).await?;
        let (view, loaded) = self.map.view(&lane).await?;
        if loaded {
            metrics().cache_misses.increment(1);
            let snapshot = view.snapshot();
            if snapshot.seq() >= least {
                return Ok(snapshot);
            }
        } else {
            metrics().cache_hits.increment(1);
        }
        freshness.current(who, view, least).await
    }

    /// The bytes that requests under way may hold.
    #[must_use]
    pub fn budget(&self) -> &WorkBudget {
        &self.map.context.budget
    }

    /// The threads of heavy work.
    #[must_use]
    pub fn work(&self) -> &WorkPool {
        &self.map.context.work
    }

    /// The body of the whole list.
    #[must_use]
    pub fn list(&self, who: &Identity, snapshot: &Arc<Snapshot>) -> TasksBody {
        snapshot.list().map_or_else(
            || {
                let end = end(snapshot.len(), snapshot.len(), None);
                TasksBody::Chunks(self.all_tasks(who, snapshot, START.to_vec(), end))
            },
            TasksBody::Ready,
        )
    }

    /// A body with all tasks of a snapshot, newest first, between a start and an end.
    #[must_use]
    pub fn all_tasks(
        &self,
        who: &Identity,
        snapshot: &Arc<Snapshot>,
        start: Vec<u8>,
        end: Vec<u8>,
    ) -> Chunks {
        Chunks::of_version(self.map.pin(who, snapshot), snapshot.size(), start, end)
    }

    /// Carries out a write and returns once it is durable.
    ///
    /// Dropping the future does not take the write back: once handed to the lane, it runs on.
    ///
    /// # Errors
    /// Every variant of [`Error`]; only [`Error::OutcomeUnknown`] leaves open whether it was applied.
    pub async fn submit(&self, who: &Identity, write: Write) -> Result<WriteReply, Error> {
        self.submit_timed(who, write).await.0
    }

    /// As [`Registry::submit`], and says how long it took.
    pub async fn submit_timed(&self, who: &Identity, write: Write) -> (Result<WriteReply, Error>, Timing) {
        let cancellation = Cancellation::new();
        let written = self.submission.write(who, write, cancellation.clone());
        let mut answer = match timeout(self.map.context.limits.write_timeout, written).await {
            Ok(result) => result,
            Err(_) if cancellation.win() => {
                Err(Error::StoreUnavailable("the write could not be taken up in time".into()))
            }
            Err(_) => Err(Error::OutcomeUnknown),
        };
        if let Ok(reply) = &mut answer
            && reply.lacks_tasks()
        {
            match self.snapshot_from(who, reply.seq).await {
                Ok(snapshot) => reply.look_up_tasks(&snapshot),
                Err(error) => answer = Err(error),
            }
        }
        (answer, cancellation.timing())
    }

    /// Follows a user's changes from now on.
    ///
    /// # Errors
    /// As [`Registry::snapshot`]; [`Error::OverShare`] if the user, [`Error::Overloaded`] if all users together have as
    /// many followers as allowed.
    pub async fn follow(&self, who: &Identity) -> Result<Subscription, Error> {
        let of_all = Arc::clone(&self.map.followers).try_acquire_owned();
        let of_all = of_all.map_err(|_| Error::Overloaded("too many event streams are open"))?;
        let lane = self.map.living(who).await?;
        let (view, loaded) = self.map.view(&lane).await?;
        let view = Arc::clone(view);
        let freshness = &self.map.context.freshness;
        // The newest state even where reads may be older: a client that resumes from a newer seq would have to resync.
        match (loaded, freshness.is_shared()) {
            (true, _) => {}
            (false, true) => drop(freshness.newest(who, &view).await?),
            (false, false) => drop(freshness.current(who, &view, Seq::ZERO).await?),
        }
        let subscription =
            Subscription::new(&lane.usage, &view, self.map.context.limits.followers_per_user, of_all);
        subscription.ok_or(Error::OverShare("this user has too many event streams open"))
    }

    /// From now on followed lanes show what other processes write; those send these hints.
    pub fn follow_others(&self, hints: mpsc::Receiver<Hint>) {
        self.runtime.spawn(follow(Arc::downgrade(&self.map), hints));
    }

    /// Gives the current thread, an HTTP worker's, connections of its own. To be called on its runtime.
    pub fn attach_thread(&self) {
        self.map.context.store.attach_thread();
    }

    /// Asks the store whether it can be reached.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] says what is down.
    pub async fn ping(&self) -> Result<(), Error> {
        Ok(self.map.context.store.ping().await?)
    }

    /// Stops taking writes and returns once none is waiting, or after `within`.
    ///
    /// # Errors
    /// The number of writes that were still waiting then.
    pub async fn drain(&self, within: Duration) -> Result<(), usize> {
        let all = self.map.context.limits.waiting;
        let every = u32::try_from(all).unwrap_or(u32::MAX);
        let drained = timeout(within, self.submission.admission.acquire_many(every)).await;
        match drained {
            Ok(Ok(permits)) => {
                permits.forget();
                Ok(())
            }
            _ => Err(all - self.submission.admission.available_permits()),
        }
    }
}
