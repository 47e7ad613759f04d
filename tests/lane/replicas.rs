//! Several processes on one store: each brings its memory up to date, and never goes back by itself.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;
use tasklane::config::{LaneConfig, Mode};
use tasklane::domain::{Command, Operation, Patch, Refusal, Seq, TaskId, Title};
use tasklane::error::Error;
use tasklane::lane::{Effect, Event, IdempotencyKey, LaneLimits, Snapshot, Work, Write};
use tasklane::store::{Store, StoreLife};

use crate::support::{create, effect, flip, replicas, user, world};

fn strict() -> LaneLimits {
    LaneLimits::new(LaneConfig { mode: Mode::Cluster, ..LaneConfig::default() })
}

#[test]
fn waiting_reads_share_one_query_and_none_joins_a_query_sent_before_it() {
    replicas(2, strict(), |store, worlds| async move {
        let who = user("ann");
        worlds[0].task(&who, "one").await;
        worlds[1].lanes.snapshot(&who).await.unwrap();
        *store.distance.lock().unwrap() = Duration::from_millis(50);
        let before = store.validations.load(Ordering::SeqCst);
        let lanes = &worlds[1].lanes;
        let first = lanes.snapshot(&who);
        let late = async {
            // The first query has read the store; its answer is on its way.
            tokio::time::sleep(Duration::from_millis(75)).await;
            assert_eq!(worlds[0].lanes.submit(&who, create("two").into()).await.unwrap().seq.get(), 2);
            join_all((0..500).map(|_| lanes.snapshot(&who))).await
        };
        let (first, late) = tokio::join!(first, late);
        assert_eq!(first.unwrap().seq().get(), 1);
        assert!(
            late.into_iter().all(|read| read.unwrap().seq().get() == 2),
            "an acknowledged write was not seen"
        );
        assert_eq!(store.validations.load(Ordering::SeqCst) - before, 2);
    });
}

#[test]
fn many_readers_of_an_outdated_lane_fetch_its_changes_once() {
    replicas(2, strict(), |store, worlds| async move {
        let who = user("ann");
        worlds[0].task(&who, "one").await;
        worlds[1].lanes.snapshot(&who).await.unwrap();
        worlds[0].task(&who, "two").await;
        let before = store.loads.load(Ordering::SeqCst);
        let reads = join_all((0..500).map(|_| worlds[1].lanes.snapshot(&who))).await;
        assert!(reads.into_iter().all(|read| read.unwrap().seq().get() == 2));
        assert_eq!(store.loads.load(Ordering::SeqCst) - before, 1);
    });
}

#[test]
fn a_store_that_does_not_answer_fails_reads_and_they_recover() {
    replicas(1, strict(), |store, worlds| async move {
        let who = user("ann");
        worlds[0].task(&who, "one").await;
        let lanes = &worlds[0].lanes;
        store.down.store(true, Ordering::SeqCst);
        assert!(matches!(lanes.snapshot(&who).await, Err(Error::StoreUnavailable(_))));
        store.down.store(false, Ordering::SeqCst);
        *store.distance.lock().unwrap() = Duration::from_hours(1);
        let reads = join_all((0..100).map(|_| lanes.snapshot(&who))).await;
        assert!(reads.iter().all(|read| matches!(read, Err(Error::StoreUnavailable(_)))), "{reads:?}");
        *store.distance.lock().unwrap() = Duration::ZERO;
        assert_eq!(lanes.snapshot(&who).await.unwrap().seq().get(), 1);
    });
}

#[test]
fn a_bounded_read_asks_only_when_the_last_answer_is_too_old() {
    let limits = LaneLimits::new(LaneConfig {
        mode: Mode::Cluster,
        read_max_staleness: Some(Duration::from_secs(5)),
        ..LaneConfig::default()
    });
    replicas(2, limits, |store, worlds| async move {
        let who = user("ann");
        worlds[0].task(&who, "one").await;
        let seen = async || worlds[1].lanes.snapshot(&who).await.unwrap().seq().get();
        assert_eq!(seen().await, 1);
        worlds[0].task(&who, "two").await;
        let before = store.validations.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!((seen().await, store.validations.load(Ordering::SeqCst)), (1, before));
        // A reader that knows of a newer write asks for it.
        let newest = worlds[1].lanes.snapshot_from(&who, Seq::new(2)).await.unwrap();
        assert_eq!(newest.seq().get(), 2);
        worlds[0].task(&who, "three").await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(seen().await, 3);
        // A refusal is still exact.
        let id = worlds[0].task(&who, "four").await;
        worlds[1].lanes.submit(&who, Command::DeleteTask { id }.into()).await.unwrap();
    });
}

#[test]
fn a_seq_beyond_the_stored_one_is_refused() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        world.task(&who, "one").await;
        assert_eq!(world.lanes.snapshot_from(&who, Seq::new(1)).await.unwrap().seq().get(), 1);
        assert_eq!(world.store.validations.load(Ordering::SeqCst), 0, "a sole process asks nobody");
        let ahead = world.lanes.snapshot_from(&who, Seq::new(2)).await;
        assert!(matches!(ahead, Err(Error::SeqAhead { at }) if at.seq.get() == 1), "{ahead:?}");
        // Even where only a restart or another process could explain the seq.
        world.store.overtake(who.user(), who.subject());
        assert_eq!(world.lanes.snapshot_from(&who, Seq::new(2)).await.unwrap().seq().get(), 2);
    });
}

#[test]
fn a_key_used_elsewhere_is_found_after_the_lane_has_caught_up() {
    replicas(1, strict(), |store, worlds| async move {
        let who = user("ann");
        let id = worlds[0].task(&who, "one").await;
        *store.latency.lock().unwrap() = Duration::from_millis(100);
        let key = IdempotencyKey { key: "k".into(), fingerprint: [7; 32], sent: 100 };
        let first = worlds[0].spawn(&who, flip(id));
        // Its key was looked up and not found; it waits behind the first one.
        let second = worlds[0].spawn(&who, Write { key: Some(key), ..flip(id).into() });
        tokio::time::sleep(Duration::from_millis(50)).await;
        store.commit_elsewhere(who.user(), "k", [7; 32]);
        assert_eq!(worlds[0].lanes.snapshot(&who).await.unwrap().seq().get(), 2, "a read has caught up");
        first.await.unwrap().unwrap();
        let answer = second.await.unwrap().unwrap();
        assert!(answer.replayed, "it was carried out a second time: {answer:?}");
        assert_eq!(store.seq(who.user()), 3, "the other process's write and our first one");
    });
}

#[test]
fn a_refusal_is_based_on_the_newest_state_of_any_process() {
    replicas(2, strict(), |_, worlds| async move {
        let who = user("ann");
        worlds[1].lanes.snapshot(&who).await.unwrap();
        let id = worlds[0].task(&who, "one").await;
        // The second process has not seen the task.
        worlds[1].lanes.submit(&who, Command::DeleteTask { id }.into()).await.unwrap();
        let gone = worlds[0].lanes.submit(&who, flip(id).into()).await;
        assert!(matches!(gone, Err(Error::Refused { refusal: Refusal::NotFound, .. })), "{gone:?}");
        // The same create, sent to the other process after the task has changed.
        let made = create("two");
        let Command::CreateTask(new) = &made else { unreachable!() };
        worlds[0].lanes.submit(&who, made.clone().into()).await.unwrap();
        worlds[1].lanes.snapshot(&who).await.unwrap();
        let title = Patch { title: Some(Title::parse("new").unwrap()), ..Patch::default() };
        let patch = Command::UpdateTask { id: new.id, patch: Box::new(title) };
        worlds[0].lanes.submit(&who, patch.into()).await.unwrap();
        worlds[0].lanes.submit(&who, Command::DeleteTask { id: new.id }.into()).await.unwrap();
        let again = worlds[1].lanes.submit(&who, made.clone().into()).await.unwrap();
        assert!(matches!(effect(&again), Effect::Created(_)), "{again:?}");
    });
}

#[test]
fn after_a_restore_the_lane_goes_back_and_followers_are_notified() {
    replicas(2, strict(), |store, worlds| async move {
        let who = user("ann");
        worlds[0].task(&who, "one").await;
        let past = store.remember();
        let id = worlds[0].task(&who, "two").await;
        let key = IdempotencyKey { key: "k".into(), fingerprint: [7; 32], sent: 100 };
        let keyed = || Write { key: Some(key.clone()), ..flip(id).into() };
        worlds[0].lanes.submit(&who, keyed()).await.unwrap();
        let mut follower = worlds[1].lanes.follow(&who).await.unwrap();
        let shown = follower.snapshot().unwrap();
        assert_eq!((shown.seq().get(), shown.timeline()), (3, 0));
        store.go_back(&past);
        for world in &worlds {
            let snapshot = world.lanes.snapshot(&who).await.unwrap();
            assert_eq!((snapshot.seq().get(), snapshot.timeline()), (1, 1));
            world.assert_readers_see_the_store(&who).await;
        }
        assert!(follower.changed().await);
        assert_eq!(follower.snapshot().unwrap().timeline(), 1);
        // The answer of a lost write is not replayed any more.
        let lost = worlds[0].lanes.submit(&who, keyed()).await;
        assert!(matches!(lost, Err(Error::Refused { .. })), "{lost:?}");
        // Both continue from the store's current state.
        worlds[1].task(&who, "three").await;
        worlds[0].task(&who, "four").await;
        assert_eq!(store.seq(who.user()), 3);
        worlds[1].assert_readers_see_the_store(&who).await;
    });
}

#[test]
fn after_a_promotion_the_lane_is_reloaded_even_if_its_seq_is_the_same() {
    world(LaneLimits::default(), |world| async move {
        let (who, writer) = (user("ann"), user("bob"));
        for who in [&who, &writer] {
            world.task(who, "one").await;
        }
        let past = world.store.remember();
        for who in [&who, &writer] {
            world.task(who, "lost").await;
        }
        // As many changes as were lost, by another process that met the new server first.
        world.store.go_back(&past);
        for who in [&who, &writer] {
            world.store.overtake(who.user(), who.subject());
        }
        world.store.epoch.fetch_add(1, Ordering::SeqCst);
        world.assert_readers_see_the_store(&who).await;
        // Nor is a write planned on what was lost.
        let task = world.store.tasks(writer.user())[0].clone();
        assert!(task.content.completed);
        world.lanes.submit(&writer, flip(task.id).into()).await.unwrap();
        assert!(
            !world.store.tasks(writer.user())[0].content.completed,
            "the flip was planned on the lost state"
        );
        world.assert_readers_see_the_store(&writer).await;
        // Now it is up to date: nothing is loaded again.
        let loads = world.store.loads.load(Ordering::SeqCst);
        world.lanes.snapshot(&who).await.unwrap();
        assert_eq!(world.store.loads.load(Ordering::SeqCst), loads);
    });
}

/// What readers can see of a state; of each task's deletions the last one, as a store returns them.
fn visible(snapshot: &Snapshot, from: Seq) -> impl PartialEq + std::fmt::Debug + use<> {
    let mut feed = BTreeMap::new();
    let changes = snapshot.changes(from, usize::MAX, usize::MAX).unwrap();
    for (seq, event) in changes.events {
        match event {
            Event::Changed(entry) => feed.insert((entry.task.id, false), (seq, entry.json.to_vec())),
            Event::Deleted(id) => feed.insert((id, true), (seq, Vec::new())),
        };
    }
    let list = snapshot.list();
    (snapshot.seq(), snapshot.len(), list, feed, changes.seq)
}

/// What another process does, or what happens to the store, between two reads of this process.
#[derive(Clone, Debug)]
enum Step {
    Create,
    Flip(usize),
    Delete(usize),
    Erase,
    /// Another server takes over, with all data of the first one.
    TakeOver,
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Create),
        4 => (0..8_usize).prop_map(Step::Flip),
        2 => (0..8_usize).prop_map(Step::Delete),
        1 => Just(Step::Erase),
        1 => Just(Step::TakeOver),
        4 => Just(Step::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_lane_that_caught_up_equals_one_loaded_from_the_store(steps in prop::collection::vec(step(), 1..60)) {
        replicas(2, strict(), |store, worlds| async move {
            let who = user("ann");
            let ids: Vec<_> = (0..8).map(|_| TaskId::generate()).collect();
            let mut next = 0;
            for step in steps.into_iter().chain([Step::Read]) {
                let work = match step {
                    Step::Create => {
                        next = (next + 1) % ids.len();
                        let Command::CreateTask(mut new) = create("a task") else { unreachable!() };
                        new.id = ids[next];
                        Command::CreateTask(new)
                    }
                    Step::Flip(place) => flip(ids[place]),
                    Step::Delete(place) => Command::DeleteTask { id: ids[place] },
                    Step::Erase => {
                        worlds[0].lanes.submit(&who, Write { work: Work::Erase, key: None, permit: None }).await.unwrap();
                        continue;
                    }
                    Step::TakeOver => {
                        store.epoch.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    Step::Read => {
                        let shown = worlds[1].lanes.snapshot(&who).await.unwrap();
                        let stored = store.load(who.user()).await.unwrap();
                        let horizon = stored.as_ref().map_or(Seq::ZERO, |stored| stored.horizon);
                        let whole = Snapshot::of_stored(stored, who.subject(), StoreLife::default());
                        assert_eq!(visible(&shown, horizon), visible(&whole, horizon));
                        assert!(horizon == Seq::ZERO || shown.changes(Seq::ZERO, 1, usize::MAX).is_none());
                        continue;
                    }
                };
                let operation = Operation::from(work);
                let _ = worlds[0].lanes.submit(&who, operation.into()).await;
            }
        });
    }
}
