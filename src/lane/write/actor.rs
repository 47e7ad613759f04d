//! The actor of one user: it alone orders that user's writes.
//!
//! Its handler is synchronous: it queues the command. While no commit is in flight, the queue is planned, every
//! command in order on a working copy, and goes out as one batch; what arrives meanwhile forms the next batch.
//! Nothing is shown or answered before the store has settled it.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::command::{Write, WriteReply};
use super::context::LaneContext;
use super::idempotency::{KeyState, RecentKeys, replay};
use super::plan::Plan;
use super::reply_dispatch::ReplyDispatch;
use super::submit::{Submit, fail};
use crate::domain::{Cost, Identity, Revision, Seq, Timestamp};
use crate::error::Error;
use crate::lane::read::snapshot::Snapshot;
use crate::lane::view::View;
use crate::store::group_commit::CommitTiming;
use crate::store::{Batch, Outcome, Recalled};
use crate::telemetry::metrics;

/// Commands of one batch, at most …
const BATCH: usize = 256;

/// … and a batch ends with the command that makes it cost more: all its tasks have to be in memory, and to be sent.
const BATCH_COST: Cost = Cost::new(1_000, 4 << 20);

/// How often a batch is planned again because another process wrote first.
const RERUNS: u32 = 5;

/// Half the longest back-off before the first retry, which is doubled with each retry. Its jitter keeps processes
/// that write for one user from retrying in lockstep.
const JITTER: Duration = Duration::from_millis(4);

/// The pause before a failed reload is retried.
const RELOAD_PAUSE: Duration = Duration::from_millis(250);

/// What the actor is doing. Transitions:
///
/// | from | event | to |
/// |---|---|---|
/// | `Idle` | a command that changes something | `Committing` |
/// | `Idle` | a large write | `Planning` |
/// | `Planning` | planned | `Committing`, or `Idle` if nothing changed |
/// | `Idle` | a command, and the store is in a new epoch | `Reloading` |
/// | `Committing` | committed, rejected, unavailable | `Idle`, then on with the queue |
/// | `Committing` | conflict, unknown | `Reloading` |
/// | `Reloading` | loaded | `Idle`, then on with the queue |
/// | `Reloading` | the load failed | `Reloading`: planned writes fail, the load is tried again |
enum State {
    Idle,
    /// A large write is being planned on the threads of heavy work.
    Planning,
    Committing(Box<InFlight>),
    Reloading,
}

/// A batch on its way to the store.
struct InFlight {
    batch: Arc<Batch>,
    next: Snapshot,
    /// The seq up to which the store has deletions to forget once the batch is durable.
    forget: Option<Seq>,
    answers: Vec<(Submit, Result<WriteReply, Error>)>,
}

impl InFlight {
    /// What has to be committed, if anything.
    fn of(plan: Plan, answers: Vec<(Submit, Result<WriteReply, Error>)>) -> Option<Self> {
        if answers.is_empty() {
            return None;
        }
        let (batch, next, forget) = plan.finish();
        Some(Self { batch: Arc::new(batch), next, forget, answers })
    }
}

/// The actor. A new one starts from what the store holds.
pub(crate) struct UserActor {
    who: Identity,
    context: Arc<LaneContext>,
    view: Arc<View>,
    commit_lock: Arc<Mutex<()>>,
    queue: VecDeque<Submit>,
    state: State,
    reruns: u32,
    keys: RecentKeys,
    /// The state this actor saw or made last, as [`Snapshot::moment`] names it.
    known: (u32, Seq),
}

impl UserActor {
    pub(crate) fn new(
        who: Identity,
        context: Arc<LaneContext>,
        view: Arc<View>,
        commit_lock: Arc<Mutex<()>>,
    ) -> Self {
        let known = view.snapshot().moment();
        Self {
            who,
            context,
            view,
            commit_lock,
            queue: VecDeque::new(),
            state: State::Idle,
            reruns: 0,
            keys: RecentKeys::new(known.1),
            known,
        }
    }

    /// The state to plan on. If it is not the one this actor left, another process has written, perhaps under keys
    /// that are not known here, or known keys were lost. So all keys are looked up in the store again.
    fn base(&mut self) -> Arc<Snapshot> {
        let base = self.view.snapshot();
        if base.moment() != self.known {
            self.known = base.moment();
            self.keys.forget(base.seq());
        }
        base
    }

    /// Plans what is queued and sends it off, if nothing is in flight.
    fn proceed(&mut self, ctx: &mut Context<Self>) {
        while matches!(self.state, State::Idle) && !self.queue.is_empty() {
            if self.context.freshness.is_outdated(&self.view.snapshot()) {
                return self.reload(Duration::ZERO, ctx);
            }
            let Ok(commit_lock) = Arc::clone(&self.commit_lock).try_lock_owned() else {
                // Only a predecessor of this actor can hold it, and no successor starts before that commit is settled.
                debug_assert!(false, "two actors of one user");
                return;
            };
            if self.queue.front().is_some_and(|submit| submit.write.is_large()) {
                self.plan_large(commit_lock, ctx);
            } else if let Some(sent) = self.plan(ctx) {
                self.send(sent, commit_lock, ctx);
            }
        }
    }

    fn send(&mut self, sent: InFlight, commit_lock: OwnedMutexGuard<()>, ctx: &mut Context<Self>) {
        let (sender, settled) = oneshot::channel();
        let dispatch = ReplyDispatch::of_current_thread();
        // If this actor dies it is not notified; its successor reads the store.
        let notify = move |settled, sending| dispatch.run(move || drop(sender.send((settled, sending))));
        self.context.committer.submit(Arc::clone(&sent.batch), commit_lock, notify);
        self.state = State::Committing(Box::new(sent));
        ctx.spawn(settled.into_actor(self).map(|settled, actor, ctx| {
            // The committer settles every batch; it is gone only when the process is ending.
            let unknown = || (Outcome::Unknown("the process is ending".into()), None);
            let (outcome, sending) = settled.unwrap_or_else(|_| unknown());
            actor.settled(outcome, sending, ctx);
        }));
    }

    fn new_plan(&mut self) -> Plan {
        let base = self.base();
        Plan::new(self.who.clone(), base, &self.context.limits.config, Timestamp::now())
    }

    /// Plans queued writes. Answers at once those that depend on nothing uncommitted; returns what has to be
    /// committed, if anything.
    fn plan(&mut self, ctx: &mut Context<Self>) -> Option<InFlight> {
        let mut plan = self.new_plan();
        let mut answers = Vec::new();
        for _ in 0..BATCH {
            if !plan.cost().is_within(BATCH_COST) {
                break;
            }
            let Some(submit) = self.queue.pop_front_if(|submit| !submit.write.is_large()) else { break };
            let Some(mut submit) = self.take_up(submit, plan.revision(), ctx) else { continue };
            let answer = plan.run(&mut submit.write, submit.who.email());
            if plan.changes_anything() {
                answers.push((submit, answer));
            } else {
                submit.answer(answer);
            }
        }
        InFlight::of(plan, answers)
    }

    /// Begins with a write, unless its caller has given up, or its key is known or has to be looked up.
    fn take_up(&mut self, mut submit: Submit, at: Revision, ctx: &mut Context<Self>) -> Option<Submit> {
        if !submit.planned && !submit.cancellation.win() {
            return None;
        }
        submit.planned = true;
        let Some(key) = &submit.write.key else { return Some(submit) };
        match self.keys.look_up(key, submit.looked_up, at) {
            KeyState::New => return Some(submit),
            KeyState::Known(reply) => submit.answer(reply),
            KeyState::Unsure => self.recall(submit, ctx),
        }
        None
    }

    /// Plans a large write, by itself and where no other user's writes wait for it.
    fn plan_large(&mut self, commit_lock: OwnedMutexGuard<()>, ctx: &mut Context<Self>) {
        let mut plan = self.new_plan();
        let Some(submit) = self.queue.pop_front() else { return };
        let Some(mut submit) = self.take_up(submit, plan.revision(), ctx) else { return };
        self.state = State::Planning;
        // The rest of the submission stays here, so that its caller is answered whatever happens there.
        let mut write = std::mem::replace(&mut submit.write, Write::from(Vec::new()));
        let (work, user, email) = (self.context.work.clone(), self.who.user(), submit.who.email().cloned());
        let planning = async move {
            let planned = move || {
                let answer = plan.run(&mut write, email.as_ref());
                (plan, write, answer)
            };
            work.run(user, planned).await
        };
        ctx.spawn(planning.into_actor(self).map(move |planned, actor, ctx| {
            actor.state = State::Idle;
            match planned {
                Err(error) => submit.answer(Err(error)),
                Ok((plan, write, answer)) => {
                    submit.write = write;
                    if !plan.changes_anything() {
                        submit.answer(answer);
                    } else if let Some(sent) = InFlight::of(plan, vec![(submit, answer)]) {
                        actor.send(sent, commit_lock, ctx);
                    }
                }
            }
            actor.proceed(ctx);
        }));
    }

    /// Looks a write's key up in the store again, while other work goes on.
    fn recall(&self, submit: Submit, ctx: &mut Context<Self>) {
        let (context, who, view) = (Arc::clone(&self.context), self.who.clone(), Arc::clone(&self.view));
        let key = submit.write.key.as_ref().map(|key| Arc::clone(&key.key)).unwrap_or_default();
        let lookup = async move {
            let recalled = context.store.recall(who.user(), &key).await?;
            if recalled.record.is_some() {
                context.freshness.reach(&who, &view, recalled.seq).await?;
            }
            Ok(recalled)
        };
        ctx.spawn(lookup.into_actor(self).map(|recalled, actor, ctx| actor.recalled(submit, recalled, ctx)));
    }

    /// Goes on with a write whose key was looked up again.
    fn recalled(&mut self, mut submit: Submit, recalled: Result<Recalled, Error>, ctx: &mut Context<Self>) {
        match (recalled, &submit.write.key) {
            (Ok(Recalled { seq, record: Some(record) }), Some(key)) => {
                let at = Revision { seq, ..self.view.snapshot().revision() };
                let answer = replay(&record, key, at);
                submit.answer(answer);
            }
            (Ok(Recalled { seq, .. }), _) => {
                submit.looked_up = Some(seq);
                self.queue.push_back(submit);
                self.proceed(ctx);
            }
            (Err(error), _) => submit.answer(Err(error)),
        }
    }

    fn settled(&mut self, outcome: Outcome, sending: Option<CommitTiming>, ctx: &mut Context<Self>) {
        let State::Committing(sent) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        let sent = *sent;
        if let Some(sending) = sending {
            sent.answers.iter().for_each(|(submit, _)| submit.cancellation.note_commit(sending));
        }
        match outcome {
            Outcome::Committed => {
                self.reruns = 0;
                self.keys.keep(&sent.batch);
                self.known = sent.next.moment();
                self.view.publish(sent.next);
                if let Some(horizon) = sent.forget {
                    self.forget(horizon, ctx);
                }
                for (submit, answer) in sent.answers {
                    submit.answer(answer);
                }
            }
            Outcome::Conflict => {
                metrics().conflicts.increment(1);
                self.reruns += 1;
                let pause = jitter(self.reruns, (self.context.limits.jitter_seed, self.known.1));
                let submits = submits(sent).map(|submit| Submit { looked_up: None, ..submit });
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
                self.reload(pause, ctx);
            }
            Outcome::Rejected(reason) => {
                fail(submits(sent), || Error::Internal(format!("the store rejected a batch: {reason}")));
            }
            Outcome::Unavailable(reason) => fail(submits(sent), || Error::StoreUnavailable(reason.clone())),
            Outcome::Unknown(_) => {
                fail(submits(sent), || Error::OutcomeUnknown);
                self.reload(Duration::ZERO, ctx);
            }
        }
        self.proceed(ctx);
    }

    /// Has the store forget deletions, while other work goes on. What it does not forget now, it does with the next
    /// purge.
    fn forget(&self, horizon: Seq, ctx: &mut Context<Self>) {
        let (context, user) = (Arc::clone(&self.context), self.who.user());
        let forget = async move {
            if let Err(error) = context.store.forget(user, horizon).await {
                tracing::warn!(%user, %error, "old deletions could not be forgotten");
            }
        };
        ctx.spawn(forget.into_actor(self));
    }

    /// Brings the user's state up to date, after `pause`. Nothing is planned until then.
    fn reload(&mut self, pause: Duration, ctx: &mut Context<Self>) {
        self.state = State::Reloading;
        let (context, view, who) = (Arc::clone(&self.context), Arc::clone(&self.view), self.who.clone());
        let load = async move {
            tokio::time::sleep(pause).await;
            context.freshness.catch_up(&who, &view, |_| false).await
        };
        ctx.spawn(load.into_actor(self).map(|loaded, actor, ctx| actor.reloaded(loaded, ctx)));
    }

    fn reloaded(&mut self, loaded: Result<Arc<Snapshot>, Error>, ctx: &mut Context<Self>) {
        match loaded {
            Ok(_) => {
                self.state = State::Idle;
                self.proceed(ctx);
            }
            Err(error) => {
                // Callers of writes that were planned before cannot cancel them any more.
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

impl Drop for UserActor {
    /// An actor ends with its lane, or by a panic: then what the view shows may be old.
    fn drop(&mut self) {
        self.view.abandon();
    }
}

impl Handler<Submit> for UserActor {
    type Result = ();

    fn handle(&mut self, submit: Submit, ctx: &mut Context<Self>) {
        self.queue.push_back(submit);
        self.proceed(ctx);
    }
}

fn submits(sent: InFlight) -> impl Iterator<Item = Submit> {
    sent.answers.into_iter().map(|(submit, _)| submit)
}

/// Randomised back-off before retry number `rerun`.
fn jitter(rerun: u32, jitter_seed: impl Hash) -> Duration {
    let most = JITTER.saturating_mul(1 << rerun.min(RERUNS));
    let mut drawn = DefaultHasher::new();
    (rerun, jitter_seed).hash(&mut drawn);
    most.mul_f64(f64::from(u16::try_from(drawn.finish() >> 48).unwrap_or(0)) / f64::from(u16::MAX))
}
