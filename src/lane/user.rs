//! The actor of one user: the only place where that user's writes are ordered.
//!
//! Its handler is synchronous: it queues the command. While no commit is in flight the queue is
//! planned, every command in order against a working copy, and goes out as one batch; what arrives
//! meanwhile forms the next. Nothing is shown or answered before the store has said what became of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::sync::{Mutex, oneshot};
use uuid::Uuid;

use super::registry::{Effect, Permit, Written};
use super::snapshot::{Entry, Snapshot};
use super::view::View;
use crate::domain::{Change, Command, Decision, Identity, TaskId, Timestamp};
use crate::error::Error;
use crate::store::committer::{Committer, Flight, Settled};
use crate::store::{Batch, Store, StoreError, StoredUser};
use crate::telemetry::metrics;

/// Commands of one batch at the most: a batch is one row in the fence, but its tasks all travel.
const BATCH: usize = 256;

/// How often a batch is planned anew because another process wrote first.
const RERUNS: u32 = 5;

/// The pause before a failed reload is tried again.
const RELOAD_PAUSE: Duration = Duration::from_millis(250);

/// What every lane works with.
pub(super) struct Works {
    pub(super) store: Arc<dyn Store>,
    pub(super) committer: Committer,
    pub(super) max_tasks: usize,
}

/// A write on its way to the actor.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Submit {
    pub(super) who: Identity,
    pub(super) command: Command,
    pub(super) claim: Claim,
    pub(super) reply: oneshot::Sender<Result<Written, Error>>,
    /// Whether it was planned, and therefore claimed, before.
    pub(super) planned: bool,
    /// Keeps the lane from being passivated, and counts against the limits on waiting work.
    pub(super) permit: Permit,
}

/// Who decides over a queued command: the actor by planning it, or the caller by giving up on it.
/// The first one wins, so a caller knows for certain whether its command can still take effect.
#[derive(Clone, Default)]
pub(super) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// True for the first to ask.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// What the actor is doing. Transitions:
///
/// | from | event | to |
/// |---|---|---|
/// | `Idle` | a command that changes something | `Committing` |
/// | `Committing` | committed, rejected, unavailable | `Idle`, then on with the queue |
/// | `Committing` | conflict, unknown | `Reloading` |
/// | `Reloading` | loaded | `Idle`, then on with the queue |
enum State {
    Idle,
    Committing(Plan),
    Reloading,
}

/// A batch decided but not known to be durable.
struct Plan {
    batch: Arc<Batch>,
    next: Snapshot,
    answers: Vec<(Submit, Result<Written, Error>)>,
}

/// The actor. Its state is rebuilt from the store whenever it is made anew.
pub(super) struct UserActor {
    who: Identity,
    works: Arc<Works>,
    view: Arc<View>,
    flight: Arc<Mutex<()>>,
    queue: VecDeque<Submit>,
    state: State,
    reruns: u32,
}

impl UserActor {
    pub(super) fn new(who: Identity, works: Arc<Works>, view: Arc<View>, flight: Arc<Mutex<()>>) -> Self {
        Self { who, works, view, flight, queue: VecDeque::new(), state: State::Idle, reruns: 0 }
    }

    /// Plans what is queued and sends it off, if nothing is in flight.
    fn proceed(&mut self, ctx: &mut Context<Self>) {
        while matches!(self.state, State::Idle) && !self.queue.is_empty() {
            let Ok(flight) = Arc::clone(&self.flight).try_lock_owned() else {
                // Only a predecessor of this actor can hold it, and the registry starts no successor
                // before that flight is over.
                debug_assert!(false, "two actors of one user");
                return;
            };
            if let Some(plan) = self.plan() {
                self.send(plan, flight, ctx);
            }
        }
    }

    /// Runs queued commands in order against a working copy. Answers at once what nothing uncommitted
    /// bears on; returns what is to be committed, if anything is.
    fn plan(&mut self) -> Option<Plan> {
        let now = Timestamp::now();
        let base = self.view.snapshot();
        let mut next = (*base).clone();
        let mut changes = BTreeMap::new();
        let mut answers = Vec::new();
        let mut email = None;
        for mut submit in self.queue.drain(..self.queue.len().min(BATCH)) {
            if !submit.planned && !submit.claim.take() {
                continue;
            }
            submit.planned = true;
            let answer = run(&submit.command, &mut next, &mut changes, self.works.max_tasks, now, &self.who);
            if next.seq() == base.seq() {
                submit.answer(answer);
                continue;
            }
            if submit.who.email().is_some() && submit.who.email() != next.email() {
                email = submit.who.email().cloned();
                next.set_email(email.clone());
            }
            answers.push((submit, answer));
        }
        if answers.is_empty() {
            return None;
        }
        let batch = Batch {
            id: Uuid::now_v7(),
            user: self.who.user(),
            subject: Arc::clone(self.who.subject()),
            email,
            expected: base.seq(),
            reached: next.seq(),
            changes: changes.into_values().collect(),
        };
        Some(Plan { batch: Arc::new(batch), next, answers })
    }

    fn send(&mut self, plan: Plan, flight: Flight, ctx: &mut Context<Self>) {
        let settled = self.works.committer.submit(Arc::clone(&plan.batch), flight);
        self.state = State::Committing(plan);
        ctx.spawn(settled.into_actor(self).map(|settled, actor, ctx| {
            // The committer answers every batch; it can only be gone when the process is ending.
            actor.settled(settled.unwrap_or(Settled::Unknown), ctx);
        }));
    }

    fn settled(&mut self, settled: Settled, ctx: &mut Context<Self>) {
        let State::Committing(plan) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        match settled {
            Settled::Committed => {
                self.reruns = 0;
                self.view.publish(plan.next);
                for (submit, answer) in plan.answers {
                    submit.answer(answer);
                }
            }
            Settled::Conflict => {
                metrics().conflict();
                self.reruns += 1;
                let submits = plan.answers.into_iter().map(|(submit, _)| submit);
                if self.reruns > RERUNS {
                    self.reruns = 0;
                    fail(submits, || {
                        Error::StoreUnavailable("another process keeps writing for this user".into())
                    });
                } else {
                    // They came before everything that is queued now.
                    let later = std::mem::take(&mut self.queue);
                    self.queue = submits.chain(later).collect();
                }
                self.reload(Duration::ZERO, ctx);
            }
            Settled::Rejected(reason) => {
                fail(submits(plan), || Error::Internal(format!("the store rejected a batch: {reason}")));
            }
            Settled::Unavailable(reason) => fail(submits(plan), || Error::StoreUnavailable(reason.clone())),
            Settled::Unknown => {
                fail(submits(plan), || Error::OutcomeUnknown);
                self.reload(Duration::ZERO, ctx);
            }
        }
        self.proceed(ctx);
    }

    /// Reads the user's state anew, after `pause`. Until it is there nothing is planned.
    fn reload(&mut self, pause: Duration, ctx: &mut Context<Self>) {
        self.state = State::Reloading;
        let (store, user) = (Arc::clone(&self.works.store), self.who.user());
        let load = async move {
            tokio::time::sleep(pause).await;
            store.load(user).await
        };
        ctx.spawn(load.into_actor(self).map(|loaded, actor, ctx| actor.reloaded(loaded, ctx)));
    }

    fn reloaded(&mut self, loaded: Result<Option<StoredUser>, StoreError>, ctx: &mut Context<Self>) {
        match loaded {
            Ok(stored) => {
                self.view.publish(Snapshot::of_stored(stored, self.who.subject()));
                self.state = State::Idle;
                self.proceed(ctx);
            }
            Err(error) => {
                // Those that were planned before cannot be taken back by their callers any more.
                let (planned, waiting) = self.queue.drain(..).partition(|submit| submit.planned);
                self.queue = waiting;
                fail::<VecDeque<_>>(planned, || Error::StoreUnavailable(error.to_string()));
                self.reload(RELOAD_PAUSE, ctx);
            }
        }
    }
}

impl Actor for UserActor {
    type Context = Context<Self>;
}

impl Handler<Submit> for UserActor {
    type Result = ();

    fn handle(&mut self, submit: Submit, ctx: &mut Context<Self>) {
        self.queue.push_back(submit);
        self.proceed(ctx);
    }
}

impl Submit {
    fn answer(self, answer: Result<Written, Error>) {
        // The permit goes first, so that whoever hears the answer finds the place free.
        drop(self.permit);
        // A caller that has gone needs no answer; the write stands.
        let _ = self.reply.send(answer);
    }
}

fn submits(plan: Plan) -> impl Iterator<Item = Submit> {
    plan.answers.into_iter().map(|(submit, _)| submit)
}

fn fail<S: IntoIterator<Item = Submit>>(submits: S, error: impl Fn() -> Error) {
    for submit in submits {
        submit.answer(Err(error()));
    }
}

/// Runs one command against the working copy and notes what it changes.
fn run(
    command: &Command,
    next: &mut Snapshot,
    changes: &mut BTreeMap<TaskId, Change<Arc<crate::domain::Task>>>,
    max_tasks: usize,
    now: Timestamp,
    who: &Identity,
) -> Result<Written, Error> {
    let id = command.task();
    let existing = next.get(id).cloned();
    let seq = next.seq().next();
    let decision = command
        .decide(existing.as_ref().map(|entry| &*entry.task), next.len(), max_tasks, now, seq)
        .map_err(|refusal| Error::Refused { refusal, seq: next.seq() })?;
    let created = matches!(decision, Decision::Create(_));
    match decision {
        Decision::Create(task) | Decision::Replace(task) => {
            let entry = Arc::new(Entry::new(task, who.subject()));
            next.put(Arc::clone(&entry));
            next.advance(seq);
            changes.insert(id, Change::Put(Arc::clone(&entry.task)));
            let effect = if created { Effect::Created(entry) } else { Effect::Updated(entry) };
            Ok(Written { seq, effect })
        }
        Decision::Delete => {
            next.remove(id);
            next.advance(seq);
            changes.insert(id, Change::Delete { id, seq, at: now });
            Ok(Written { seq, effect: Effect::Deleted })
        }
        Decision::Exists => {
            let entry = existing.ok_or_else(|| Error::Internal("a task exists and does not".into()))?;
            Ok(Written { seq: next.seq(), effect: Effect::Exists(entry) })
        }
    }
}
