//! Idempotency keys: a write sent twice happens once, whatever goes wrong in between.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use tasklane::domain::{Command, Identity};
use tasklane::error::Error;
use tasklane::lane::{IdempotencyKey, LaneLimits, Registry, Work, Write, WriteReply};

use crate::memory_store::Fault;
use crate::support::{World, create, flip, user, world};

fn keyed(key: &str, request: u8, command: Command) -> Write {
    let key = IdempotencyKey { key: key.into(), fingerprint: [request; 32], sent: 100 };
    Write { key: Some(key), ..command.into() }
}

async fn send(lanes: &Registry, who: &Identity, write: Write) -> WriteReply {
    lanes.submit(who, write).await.unwrap()
}

#[test]
fn two_hundred_duplicates_at_once_make_one_task() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        *world.store.latency.lock().unwrap() = Duration::from_millis(20);
        let writes = (0..200).map(|n| world.spawn(&who, keyed("k", 1, create(&format!("attempt {n}")))));
        let answers: Vec<_> = join_all(writes).await.into_iter().map(|done| done.unwrap().unwrap()).collect();
        assert_eq!(world.store.seq(who.user()), 1);
        assert_eq!(world.store.tasks(who.user()).len(), 1);
        assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
        assert!(
            answers
                .iter()
                .all(|answer| (answer.seq, &answer.effects) == (answers[0].seq, &answers[0].effects))
        );
    });
}

#[test]
fn a_key_is_known_after_the_lane_was_passivated() {
    world(LaneLimits { idle: Duration::from_mins(1), ..LaneLimits::default() }, |world| async move {
        let who = user("ann");
        let first = send(&world.lanes, &who, keyed("k", 1, create("one"))).await;
        tokio::time::sleep(Duration::from_mins(3)).await;
        assert!(world.lanes.cached(&who).is_none(), "it was passivated");
        let again = send(&world.lanes, &who, keyed("k", 1, create("one"))).await;
        assert_eq!(again, WriteReply { replayed: true, ..first });
    });
}

#[test]
fn another_request_under_a_used_key_is_refused() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        send(&world.lanes, &who, keyed("k", 1, create("one"))).await;
        let other = world.lanes.submit(&who, keyed("k", 2, create("two"))).await;
        assert!(matches!(other, Err(Error::KeyReused { .. })), "{other:?}");
        // Of two at the same time, the second is refused as well.
        let both =
            [world.spawn(&who, keyed("j", 1, create("a"))), world.spawn(&who, keyed("j", 2, create("b")))];
        let outcomes: Vec<_> = join_all(both).await.into_iter().map(|done| done.unwrap().is_ok()).collect();
        assert_eq!(outcomes, [true, false]);
        assert_eq!(world.store.seq(who.user()), 2);
        // Another user's equal key is another key.
        assert!(!send(&world.lanes, &user("bob"), keyed("k", 2, create("x"))).await.replayed);
    });
}

#[test]
fn a_create_that_found_its_task_keeps_its_answer_for_good() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let made = create("one");
        let Command::CreateTask(new) = &made else { unreachable!() };
        let id = new.id;
        send(&world.lanes, &who, made.clone().into()).await;
        *world.store.latency.lock().unwrap() = Duration::from_millis(20);
        let both =
            [world.spawn(&who, keyed("k", 1, made.clone())), world.spawn(&who, keyed("k", 1, made.clone()))];
        let answers: Vec<_> = join_all(both).await.into_iter().map(|done| done.unwrap().unwrap()).collect();
        assert_eq!((answers[0].replayed, answers[1].replayed), (false, true));
        assert_eq!((world.store.seq(who.user()), answers[1].seq.get()), (1, 1), "nothing was written");
        // Carried out again, it would bring the task back.
        send(&world.lanes, &who, Command::DeleteTask { id }.into()).await;
        let again = send(&world.lanes, &who, keyed("k", 1, made.clone())).await;
        assert_eq!(again, answers[1]);
        assert_eq!((world.store.seq(who.user()), world.store.tasks(who.user()).len()), (2, 0));
        world.assert_readers_see_the_store(&who).await;
    });
}

#[test]
fn a_refused_write_leaves_its_key_free() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let id = world.task(&who, "one").await;
        let delete = || keyed("k", 1, Command::DeleteTask { id });
        send(&world.lanes, &who, Command::DeleteTask { id }.into()).await;
        assert!(matches!(world.lanes.submit(&who, delete()).await, Err(Error::Refused { .. })));
        assert!(matches!(world.lanes.submit(&who, delete()).await, Err(Error::Refused { .. })));
        assert!(!send(&world.lanes, &who, keyed("k", 2, create("two"))).await.replayed);
    });
}

/// Retries after any outcome: in the end the toggle must have happened exactly once.
async fn retry(world: World, faults: &[Fault]) {
    let who = user("ann");
    let id = world.task(&who, "one").await;
    world.store.fail(faults);
    for _ in 0..10 {
        match world.lanes.submit(&who, keyed("k", 1, flip(id))).await {
            Ok(_) => break,
            Err(Error::OutcomeUnknown | Error::StoreUnavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let again = send(&world.lanes, &who, keyed("k", 1, flip(id))).await;
    assert!(again.replayed, "{faults:?}");
    world.assert_readers_see_the_store(&who).await;
}

#[test]
fn a_retry_with_its_key_never_applies_twice_whatever_the_store_did() {
    for faults in [
        &[Fault::LoseAnswer][..],
        &[Fault::LoseRequest],
        &[Fault::Refuse, Fault::Overtake],
        &[Fault::LoseAnswerThenOvertake],
        &[Fault::Overtake; 6],
    ] {
        world(LaneLimits::default(), move |world| async move {
            let who = user("ann");
            let store = world.store.clone();
            retry(world, faults).await;
            let overtaken = faults
                .iter()
                .filter(|fault| matches!(fault, Fault::Overtake | Fault::LoseAnswerThenOvertake));
            let flips = 1 + i64::try_from(overtaken.count()).unwrap();
            assert_eq!(store.seq(who.user()), 1 + flips, "{faults:?}: one write of ours");
            assert_eq!(store.tasks(who.user())[0].content.completed, flips % 2 == 1, "{faults:?}");
        });
    }
}

#[test]
fn a_key_that_another_process_used_between_look_up_and_planning_is_found() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let id = world.task(&who, "one").await;
        *world.store.latency.lock().unwrap() = Duration::from_millis(100);
        // The first write is on its way to the store; the second one's key was looked up, not found, and it
        // waits.
        let first = world.spawn(&who, flip(id));
        let second = world.spawn(&who, keyed("k", 7, flip(id)));
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.store.commit_elsewhere(who.user(), "k", [7; 32]);
        first.await.unwrap().unwrap();
        let answer = second.await.unwrap().unwrap();
        assert!(answer.replayed, "it was carried out a second time: {answer:?}");
        assert_eq!(answer.seq.get(), 2, "the other process's answer");
        assert_eq!(world.store.seq(who.user()), 3, "its write and our first one");
        world.assert_readers_see_the_store(&who).await;
    });
}

/// A write without a change moves no seq: neither the fence nor the seq of the look-up can reveal it.
#[test]
fn a_key_that_another_process_stored_without_a_change_is_found() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let made = create("one");
        let Command::CreateTask(new) = &made else { unreachable!() };
        let id = new.id;
        send(&world.lanes, &who, made.clone().into()).await;
        send(&world.lanes, &who, Command::DeleteTask { id }.into()).await;
        *world.store.latency.lock().unwrap() = Duration::from_millis(100);
        let again = world.spawn(&who, keyed("k", 7, made.clone()));
        // Its key was looked up, not found, and it is on its way to the store.
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.store.keep_elsewhere(who.user(), "k", [7; 32]);
        let answer = again.await.unwrap().unwrap();
        assert!(answer.replayed, "it was carried out a second time: {answer:?}");
        assert_eq!((world.store.seq(who.user()), world.store.tasks(who.user()).len()), (2, 0));
        world.assert_readers_see_the_store(&who).await;
    });
}

#[test]
fn erasing_a_user_forgets_the_keys_and_keeps_the_seq() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        send(&world.lanes, &who, keyed("k", 1, create("one"))).await;
        let erased = send(&world.lanes, &who, Write { work: Work::Erase, key: None, permit: None }).await;
        assert_eq!(erased.seq.get(), 2);
        let snapshot = world.lanes.snapshot(&who).await.unwrap();
        assert!(snapshot.is_empty() && snapshot.changes(erased.seq, 10, usize::MAX).is_some());
        assert!(
            snapshot.changes(tasklane::domain::Seq::new(1), 10, usize::MAX).is_none(),
            "before the horizon"
        );
        let again = send(&world.lanes, &who, keyed("k", 2, create("new"))).await;
        assert_eq!((again.replayed, again.seq.get()), (false, 3));
        world.assert_readers_see_the_store(&who).await;
    });
}

/// A commit in doubt may be stored before its lane knows.
#[test]
fn no_read_after_a_replayed_answer_is_older_than_that_answer() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let write = keyed("k", 1, create("one"));
        *world.store.latency.lock().unwrap() = Duration::from_millis(20);
        world.store.fail(&[Fault::LoseAnswer]);
        let first = world.spawn(&who, write.clone());
        tokio::time::sleep(Duration::from_millis(10)).await;
        // The commit that is under way arrives; nothing sent after it does.
        world.store.stuck.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(world.store.seq(who.user()), 1);
        let again = send(&world.lanes, &who, write).await;
        assert!(again.replayed);
        let shown = world.lanes.snapshot(&who).await.unwrap();
        assert_eq!((shown.seq(), shown.len()), (again.seq, 1));
        world.store.stuck.store(false, Ordering::SeqCst);
        assert_eq!(first.await.unwrap().unwrap(), WriteReply { replayed: false, ..again });
        assert_eq!(world.lanes.snapshot(&who).await.unwrap().len(), 1);
    });
}
