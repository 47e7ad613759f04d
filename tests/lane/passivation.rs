//! Lanes are passivated and activated again; nothing is lost.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use tasklane::config::LaneConfig;
use tasklane::domain::{Command, Description, NewTask, Operation, TaskContent, TaskId, Title};
use tasklane::lane::{LaneLimits, Write};

use crate::support::{create, user, world};

/// Keeps no lane that is not in use.
fn forgetful() -> LaneLimits {
    let config = LaneConfig { cache_max_bytes: 1, ..LaneConfig::default() };
    LaneLimits { idle: Duration::ZERO, ..LaneLimits::new(config) }
}

#[test]
fn a_cold_lane_is_read_from_the_store_once_however_many_wait_for_it() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let reads = join_all((0..500).map(|_| world.lanes.snapshot(&who))).await;
        assert!(reads.into_iter().all(|read| read.is_ok()));
        assert_eq!(world.store.loads.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn an_idle_lane_is_passivated_and_reloaded_with_everything() {
    world(LaneLimits { idle: Duration::from_mins(1), ..LaneLimits::default() }, |world| async move {
        let who = user("ann");
        world.task(&who, "one").await;
        tokio::time::sleep(Duration::from_mins(3)).await;
        assert!(world.lanes.cached(&who).is_none(), "it was passivated");
        world.assert_readers_see_the_store(&who).await;
        world.task(&who, "two").await;
        assert_eq!(world.store.seq(who.user()), 2);
    });
}

#[test]
fn passivation_under_load_loses_nothing() {
    // No room for a single lane: the sweeper evicts every lane that it may, every time.
    world(forgetful(), |world| async move {
        *world.store.latency.lock().unwrap() = Duration::from_millis(1);
        let people: Vec<_> = (0..50).map(|n| user(&format!("user {n}"))).collect();
        let writers = people.iter().enumerate().map(|(n, who)| {
            let lanes = &world.lanes;
            async move {
                for round in 0..40 {
                    lanes.submit(who, create("one").into()).await.unwrap();
                    // Out of step with each other and with the sweeper.
                    tokio::time::sleep(Duration::from_millis((n as u64 * 37 + round * 101) % 900)).await;
                }
            }
        });
        join_all(writers).await;
        for who in &people {
            assert_eq!(world.store.seq(who.user()), 40);
            world.assert_readers_see_the_store(who).await;
        }
        let loads = world.store.loads.load(Ordering::SeqCst);
        assert!(loads > 500, "lanes were passivated and loaded again all the time, not {loads} times");
    });
}

#[test]
fn a_lane_with_a_write_under_way_is_not_passivated() {
    world(forgetful(), |world| async move {
        let who = user("ann");
        world.store.stuck.store(true, Ordering::SeqCst);
        let write = world.spawn(&who, create("one"));
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(world.lanes.cached(&who).is_some());
        }
        world.store.stuck.store(false, Ordering::SeqCst);
        write.await.unwrap().unwrap();
        assert_eq!(world.store.loads.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_big_followed_user_leaves_memory_before_it_takes_the_others_part() {
    let config = LaneConfig { cache_max_bytes: 3 << 20, ..LaneConfig::default() };
    world(LaneLimits::new(config), |world| async move {
        let (ann, bob) = (user("ann"), user("bob"));
        world.task(&bob, "small").await;
        let mut followed = world.lanes.follow(&ann).await.unwrap();
        let mut followed_too = world.lanes.follow(&bob).await.unwrap();
        let fill = async |count: usize| {
            let description = Description::parse(&"x".repeat(2000)).unwrap();
            let make = |_| {
                let content = TaskContent {
                    description: Some(description.clone()),
                    ..TaskContent::titled(Title::parse("long").unwrap())
                };
                let new = NewTask { id: TaskId::generate(), content };
                Operation::from(Command::CreateTask(Box::new(new)))
            };
            let operations: Vec<_> = (0..count).map(make).collect();
            world.lanes.submit(&ann, Write::from(operations)).await.unwrap();
        };
        fill(240).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(followed.changed().await, "it fits");
        assert!(world.lanes.cached(&ann).is_some());
        for _ in 0..3 {
            fill(240).await;
        }
        // Loading somebody makes the sweeper look.
        world.lanes.snapshot(&user("cid")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let ended = async { while followed.changed().await {} };
        tokio::time::timeout(Duration::from_mins(1), ended).await.expect("its streams end");
        assert!(world.lanes.cached(&ann).is_none(), "its streams ended, and it left memory");
        assert!(followed.snapshot().is_none(), "a stream that has not noticed yet holds nothing of it");
        assert!(world.lanes.cached(&bob).is_some());
        world.assert_readers_see_the_store(&ann).await;
        world.task(&bob, "still served").await;
        assert!(followed_too.changed().await);
    });
}
