//! What goes to the store together: groups are bounded by what they cost, and nobody waits for a large batch.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tasklane::domain::{Change, NewTask, Seq, Task, TaskId, Timestamp, Title};
use tasklane::lane::LaneLimits;
use tasklane::store::group_commit::GroupCommitter;
use tasklane::store::{Batch, Outcome};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, oneshot};
use uuid::Uuid;

use crate::support::{World, user, world};

/// A committer, and the users whose batches were settled, in that order.
struct Committer {
    committer: GroupCommitter,
    settled: Rc<RefCell<Vec<String>>>,
}

impl Committer {
    fn start(world: &World) -> Self {
        let (committer, _) = GroupCommitter::start(world.store.clone(), &Handle::current(), 64);
        Self { committer, settled: Rc::default() }
    }

    /// Submits a user's first batch, of so many tasks.
    fn submit(&self, name: &str, tasks: i64) -> actix_rt::task::JoinHandle<()> {
        let permit = Arc::new(Mutex::new(())).try_lock_owned().unwrap();
        let (sender, outcome) = oneshot::channel();
        let notify = move |outcome, _| drop(sender.send(outcome));
        self.committer.submit(Arc::new(batch(name, tasks)), permit, notify);
        let (settled, name) = (Rc::clone(&self.settled), name.to_owned());
        actix_rt::spawn(async move {
            assert_eq!(outcome.await, Ok(Outcome::Committed));
            settled.borrow_mut().push(name);
        })
    }
}

fn batch(name: &str, tasks: i64) -> Batch {
    let who = user(name);
    let task = |version| -> Task {
        let new = NewTask::titled(TaskId::generate(), Title::parse("x").unwrap());
        new.make(Timestamp::from_micros(1), Seq::new(version))
    };
    Batch {
        id: Uuid::now_v7(),
        user: who.user(),
        subject: Arc::clone(who.subject()),
        email: None,
        epoch: 0,
        expected: Seq::ZERO,
        reached: Seq::new(tasks),
        erase: false,
        changes: (1..=tasks).map(|version| Change::Put(Arc::new(task(version)))).collect(),
        keys: Vec::new(),
    }
}

#[test]
fn a_group_takes_what_it_can_carry_and_the_next_one_begins_with_the_rest() {
    world(LaneLimits::default(), |world| async move {
        let committer = Committer::start(&world);
        *world.store.latency.lock().unwrap() = Duration::from_secs(1);
        let first = committer.submit("first", 1);
        tokio::time::sleep(Duration::from_millis(500)).await;
        // 2,000 rows are one group.
        let sizes = [900, 900, 300, 900, 900, 100, 1];
        let names: Vec<_> = (0..sizes.len()).map(|index| format!("{index}")).collect();
        let waiting: Vec<_> =
            names.iter().zip(sizes).map(|(name, tasks)| committer.submit(name, tasks)).collect();
        first.await.unwrap();
        // Now the second group is under way, and each takes a second.
        tokio::time::sleep(Duration::from_millis(500)).await;
        for last_of_group in [1, 3, 6] {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let settled = committer.settled.borrow().clone();
            assert_eq!(settled[1..], names[..=last_of_group], "in the order of arrival");
        }
        for settled in waiting {
            settled.await.unwrap();
        }
        assert_eq!(world.store.commits.load(Ordering::SeqCst), 4);
    });
}

#[test]
fn usual_batches_never_wait_for_a_large_one_and_few_large_ones_are_committed_at_once() {
    world(LaneLimits::default(), |world| async move {
        let committer = Committer::start(&world);
        let latency = |hours| *world.store.latency.lock().unwrap() = Duration::from_hours(hours);
        latency(1);
        let names = ["1", "2", "3", "4"];
        let large: Vec<_> = names.iter().map(|name| committer.submit(name, 1_001)).collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        latency(0);
        let later = committer.submit("later", 5_000);
        for round in 0..5 {
            committer.submit(&format!("usual {round}"), 1_000).await.unwrap();
        }
        let flying = names.map(|name| user(name).user());
        assert_eq!(*world.store.flying.lock().unwrap(), flying, "one waits");
        assert_eq!(committer.settled.borrow().len(), 5);
        for settled in large {
            settled.await.unwrap();
        }
        later.await.unwrap();
        assert_eq!(committer.settled.borrow().last().unwrap(), "later");
    });
}

#[test]
fn an_erasure_is_large_and_bytes_count_as_well_as_rows() {
    let text = |tasks, title: &str| {
        let mut batch = batch("ann", tasks);
        for change in &mut batch.changes {
            if let Change::Put(task) = change {
                Arc::make_mut(task).content.title = Title::from_store(title.to_owned());
            }
        }
        batch
    };
    assert!(!text(1_000, "x").is_large());
    assert!(text(1_001, "x").is_large());
    assert!(text(100, &"x".repeat(12_000)).is_large());
    // The longest texts that a task may have: so few are never looked through.
    assert!(text(64, &"x".repeat(15_000)).cost().bytes < 1 << 20);
    assert!(!text(64, &"x".repeat(15_000)).is_large());
    assert!(Batch { erase: true, ..batch("ann", 0) }.is_large());
    assert_eq!((batch("ann", 3).cost().operations, batch("ann", 0).cost().bytes), (3, 0));
}
