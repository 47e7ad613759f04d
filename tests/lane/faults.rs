//! Whatever the store does, every answer is true and what was acknowledged is stored.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tasklane::error::Error;
use tasklane::lane::LaneLimits;

use crate::memory_store::Fault;
use crate::support::{create, flip, user, world};

#[test]
fn after_a_lost_answer_the_batch_is_sent_again_and_applied_once() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        world(LaneLimits::default(), move |world| async move {
            let who = user("ann");
            let id = world.task(&who, "one").await;
            world.store.fail(&[fault, Fault::LoseRequest, Fault::Refuse]);
            let written = world.lanes.submit(&who, flip(id).into()).await.unwrap();
            assert_eq!(written.seq.get(), 2, "{fault:?}");
            assert!(world.store.tasks(who.user())[0].content.completed, "{fault:?}: flipped once");
            world.assert_readers_see_the_store(&who).await;
        });
    }
}

#[test]
fn a_lost_answer_is_unknown_if_another_process_wrote_next_and_readers_see_the_stored_state() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let id = world.task(&who, "one").await;
        world.store.fail(&[Fault::LoseAnswerThenOvertake]);
        assert!(matches!(world.lanes.submit(&who, flip(id).into()).await, Err(Error::OutcomeUnknown)));
        // The lane is not stuck: the next write meets the current state.
        assert_eq!(world.lanes.submit(&who, flip(id).into()).await.unwrap().seq.get(), 4);
        world.assert_readers_see_the_store(&who).await;
    });
}

#[test]
fn a_write_refused_by_the_fence_is_retried_on_the_newer_state() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let id = world.task(&who, "one").await;
        world.store.fail(&[Fault::Overtake, Fault::Overtake, Fault::Overtake]);
        let written = world.lanes.submit(&who, flip(id).into()).await.unwrap();
        assert_eq!(written.seq.get(), 5);
        // Three flips by the other process, then ours.
        assert!(!world.store.tasks(who.user())[0].content.completed);
        world.assert_readers_see_the_store(&who).await;
    });
}

#[test]
fn a_write_refused_by_the_fence_again_and_again_is_given_up_unapplied() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let id = world.task(&who, "one").await;
        world.store.fail(&[Fault::Overtake; 6]);
        assert!(matches!(world.lanes.submit(&who, flip(id).into()).await, Err(Error::StoreUnavailable(_))));
        assert_eq!(world.store.seq(who.user()), 7, "six writes of the other process and none of ours");
        world.lanes.submit(&who, flip(id).into()).await.unwrap();
        world.assert_readers_see_the_store(&who).await;
    });
}

#[test]
fn while_the_store_is_down_writes_fail_and_warm_reads_are_served_until_it_is_back() {
    world(LaneLimits::default(), |world| async move {
        let (who, cold) = (user("ann"), user("bob"));
        let id = world.task(&who, "one").await;
        world.store.down.store(true, Ordering::SeqCst);
        assert!(matches!(world.lanes.submit(&who, flip(id).into()).await, Err(Error::StoreUnavailable(_))));
        assert_eq!(world.lanes.snapshot(&who).await.unwrap().len(), 1);
        assert!(matches!(world.lanes.snapshot(&cold).await, Err(Error::StoreUnavailable(_))));
        world.store.down.store(false, Ordering::SeqCst);
        assert_eq!(
            world.lanes.submit(&who, flip(id).into()).await.unwrap().seq.get(),
            2,
            "the failed one was not applied"
        );
        assert!(world.lanes.snapshot(&cold).await.unwrap().is_empty());
    });
}

#[test]
fn a_rejected_batch_is_an_internal_error_and_the_lane_continues() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        world.store.fail(&[Fault::Reject]);
        assert!(matches!(world.lanes.submit(&who, create("one").into()).await, Err(Error::Internal(_))));
        world.task(&who, "two").await;
        world.assert_readers_see_the_store(&who).await;
    });
}

#[test]
fn while_a_commit_hangs_its_caller_gets_unknown_and_those_queued_behind_it_get_not_applied() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let id = world.task(&who, "one").await;
        world.store.stuck.store(true, Ordering::SeqCst);
        let flying = world.spawn(&who, flip(id));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let waiting: Vec<_> = (0..5).map(|_| world.spawn(&who, create("never"))).collect();
        assert!(matches!(flying.await.unwrap(), Err(Error::OutcomeUnknown)));
        for write in waiting {
            assert!(matches!(write.await.unwrap(), Err(Error::StoreUnavailable(_))));
        }
        world.store.stuck.store(false, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            world.store.seq(who.user()),
            2,
            "the one in flight was applied, those that were refused were not"
        );
        world.assert_readers_see_the_store(&who).await;
        assert_eq!(world.lanes.submit(&who, flip(id).into()).await.unwrap().seq.get(), 3);
    });
}

#[test]
fn a_lane_whose_actor_panicked_is_reloaded_from_the_store() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let id = world.task(&who, "one").await;
        // After the conflict the actor reloads, and the reload panics in its context.
        world.store.fail(&[Fault::Overtake]);
        world.store.panic_at_load.store(true, Ordering::SeqCst);
        assert!(matches!(world.lanes.submit(&who, flip(id).into()).await, Err(Error::OutcomeUnknown)));
        world.assert_readers_see_the_store(&who).await;
        assert_eq!(world.lanes.submit(&who, flip(id).into()).await.unwrap().seq.get(), 3);
        world.assert_readers_see_the_store(&who).await;
    });
}

#[test]
fn another_subject_with_the_same_user_id_is_refused() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        world.task(&who, "one").await;
        // One subject's derived id, as the subject of another token.
        let thief = user(&who.user().to_string());
        assert_eq!(thief.user(), who.user());
        assert!(matches!(world.lanes.snapshot(&thief).await, Err(Error::ForeignSubject)));
        assert!(matches!(world.lanes.submit(&thief, create("x").into()).await, Err(Error::ForeignSubject)));
        assert!(world.lanes.cached(&thief).is_none());
    });
}
