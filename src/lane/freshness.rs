//! Decides whether what is in memory may be served although other processes write to the store, too.
//!
//! A read asks the store for its user's seq. One query asks for all reads that wait at that moment, and a read
//! never joins a query that was sent before it came: so its answer has every write that any process had
//! acknowledged when the read began. A read that finds its user's lane behind fetches what changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::Snapshot;
use super::limits::{MANY_TASKS, Reads};
use super::view::View;
use crate::domain::{Identity, Seq, UserId};
use crate::error::Error;
use crate::store::{Store, StoreError, StoreLife, StoredUser};
use crate::telemetry::metrics;
use crate::work::WorkPool;

/// Reads that may wait for the next query.
const WAITING: usize = 16_384;

/// Reads that one query answers, at most.
const GROUP: usize = 4_096;

/// How long the store may take to answer that query.
const ANSWER: Duration = Duration::from_secs(3);

/// How long a read waits for its lane to be brought up to date.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a user is read at most, because the store's epoch has changed meanwhile.
const LOADS: u32 = 3;

/// A user's newest seq in the store, and the clock before the store was asked.
type SeqAnswer = Result<(Seq, u64), StoreError>;

/// A read that asks for its user's seq.
struct Question {
    user: UserId,
    reply: oneshot::Sender<SeqAnswer>,
}

/// What brings lanes up to date.
pub(super) struct Freshness {
    store: Arc<dyn Store>,
    reads: Reads,
    questions: mpsc::Sender<Question>,
    work: WorkPool,
    /// When the lanes' clock started.
    start: Instant,
}

impl Freshness {
    /// Starts the task that asks the store, on `runtime`; it ends when the returned value is dropped.
    pub(super) fn start(store: Arc<dyn Store>, reads: Reads, work: WorkPool, runtime: &Handle) -> Self {
        let (questions, asked) = mpsc::channel(WAITING);
        let start = Instant::now();
        runtime.spawn(ask(Arc::clone(&store), asked, start));
        Self { store, reads, questions, work, start }
    }

    /// The time by the lanes' clock, never 0.
    pub(super) fn now(&self) -> u64 {
        millis_since(self.start)
    }

    /// Whether other processes may write to the store.
    pub(super) fn is_shared(&self) -> bool {
        self.reads != Reads::Own
    }

    /// Whether a snapshot was read in an earlier epoch of the store.
    pub(super) fn is_outdated(&self, snapshot: &Snapshot) -> bool {
        snapshot.epoch() != self.store.life().epoch
    }

    /// Whether a snapshot of this view may be served without asking the store; it has to be of `least` or later.
    pub(super) fn vouches(&self, view: &View, snapshot: &Snapshot, least: Seq) -> bool {
        snapshot.seq() >= least
            && !self.is_outdated(snapshot)
            && match self.reads {
                Reads::Own => true,
                Reads::Strict => false,
                Reads::Bounded(age) => {
                    let validated = view.validated();
                    validated > 0 && u128::from(self.now() - validated) <= age.as_millis()
                }
            }
    }

    /// A user's state as of some instant within this call, or as old as the settings allow.
    ///
    /// # Errors
    /// [`Error::SeqAhead`] if the store has not reached `least`; as [`Freshness::newest`].
    pub(super) async fn current(
        &self,
        who: &Identity,
        view: &View,
        least: Seq,
    ) -> Result<Arc<Snapshot>, Error> {
        let shown = view.snapshot();
        if self.vouches(view, &shown, least) {
            return Ok(shown);
        }
        let newest = self.newest(who, view).await?;
        if newest.seq() < least { Err(Error::SeqAhead { at: newest.revision() }) } else { Ok(newest) }
    }

    /// A user's state as of some instant within this call.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`], [`Error::Overloaded`], [`Error::ForeignSubject`].
    pub(super) async fn newest(&self, who: &Identity, view: &View) -> Result<Arc<Snapshot>, Error> {
        let newest = timeout(PATIENCE, self.look(who, view)).await;
        newest
            .map_err(|_| Error::StoreUnavailable("the user could not be brought up to date in time".into()))?
    }

    /// Makes the view show at least this seq, which is known to be in the store. The lane may be behind when the
    /// answer to its own commit was lost.
    ///
    /// # Errors
    /// As [`Freshness::newest`].
    pub(super) async fn reach(&self, who: &Identity, view: &View, seq: Seq) -> Result<(), Error> {
        if view.snapshot().seq() < seq {
            self.newest(who, view).await?;
        }
        Ok(())
    }

    /// Whether the lane's state of this seq was the newest when the caller used it: it still is, or everything after
    /// it is this lane's own, which passed the fence.
    ///
    /// # Errors
    /// As [`Freshness::newest`].
    pub(super) async fn was_newest(&self, who: &Identity, view: &View, seq: Seq) -> Result<bool, Error> {
        let timeline = view.snapshot().timeline();
        let newest = self.newest(who, view).await?;
        let unmoved = newest.timeline() == timeline && newest.seq() >= seq;
        Ok(unmoved && (newest.seq() == seq || view.foreign() <= seq))
    }

    async fn look(&self, who: &Identity, view: &View) -> Result<Arc<Snapshot>, Error> {
        let before = view.snapshot();
        if self.is_outdated(&before) {
            return self.catch_up(who, view, |_| false).await;
        }
        let (stored, at) = self.ask(who.user()).await?;
        // What was shown before was in the store when it was asked, so a lower seq means that the store has gone back.
        let reaches = |shown: &Snapshot| {
            before.seq() <= stored
                && shown.moment() >= (before.timeline(), stored)
                && shown.timeline() == before.timeline()
        };
        let shown = view.snapshot();
        if reaches(&shown) && !self.is_outdated(&shown) {
            view.validate(at);
            return Ok(shown);
        }
        self.catch_up(who, view, reaches).await
    }

    async fn ask(&self, user: UserId) -> Result<(Seq, u64), Error> {
        let (reply, answer) = oneshot::channel();
        let full = |_| Error::Overloaded("too many reads wait for the store");
        self.questions.try_send(Question { user, reply }).map_err(full)?;
        let answer = answer.await.map_err(|_| Error::StoreUnavailable("the service is stopping".into()))?;
        Ok(answer?)
    }

    /// Fetches what other processes wrote and shows it, one call at a time for each lane. A call that waited and then
    /// finds a state that is `enough` fetches nothing.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`], [`Error::ForeignSubject`].
    pub(super) async fn catch_up(
        &self,
        who: &Identity,
        view: &View,
        enough: impl Fn(&Snapshot) -> bool,
    ) -> Result<Arc<Snapshot>, Error> {
        let _turn = view.catch_up().await;
        let base = view.snapshot();
        if enough(&base) {
            return Ok(base);
        }
        let at = self.now();
        if let Some(next) = self.step(who, &base).await? {
            metrics().catch_ups.increment(1);
            if next.seq() > base.seq() {
                view.note_foreign(next.seq());
            }
            view.publish(next);
        } else {
            metrics().reloads.increment(1);
            let mut whole = self.load(who).await?;
            if whole.seq() < base.seq() {
                let (shown, stored) = (base.seq().get(), whole.seq().get());
                tracing::warn!(user = %who.user(), shown, stored, "the store has gone back: the user is read again");
                if whole.lineage() == base.lineage() {
                    // The seqs in between will mean something else.
                    if let Err(error) = self.store.went_back(base.epoch()).await {
                        tracing::warn!(%error, "the store cannot be told from what it was before");
                    }
                    whole = self.load(who).await?;
                }
            }
            view.note_foreign(whole.seq());
            let went_back = whole.seq() < base.seq() || whole.epoch() != base.epoch();
            // A snapshot from the store does not know the lane's timelines.
            view.publish(whole.on_timeline(base.timeline() + u32::from(went_back), &base));
        }
        view.validate(at);
        Ok(view.snapshot())
    }

    /// The state after `base`, made from what changed since; `None` if the user has to be read whole.
    async fn step(&self, who: &Identity, base: &Snapshot) -> Result<Option<Snapshot>, Error> {
        if self.is_outdated(base) {
            return Ok(None);
        }
        let stored = self.store.since(who.user(), base.seq()).await?;
        let Some(stored) = stored else { return Ok((base.seq() == Seq::ZERO).then(|| base.clone())) };
        if stored.subject != **who.subject() {
            return Err(Error::ForeignSubject);
        }
        // In a new epoch it may not follow from what is shown.
        Ok(base.caught_up(stored, who.subject()).filter(|_| !self.is_outdated(base)))
    }

    /// Reads a user whole.
    ///
    /// # Errors
    /// As [`Freshness::catch_up`].
    pub(super) async fn load(&self, who: &Identity) -> Result<Snapshot, Error> {
        let (life, stored) = self.load_in_one_life(who.user()).await?;
        if stored.as_ref().is_some_and(|stored| stored.subject != **who.subject()) {
            return Err(Error::ForeignSubject);
        }
        if stored.as_ref().is_none_or(|stored| stored.tasks.len() <= MANY_TASKS) {
            return Ok(Snapshot::of_stored(stored, who.subject(), life));
        }
        // Where no other request waits for it.
        let subject = Arc::clone(who.subject());
        self.work.run(who.user(), move || Snapshot::of_stored(stored, &subject, life)).await
    }

    /// What the store holds of a user, and the life of the store that it was read in.
    async fn load_in_one_life(&self, user: UserId) -> Result<(StoreLife, Option<StoredUser>), Error> {
        for _ in 0..LOADS {
            let life = self.store.life();
            let stored = self.store.load(user).await?;
            if self.store.life() == life {
                return Ok((life, stored));
            }
        }
        Err(Error::StoreUnavailable("the store keeps changing hands".into()))
    }
}

fn millis_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
}

/// Asks the store for all waiting reads, one query after the other. A read that comes during a query is in the
/// next one.
async fn ask(store: Arc<dyn Store>, mut questions: mpsc::Receiver<Question>, start: Instant) {
    let mut group = Vec::new();
    while questions.recv_many(&mut group, GROUP).await > 0 {
        let at = millis_since(start);
        let mut users: Vec<_> = group.iter().map(|question| question.user).collect();
        users.sort_unstable();
        users.dedup();
        metrics().validations.increment(1);
        let answer = timeout(ANSWER, store.seqs(&users)).await;
        let answer =
            answer.unwrap_or_else(|_| Err(StoreError("the store took too long to answer".to_owned())));
        let seqs = answer.map(|seqs| seqs.into_iter().collect::<HashMap<_, _>>());
        for Question { user, reply } in group.drain(..) {
            let seq = |seqs: &HashMap<_, _>| (seqs.get(&user).copied().unwrap_or(Seq::ZERO), at);
            // A reader that has given up needs no answer.
            let _ = reply.send(seqs.as_ref().map(seq).map_err(Clone::clone));
        }
    }
}
