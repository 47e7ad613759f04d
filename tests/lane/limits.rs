//! Every queue has a bound, and one user's flood leaves room for others.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tasklane::config::LaneConfig;
use tasklane::domain::{Command, Identity, Operation, Refusal, Seq};
use tasklane::error::Error;
use tasklane::lane::{LaneLimits, Write};
use tasklane::store::group_commit::GroupCommitter;
use tasklane::store::{Batch, Outcome, Store};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, oneshot};
use uuid::Uuid;

use crate::support::{create, user, world};

#[test]
fn a_users_flood_is_refused_at_the_users_limit_and_others_are_served() {
    world(LaneLimits { waiting_per_user: 8, ..LaneLimits::default() }, |world| async move {
        let (flood, other) = (user("flood"), user("other"));
        *world.store.latency.lock().unwrap() = Duration::from_secs(1);
        let writes: Vec<_> = (0..20).map(|_| world.spawn(&flood, create("x"))).collect();
        tokio::task::yield_now().await;
        world.lanes.submit(&other, create("y").into()).await.unwrap();
        let (mut done, mut refused) = (0, 0);
        for write in writes {
            match write.await.unwrap() {
                Ok(_) => done += 1,
                Err(Error::OverShare(_)) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((done, refused), (8, 12));
        assert_eq!(world.store.seq(flood.user()), 8, "what was refused was not applied");
        world.lanes.submit(&flood, create("z").into()).await.unwrap();
    });
}

#[test]
fn all_users_together_are_bounded_and_recover() {
    world(LaneLimits { waiting: 10, ..LaneLimits::default() }, |world| async move {
        world.store.stuck.store(true, Ordering::SeqCst);
        let writes: Vec<_> = (0..30).map(|n| world.spawn(&user(&format!("u{n}")), create("x"))).collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.store.stuck.store(false, Ordering::SeqCst);
        let mut done = 0;
        for write in writes {
            match write.await.unwrap() {
                Ok(_) => done += 1,
                Err(error) => assert!(matches!(error, Error::Overloaded(_))),
            }
        }
        assert_eq!(done, 10);
        world.lanes.submit(&user("late"), create("x").into()).await.unwrap();
    });
}

/// The lanes never submit more batches than the committer has slots; a batch without a slot is refused at
/// once.
#[test]
fn a_full_group_committer_refuses_batches_until_a_commit_ends() {
    world(LaneLimits::default(), |world| async move {
        world.store.stuck.store(true, Ordering::SeqCst);
        let (committer, _) = GroupCommitter::start(world.store.clone(), &Handle::current(), 2);
        let submit = |name: String| {
            let flight = Arc::new(Mutex::new(())).try_lock_owned().unwrap();
            let (sender, settled) = oneshot::channel();
            let notify = move |settled, _| drop(sender.send(settled));
            committer.submit(Arc::new(empty_batch(&user(&name))), flight, notify);
            settled
        };
        let first = submit("first".into());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let queued = [submit("second".into()), submit("third".into())];
        assert!(matches!(submit("fourth".into()).await, Ok(Outcome::Unavailable(_))));
        world.store.stuck.store(false, Ordering::SeqCst);
        for settled in [first].into_iter().chain(queued) {
            assert_eq!(settled.await, Ok(Outcome::Committed));
        }
        assert_eq!(submit("fifth".into()).await, Ok(Outcome::Committed));
    });
}

fn empty_batch(who: &Identity) -> Batch {
    Batch {
        id: Uuid::now_v7(),
        user: who.user(),
        subject: Arc::clone(who.subject()),
        email: None,
        epoch: 0,
        expected: Seq::ZERO,
        reached: Seq::ZERO,
        erase: false,
        changes: Vec::new(),
        keys: Vec::new(),
    }
}

#[test]
fn a_user_with_as_many_tasks_as_allowed_gets_no_more() {
    world(
        LaneLimits::new(LaneConfig { max_tasks_per_user: 2, ..LaneConfig::default() }),
        |world| async move {
            let who = user("ann");
            world.task(&who, "one").await;
            world.task(&who, "two").await;
            match world.lanes.submit(&who, create("three").into()).await {
                Err(Error::Refused { refusal: Refusal::QuotaExceeded { limit }, .. }) => assert_eq!(limit, 2),
                other => panic!("{other:?}"),
            }
        },
    );
}

#[test]
fn draining_waits_for_the_writes_under_way_and_accepts_no_more() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        *world.store.latency.lock().unwrap() = Duration::from_secs(1);
        let write = world.spawn(&who, create("x"));
        tokio::task::yield_now().await;
        assert_eq!(world.lanes.drain(Duration::from_millis(100)).await, Err(1));
        assert_eq!(world.lanes.drain(Duration::from_secs(5)).await, Ok(()));
        write.await.unwrap().unwrap();
        assert!(matches!(world.lanes.submit(&who, create("y").into()).await, Err(Error::Overloaded(_))));
    });
}

#[test]
fn deletions_beyond_a_bound_are_forgotten_here_and_in_the_store() {
    world(LaneLimits::default(), |world| async move {
        let who = user("ann");
        let kept = world.task(&who, "kept").await;
        for _ in 0..21 {
            let made: Vec<_> = (0..490).map(|_| create("gone")).collect();
            let delete = |made: &Command| match made {
                Command::CreateTask(new) => Command::DeleteTask { id: new.id },
                other => panic!("{other:?}"),
            };
            let deleted: Vec<_> = made.iter().map(delete).collect();
            let operations: Vec<_> = made.into_iter().chain(deleted).map(Operation::from).collect();
            world.lanes.submit(&who, Write::from(operations)).await.unwrap();
        }
        let snapshot = world.lanes.snapshot(&who).await.unwrap();
        assert!(snapshot.changes(Seq::new(1), 10, usize::MAX).is_none(), "a client from then has to resync");
        let since = Seq::new(snapshot.seq().get() - 490);
        let changes = snapshot.changes(since, 1000, usize::MAX).expect("the newest deletions are known");
        assert_eq!(changes.events.len(), 490);
        assert!(snapshot.get(kept).is_some());
        let stored = world.store.load(who.user()).await.unwrap().unwrap();
        assert!((4_900..=10_000).contains(&stored.tombstones.len()), "{}", stored.tombstones.len());
        assert!(stored.horizon > Seq::new(5_000), "{}", stored.horizon);
    });
}
