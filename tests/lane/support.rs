//! Lanes over a store in memory, in virtual time: pauses cost nothing and the order is repeatable.

use std::sync::Arc;

use actix::{Arbiter, System};
use tasklane::domain::{Command, Identity, NewTask, TaskId, Title};
use tasklane::error::Error;
use tasklane::lane::{Effect, LaneLimits, Registry, Write, WriteReply};
use tasklane::store::group_commit::GroupCommitter;

use crate::memory_store::MemoryStore;

pub struct World {
    pub store: Arc<MemoryStore>,
    pub lanes: Registry,
}

/// Runs `test` in its own world: one thread, virtual time.
pub fn world<F: Future<Output = ()> + 'static>(limits: LaneLimits, test: impl FnOnce(World) -> F + 'static) {
    let system = System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    });
    system.block_on(async move {
        test(start(&Arc::default(), limits)).await;
    });
}

/// A process on this store.
fn start(store: &Arc<MemoryStore>, limits: LaneLimits) -> World {
    let (store, runtime) = (store.clone(), tokio::runtime::Handle::current());
    let (committer, _done) = GroupCommitter::start(store.clone(), &runtime, limits.waiting);
    let lanes = Registry::start(store.clone(), committer, limits, vec![Arbiter::current()], runtime);
    World { store, lanes }
}

/// Runs `test` in its own world, in which this many processes share the store.
pub fn replicas<F: Future<Output = ()> + 'static>(
    count: usize,
    limits: LaneLimits,
    test: impl FnOnce(Arc<MemoryStore>, Vec<World>) -> F + 'static,
) {
    world(limits.clone(), move |first| async move {
        let store = first.store.clone();
        store.shared.store(true, std::sync::atomic::Ordering::SeqCst);
        let mut worlds = vec![first];
        worlds.extend(
            (1..count)
                .map(|number| start(&store, LaneLimits { jitter_seed: number as u64, ..limits.clone() })),
        );
        test(store, worlds).await;
    });
}

pub fn user(name: &str) -> Identity {
    Identity::new(name, None)
}

pub fn create(title: &str) -> Command {
    Command::CreateTask(Box::new(NewTask::titled(TaskId::generate(), Title::parse(title).unwrap())))
}

pub const fn flip(id: TaskId) -> Command {
    Command::CompleteTask { id, completed: None }
}

/// The only effect in an answer.
pub fn effect(answer: &WriteReply) -> &Effect {
    match &answer.effects[..] {
        [effect] => effect,
        other => panic!("{other:?}"),
    }
}

impl World {
    /// Sends a write in its own task, so that many can be under way.
    pub fn spawn(
        &self,
        who: &Identity,
        write: impl Into<Write>,
    ) -> actix_rt::task::JoinHandle<Result<WriteReply, Error>> {
        let (lanes, who, write) = (self.lanes.clone(), who.clone(), write.into());
        actix_rt::spawn(async move { lanes.submit(&who, write).await })
    }

    /// Creates a task and returns its id.
    pub async fn task(&self, who: &Identity, title: &str) -> TaskId {
        match effect(&self.lanes.submit(who, create(title).into()).await.unwrap()) {
            Effect::Created(Some(task)) => task.id,
            other => panic!("{other:?}"),
        }
    }

    /// Asserts that what readers see is what the store holds.
    pub async fn assert_readers_see_the_store(&self, who: &Identity) {
        let snapshot = self.lanes.snapshot(who).await.unwrap();
        assert_eq!(snapshot.seq().get(), self.store.seq(who.user()));
        let mut seen: Vec<_> = snapshot.newest_first().map(|entry| (*entry.task).clone()).collect();
        seen.sort_by_key(|task| task.id);
        assert_eq!(seen, self.store.tasks(who.user()));
    }
}

/// The seqs of accepted writes, in order.
pub fn seqs(written: &[WriteReply]) -> Vec<i64> {
    let mut seqs: Vec<_> = written.iter().map(|written| written.seq.get()).collect();
    seqs.sort_unstable();
    seqs
}
