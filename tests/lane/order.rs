//! One total order per user, without gap or repeat, however many write.

use std::time::Duration;

use futures_util::future::join_all;
use tasklane::domain::{Command, Refusal};
use tasklane::error::Error;
use tasklane::lane::{Effect, LaneLimits};

use crate::support::{create, effect, flip, seqs, user, world};

#[test]
fn sixty_four_writers_of_one_user_number_their_writes_without_gap_or_repeat() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let writers = (0..64).map(|_| async {
            let mut written = Vec::new();
            for _ in 0..20 {
                written.push(world.lanes.submit(&who, create("one").into()).await.unwrap());
            }
            written
        });
        let written = join_all(writers).await.concat();
        assert_eq!(seqs(&written), (1..=64 * 20).collect::<Vec<_>>());
        world.assert_readers_see_the_store(&who).await;
    });
}

#[test]
fn two_thousand_users_at_once_lose_nothing() {
    world(LaneLimits::default(), |world| async move {
        let people: Vec<_> = (0..2_000).map(|n| user(&format!("user {n}"))).collect();
        let writes =
            people.iter().flat_map(|who| (0..3).map(|_| world.spawn(who, create("one")))).collect::<Vec<_>>();
        for done in join_all(writes).await {
            done.unwrap().unwrap();
        }
        for who in &people {
            assert_eq!(world.store.seq(who.user()), 3);
            world.assert_readers_see_the_store(who).await;
        }
    });
}

#[test]
fn five_changes_of_one_task_in_one_batch_all_count_and_the_last_one_stays() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let id = world.task(&who, "one").await;
        *world.store.latency.lock().unwrap() = Duration::from_millis(50);
        let before = world.store.commits.load(std::sync::atomic::Ordering::SeqCst);
        // The first is sent alone; the next five wait for it and are sent together.
        let writes: Vec<_> = (0..6).map(|_| world.spawn(&who, flip(id))).collect();
        let written: Vec<_> = join_all(writes).await.into_iter().map(|done| done.unwrap().unwrap()).collect();
        assert_eq!(seqs(&written), [2, 3, 4, 5, 6, 7]);
        assert_eq!(world.store.commits.load(std::sync::atomic::Ordering::SeqCst) - before, 2);
        let states: Vec<_> = written.iter().map(|written| state(effect(written))).collect();
        assert_eq!(states, [true, false, true, false, true, false]);
        world.assert_readers_see_the_store(&who).await;
    });
}

fn state(effect: &Effect) -> bool {
    match effect {
        Effect::Updated(Some(task)) => {
            task.json.as_ref().unwrap().windows(16).any(|part| part == b"\"completed\":true")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn readers_see_no_write_before_the_store_holds_it_and_never_wait_for_one() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let id = world.task(&who, "one").await;
        *world.store.latency.lock().unwrap() = Duration::from_secs(5);
        let write = world.spawn(&who, flip(id));
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let seen = world.lanes.cached(&who).expect("the lane is warm");
            assert_eq!(seen.seq().get(), 1);
            assert!(!seen.get(id).unwrap().task.content.completed);
        }
        write.await.unwrap().unwrap();
        assert!(world.lanes.cached(&who).unwrap().get(id).unwrap().task.content.completed);
    });
}

#[test]
fn a_refusal_that_depends_on_an_uncommitted_write_waits_for_its_outcome() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let id = world.task(&who, "one").await;
        *world.store.latency.lock().unwrap() = Duration::from_millis(50);
        let first = world.spawn(&who, flip(id));
        let delete = world.spawn(&who, Command::DeleteTask { id });
        let late = world.spawn(&who, Command::UpdateTask { id, patch: Box::default() });
        first.await.unwrap().unwrap();
        assert!(matches!(effect(&delete.await.unwrap().unwrap()), Effect::Deleted));
        match late.await.unwrap() {
            Err(Error::Refused { refusal: Refusal::NotFound, at, .. }) => assert_eq!(at.seq.get(), 3),
            other => panic!("{other:?}"),
        }
        world.assert_readers_see_the_store(&who).await;
    });
}
