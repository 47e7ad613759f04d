//! The times that an answer to a write has: in virtual time, where the store takes exactly as long as it is
//! set to.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tasklane::domain::{Command, TaskId};
use tasklane::lane::{LaneLimits, Timing};

use crate::support::{create, flip, user, world};

const STORE: Duration = Duration::from_secs(2);
/// How long after the first write the second is sent, and how long it then has to wait.
const LATER: Duration = Duration::from_millis(500);
const REST: Duration = Duration::from_millis(1500);
/// Timers have whole milliseconds, and several are involved between a write and its answer.
const GRAIN: Duration = Duration::from_millis(50);

#[track_caller]
fn is_about(time: Duration, expected: Duration) {
    assert!(time >= expected && time < expected + GRAIN, "{time:?} is not {expected:?}");
}

#[test]
fn an_answer_says_how_long_its_write_waited_and_how_long_its_commit_took() {
    world(LaneLimits::default(), |world| async move {
        let who = user("one");
        let id = world.task(&who, "one").await;
        *world.store.latency.lock().unwrap() = STORE;
        let first = {
            let (lanes, who) = (world.lanes.clone(), who.clone());
            actix_rt::spawn(async move { lanes.submit_timed(&who, flip(id).into()).await })
        };
        tokio::time::sleep(LATER).await;
        let (answer, second) = world.lanes.submit_timed(&who, create("two").into()).await;
        answer.unwrap();
        let (answer, first) = first.await.unwrap();
        answer.unwrap();
        is_about(first.queue, Duration::ZERO);
        is_about(first.commit.unwrap(), STORE);
        is_about(second.queue, REST);
        is_about(second.commit.unwrap(), STORE);
    });
}

#[test]
fn a_refused_write_has_no_commit_time_and_one_whose_store_is_down_has_that_of_the_failed_commit() {
    world(LaneLimits::default(), |world| async move {
        let who = user("one");
        world.task(&who, "one").await;
        let delete = Command::DeleteTask { id: TaskId::generate() };
        let (answer, timing) = world.lanes.submit_timed(&who, delete.into()).await;
        answer.unwrap_err();
        assert!(matches!(timing, Timing { commit: None, .. }));
        world.store.stuck.store(true, Ordering::SeqCst);
        let (answer, timing) = world.lanes.submit_timed(&who, create("two").into()).await;
        answer.unwrap_err();
        // It is still under way.
        assert_eq!(timing.commit, None);
        assert!(timing.queue >= Duration::from_secs(1), "{timing:?}");
        world.store.stuck.store(false, Ordering::SeqCst);
    });
}
