//! The change feed and its followers: applying the feed gives the list.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use tasklane::domain::{Command, Operation, Patch, Refusal, Seq, TaskId, Title};
use tasklane::error::Error;
use tasklane::lane::{Effect, Event, LaneLimits, Snapshot, Work, Write};

use crate::support::{create, effect, flip, user, world};

/// A client's copy of the list, updated by the feed alone.
#[derive(Default)]
struct Copy {
    seq: Seq,
    tasks: BTreeMap<TaskId, Vec<u8>>,
}

impl Copy {
    /// Catches up in steps of `limit` changes.
    fn follow(&mut self, snapshot: &Snapshot, limit: usize) {
        loop {
            let changes = snapshot.changes(self.seq, limit, usize::MAX).expect("nothing was purged");
            assert!(changes.events.len() <= limit);
            let mut last = self.seq;
            for (seq, event) in changes.events {
                assert!(seq > last, "by ascending seq");
                last = seq;
                match event {
                    Event::Changed(entry) => self.tasks.insert(entry.task.id, entry.json.to_vec()),
                    Event::Deleted(id) => self.tasks.remove(&id),
                };
            }
            self.seq = changes.seq;
            if !changes.has_more {
                assert_eq!(self.seq, snapshot.seq());
                return;
            }
        }
    }

    fn assert_is(&self, snapshot: &Snapshot) {
        let list: BTreeMap<_, _> =
            snapshot.newest_first().map(|entry| (entry.task.id, entry.json.to_vec())).collect();
        assert_eq!(self.tasks, list);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_client_that_follows_the_feed_from_any_point_has_the_list(
        steps in prop::collection::vec((0_u8..5, 0_usize..8, any::<bool>()), 1..60),
        limit in 1_usize..5,
        forget in any::<bool>(),
    ) {
        // With or without passivation in between: the feed comes from the store or from the lane.
        let idle = Duration::from_secs(if forget { 0 } else { 600 });
        world(LaneLimits { idle, ..LaneLimits::default() }, move |world| async move {
            let who = user("ann");
            let (mut copy, mut late) = (Copy::default(), Copy::default());
            let mut made: Vec<TaskId> = Vec::new();
            for (kind, which, look) in steps {
                let id = made.get(which % made.len().max(1)).copied();
                let _ = match (kind, id) {
                    (0 | 1, _) | (_, None) => {
                        made.push(world.task(&who, "one").await);
                        continue;
                    }
                    (2, Some(id)) => world.lanes.submit(&who, Command::DeleteTask { id }.into()).await,
                    (3, Some(id)) => {
                        let patch = Patch { title: Some(Title::parse("two").unwrap()), ..Patch::default() };
                        world.lanes.submit(&who, Command::UpdateTask { id, patch: Box::new(patch) }.into()).await
                    }
                    (_, Some(id)) => world.lanes.submit(&who, flip(id).into()).await,
                };
                if look {
                    copy.follow(&world.lanes.snapshot(&who).await.unwrap(), limit);
                }
                if forget {
                    tokio::time::sleep(Duration::from_secs(31)).await;
                }
            }
            let snapshot = world.lanes.snapshot(&who).await.unwrap();
            copy.follow(&snapshot, limit);
            copy.assert_is(&snapshot);
            late.follow(&snapshot, limit);
            late.assert_is(&snapshot);
            assert!(snapshot.changes(snapshot.seq().next(), limit, usize::MAX).is_none(), "a seq of the future");
        });
    }
}

#[test]
fn a_follower_is_woken_by_every_write_and_misses_none() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let mut subscription = world.lanes.follow(&who).await.unwrap();
        let mut copy = Copy::default();
        let writer = world.spawn(&who, create("one"));
        for _ in 0..50 {
            drop(world.spawn(&who, create("more")));
        }
        writer.await.unwrap().unwrap();
        while copy.tasks.len() < 51 {
            assert!(subscription.changed().await);
            copy.follow(&subscription.snapshot().unwrap(), 100);
        }
        copy.assert_is(&world.lanes.snapshot(&who).await.unwrap());
    });
}

#[test]
fn followers_are_bounded_per_user_and_in_all() {
    let limits = LaneLimits { followers: 3, followers_per_user: 2, ..LaneLimits::default() };
    world(limits, |world| async move {
        let (ann, bob) = (user("ann"), user("bob"));
        let one = world.lanes.follow(&ann).await.unwrap();
        let _two = world.lanes.follow(&ann).await.unwrap();
        assert!(matches!(world.lanes.follow(&ann).await, Err(Error::OverShare(_))));
        let _three = world.lanes.follow(&bob).await.unwrap();
        assert!(matches!(world.lanes.follow(&bob).await, Err(Error::Overloaded(_))));
        drop(one);
        world.lanes.follow(&bob).await.unwrap();
    });
}

#[test]
fn a_batch_applies_wholly_or_not_at_all() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let id = world.task(&who, "one").await;
        let batch = |last: TaskId| {
            let commands = [create("two"), flip(id), Command::DeleteTask { id }, flip(last)];
            Write {
                work: Work::Operations(commands.into_iter().map(Operation::from).collect()),
                key: None,
                permit: None,
            }
        };
        match world.lanes.submit(&who, batch(id)).await {
            Err(Error::Refused { refusal: Refusal::NotFound, operation: 3, at, .. }) => {
                assert_eq!(at.seq.get(), 1, "nothing of it was applied");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(world.store.seq(who.user()), 1);
        world.assert_readers_see_the_store(&who).await;
        let other = world.task(&who, "three").await;
        let answer = world.lanes.submit(&who, batch(other)).await.unwrap();
        assert_eq!(answer.seq.get(), 6);
        assert!(matches!(
            answer.effects[..],
            [Effect::Created(_), Effect::Updated(_), Effect::Deleted, Effect::Updated(_)]
        ));
        world.assert_readers_see_the_store(&who).await;
        assert!(matches!(
            effect(&world.lanes.submit(&who, flip(other).into()).await.unwrap()),
            Effect::Updated(_)
        ));
    });
}
