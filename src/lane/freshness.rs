//! Keeps what is in memory true to a store that other processes write to as well.
//!
//! A read asks how far its user is in the store. All reads that wait at that moment ask by one query, and a
//! read never joins a query that was sent before it came: a write that was acknowledged before the read
//! began, by whatever process, is in its answer. Whoever finds its user's lane behind fetches what changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::Snapshot;
use super::limits::Reads;
use super::view::View;
use crate::domain::{Identity, Seq, UserId};
use crate::error::Error;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics;

/// Reads that may wait for the next query.
const WAITING: usize = 16_384;

/// Reads one query answers at the most.
const GROUP: usize = 4_096;

/// How long the store may take to say how far users are.
const ANSWER: Duration = Duration::from_secs(3);

/// How long a read waits in all until its lane is up to date.
const PATIENCE: Duration = Duration::from_secs(10);

/// A user's newest seq in the store, and the time before it was asked for.
type SeqAnswer = Result<(Seq, u64), StoreError>;

/// A read that wants to know how far its user is.
struct Question {
    user: UserId,
    reply: oneshot::Sender<SeqAnswer>,
}

/// What brings lanes up to date.
pub(super) struct Freshness {
    store: Arc<dyn Store>,
    reads: Reads,
    questions: mpsc::Sender<Question>,
    /// The beginning of the lanes' clock.
    start: Instant,
}

impl Freshness {
    /// Starts the task that asks, on `runtime`; it ends with the value this returns.
    pub(super) fn start(store: Arc<dyn Store>, reads: Reads, runtime: &Handle) -> Self {
        let (questions, asked) = mpsc::channel(WAITING);
        let start = Instant::now();
        runtime.spawn(ask(Arc::clone(&store), asked, start));
        Self { store, reads, questions, start }
    }

    /// The time by the lanes' clock, never 0.
    pub(super) fn now(&self) -> u64 {
        millis_since(self.start)
    }

    /// Whether other processes may write, too.
    pub(super) fn is_shared(&self) -> bool {
        self.reads != Reads::Own
    }

    /// Whether what a snapshot shows is of a store that is not the one it was.
    pub(super) fn is_outdated(&self, snapshot: &Snapshot) -> bool {
        snapshot.epoch() != self.store.epoch()
    }

    /// Whether a snapshot of this view, which should be of `least` or later, needs no question.
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

    /// A user's state as it was at some instant within this call, or as the settings say will do.
    ///
    /// # Errors
    /// [`Error::SeqAhead`] when the store has not come to `least`; as [`Freshness::newest`].
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
        if newest.seq() < least { Err(Error::SeqAhead { seq: newest.seq() }) } else { Ok(newest) }
    }

    /// A user's state as it was at some instant within this call.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`], [`Error::Overloaded`], [`Error::ForeignSubject`].
    pub(super) async fn newest(&self, who: &Identity, view: &View) -> Result<Arc<Snapshot>, Error> {
        let newest = timeout(PATIENCE, self.look(who, view)).await;
        newest
            .map_err(|_| Error::StoreUnavailable("the user could not be brought up to date in time".into()))?
    }

    /// Has the lane show a state of at least this seq, which is known to be in the store. It may be there before the
    /// lane knows, when the answer to its own commit was lost.
    ///
    /// # Errors
    /// As [`Freshness::newest`].
    pub(super) async fn reach(&self, who: &Identity, view: &View, seq: Seq) -> Result<(), Error> {
        if view.snapshot().seq() < seq {
            self.newest(who, view).await?;
        }
        Ok(())
    }

    /// Whether the state of this seq, which the lane had within this call's caller, was the newest then: it
    /// still is, or what came after it was this lane's own, which passed the fence.
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
        // What was shown before the question was in the store then, so a lower seq means that it has gone back.
        let reaches = |shown: &Snapshot| {
            before.seq() <= stored
                && shown.moment() >= (before.timeline(), stored)
                && shown.timeline() == before.timeline()
        };
        let shown = view.snapshot();
        if reaches(&shown) {
            view.validate(at);
            return Ok(shown);
        }
        self.catch_up(who, view, reaches).await
    }

    async fn ask(&self, user: UserId) -> Result<(Seq, u64), Error> {
        let (reply, told) = oneshot::channel();
        let full = |_| Error::Overloaded("too many reads wait for the store");
        self.questions.try_send(Question { user, reply }).map_err(full)?;
        let told = told.await.map_err(|_| Error::StoreUnavailable("the service is stopping".into()))?;
        told.map_err(unavailable)
    }

    /// Fetches what other processes wrote, and shows it: one at a time for each lane. Who waited meanwhile, and
    /// finds a state that is `enough`, fetches nothing.
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
            metrics().catch_up();
            if next.seq() > base.seq() {
                view.note_foreign(next.seq());
            }
            view.publish(next);
        } else {
            metrics().reload();
            let whole = self.load(who).await?;
            if whole.seq() < base.seq() {
                let (shown, stored) = (base.seq().get(), whole.seq().get());
                tracing::warn!(user = %who.user(), shown, stored, "the store has gone back: a user is read anew");
            }
            view.note_foreign(whole.seq());
            let went_back = whole.seq() < base.seq() || whole.epoch() != base.epoch();
            // What was read knows nothing of the lane's timelines.
            view.publish(whole.on_timeline(base.timeline() + u32::from(went_back)));
        }
        view.validate(at);
        Ok(view.snapshot())
    }

    /// The state after `base`, by what changed since; `None` where a user has to be read anew.
    async fn step(&self, who: &Identity, base: &Snapshot) -> Result<Option<Snapshot>, Error> {
        if self.is_outdated(base) {
            return Ok(None);
        }
        let stored = self.store.since(who.user(), base.seq()).await.map_err(unavailable)?;
        let Some(stored) = stored else { return Ok((base.seq() == Seq::ZERO).then(|| base.clone())) };
        if stored.subject != **who.subject() {
            return Err(Error::ForeignSubject);
        }
        Ok(base.caught_up(stored, who.subject()))
    }

    /// Reads a user.
    ///
    /// # Errors
    /// As [`Freshness::catch_up`].
    pub(super) async fn load(&self, who: &Identity) -> Result<Snapshot, Error> {
        // Asked before the load: should it change meanwhile, the user is read again.
        let epoch = self.store.epoch();
        let stored = self.store.load(who.user()).await.map_err(unavailable)?;
        if stored.as_ref().is_some_and(|stored| stored.subject != **who.subject()) {
            return Err(Error::ForeignSubject);
        }
        Ok(Snapshot::of_stored(stored, who.subject(), epoch))
    }
}

fn unavailable(error: StoreError) -> Error {
    Error::StoreUnavailable(error.0)
}

fn millis_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
}

/// Asks for all who wait, one query after the other. A question that comes while one is under way is in the
/// next one.
async fn ask(store: Arc<dyn Store>, mut questions: mpsc::Receiver<Question>, start: Instant) {
    let mut group = Vec::new();
    while questions.recv_many(&mut group, GROUP).await > 0 {
        let at = millis_since(start);
        let mut users: Vec<_> = group.iter().map(|question| question.user).collect();
        users.sort_unstable();
        users.dedup();
        metrics().validation();
        let answer = timeout(ANSWER, store.seqs(&users)).await;
        let answer =
            answer.unwrap_or_else(|_| Err(StoreError("the store took too long to answer".to_owned())));
        let seqs = answer.map(|seqs| seqs.into_iter().collect::<HashMap<_, _>>());
        for Question { user, reply } in group.drain(..) {
            let seq = |seqs: &HashMap<_, _>| (seqs.get(&user).copied().unwrap_or(Seq::ZERO), at);
            // A reader that has gone needs no answer.
            let _ = reply.send(seqs.as_ref().map(seq).map_err(Clone::clone));
        }
    }
}
