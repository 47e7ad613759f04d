//! The way of a write to its user's actor, and of the reply back.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use actix::dev::SendError;
use actix::dev::channel::channel;
use actix::{Addr, ArbiterHandle, Context};
use tokio::sync::{Semaphore, oneshot};

use super::lane::Lane;
use super::lane_map::LaneMap;
use super::permits::WritePermit;
use super::view::View;
use super::write::actor::UserActor;
use super::write::cancellation::Cancellation;
use super::write::command::{Effect, Write, WriteReply};
use super::write::idempotency::replay;
use super::write::reply_dispatch::ReplyDispatch;
use super::write::submit::Submit;
use crate::domain::{Identity, Revision, Seq};
use crate::error::Error;

/// How often a write without effect is carried out again because another process wrote meanwhile.
const RECHECKS: u32 = 5;

/// What writes need beside the map.
pub(super) struct Submission {
    map: Arc<LaneMap>,
    pub(super) admission: Arc<Semaphore>,
    arbiters: Vec<ArbiterHandle>,
    /// Spreads users over arbiters.
    spread: RandomState,
}

impl Submission {
    /// Actors run on `arbiters`, of which there is at least one.
    pub(super) fn new(map: Arc<LaneMap>, arbiters: Vec<ArbiterHandle>) -> Self {
        assert!(!arbiters.is_empty(), "lanes need an arbiter to run on");
        let admission = Arc::new(Semaphore::new(map.context.limits.waiting));
        Self { map, admission, arbiters, spread: RandomState::new() }
    }

    /// The lane's actor, started by the first write.
    fn actor<'a>(&self, lane: &'a Lane, view: &Arc<View>) -> &'a Addr<UserActor> {
        lane.actor.get_or_init(|| {
            let (context, view, commit_lock) =
                (Arc::clone(&self.map.context), Arc::clone(view), Arc::clone(&lane.commit_lock));
            let actor = UserActor::new(lane.who.clone(), context, view, commit_lock);
            // As many slots as permits: the channel is made here because a mailbox usually has 16 slots until its actor
            // runs for the first time.
            let (sender, receiver) = channel(self.map.context.limits.waiting_per_user);
            let index = usize::try_from(self.spread.hash_one(lane.who.user())).unwrap_or(0);
            self.arbiters[index % self.arbiters.len()].spawn_fn(move || {
                actix::spawn(Context::with_receiver(receiver).into_future(actor));
            });
            Addr::new(sender)
        })
    }

    fn admit(&self, lane: &Lane) -> Result<WritePermit, Error> {
        let of_all = Arc::clone(&self.admission).try_acquire_owned();
        let of_all = of_all.map_err(|_| Error::Overloaded("too many writes are waiting"))?;
        let permit = WritePermit::new(&lane.usage, self.map.context.limits.waiting_per_user, of_all);
        permit.ok_or(Error::OverShare("too many writes of this user are waiting"))
    }

    /// Carries out a write. The caller may give up: `cancellation` tells who wins.
    ///
    /// # Errors
    /// As `Registry::submit`, but for its time-out.
    pub(super) async fn write(
        &self,
        who: &Identity,
        write: Write,
        cancellation: Cancellation,
    ) -> Result<WriteReply, Error> {
        let freshness = &self.map.context.freshness;
        let looked_up = match &write.key {
            None => Seq::ZERO,
            Some(key) => {
                let recalled = self.map.context.store.recall(who.user(), &key.key).await?;
                if let Some(record) = recalled.record {
                    // No read after this reply may show an older state than the reply does.
                    let lane = self.map.living(who).await?;
                    let (view, _) = self.map.view(&lane).await?;
                    freshness.reach(who, view, recalled.seq).await?;
                    let at = Revision { seq: recalled.seq, ..view.snapshot().revision() };
                    return replay(&record, key, at);
                }
                recalled.seq
            }
        };
        if !freshness.is_shared() {
            return self.carry_out(who, write, looked_up, cancellation).await?.1;
        }
        for _ in 0..=RECHECKS {
            let (lane, answer) = self.carry_out(who, write.clone(), looked_up, cancellation.clone()).await?;
            let Some(seq) = without_effect(&answer) else { return answer };
            // Nothing was written, so no fence has shown whether it was decided on the newest state.
            cancellation.reopen();
            let (view, _) = self.map.view(&lane).await?;
            if freshness.was_newest(who, view, seq).await? {
                return answer;
            }
        }
        Err(Error::StoreUnavailable("other processes keep writing for this user".into()))
    }

    /// Puts a write into the mailbox of the lane's actor, or of its successor if the actor has died, and waits for
    /// the reply.
    async fn carry_out(
        &self,
        who: &Identity,
        write: Write,
        looked_up: Seq,
        cancellation: Cancellation,
    ) -> Result<(Arc<Lane>, Result<WriteReply, Error>), Error> {
        let mut lane = self.map.living(who).await?;
        let permit = self.admit(&lane)?;
        let (view, _) = self.map.view(&lane).await?;
        let room = if write.is_large() {
            Some(self.map.make_room(write.brings(&view.snapshot())).await)
        } else {
            None
        };
        let (reply, answer) = oneshot::channel();
        let submit = Submit {
            who: who.clone(),
            write,
            looked_up: Some(looked_up),
            cancellation,
            reply,
            dispatch: ReplyDispatch::of_current_thread(),
            planned: false,
            permit,
            room,
        };
        match self.actor(&lane, view).try_send(submit) {
            Ok(()) => {}
            Err(SendError::Full(_)) => return Err(Error::OverShare("this user's lane is full")),
            Err(SendError::Closed(submit)) => {
                self.map.retire(lane).await;
                lane = self.map.lane(who)?;
                let submit = Submit { permit: self.admit(&lane)?, ..submit };
                let (view, _) = self.map.view(&lane).await?;
                let restarting = |_| Error::Overloaded("this user's lane is being restarted");
                self.actor(&lane, view).try_send(submit).map_err(restarting)?;
            }
        }
        if let Ok(answer) = answer.await {
            return Ok((lane, answer));
        }
        // The actor died. Its command may have been planned, and its batch may be on its way to the store.
        self.map.retire(lane).await;
        Err(Error::OutcomeUnknown)
    }
}

/// The seq of a reply that reports no change.
fn without_effect(answer: &Result<WriteReply, Error>) -> Option<Seq> {
    match answer {
        Err(Error::Refused { at, .. }) => Some(at.seq),
        Ok(answer) => {
            let found = |effect: &Effect| matches!(effect, Effect::Exists(_));
            (!answer.effects.is_empty() && answer.effects.iter().all(found)).then_some(answer.seq)
        }
        Err(_) => None,
    }
}
