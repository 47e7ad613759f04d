//! The paths that every request takes, without HTTP and without a store. `benches/README.md` says what each
//! bench guards.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_rt::{Arbiter, System};
use async_trait::async_trait;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tasklane::auth::{Signer, Verifier};
use tasklane::config::{AuthConfig, Secret};
use tasklane::domain::{
    Command, Filter, Identity, NewTask, Seq, Sort, SortField, Task, TaskId, Timestamp, Title, UserId,
};
use tasklane::lane::{LaneLimits, Query, Registry, Snapshot, TaskEntry};
use tasklane::store::group_commit::GroupCommitter;
use tasklane::store::{Batch, Outcome, PoolState, Recalled, Store, StoreError, StoreLife, StoredUser};
use tokio::runtime::Runtime;

/// A store that commits everything at once, and returns this many tasks for every user.
struct NullStore(usize);

#[async_trait]
impl Store for NullStore {
    async fn load(&self, _: UserId) -> Result<Option<StoredUser>, StoreError> {
        Ok(Some(stored("ann", self.0)))
    }

    async fn seqs(&self, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError> {
        let seq = stored("ann", self.0).seq;
        Ok(users.iter().map(|user| (*user, seq)).collect())
    }

    async fn commit(&self, batches: &[Arc<Batch>]) -> Vec<Outcome> {
        vec![Outcome::Committed; batches.len()]
    }

    async fn recall(&self, _: UserId, _: &str) -> Result<Recalled, StoreError> {
        Ok(Recalled { seq: Seq::ZERO, record: None })
    }

    async fn purge(&self, _: Timestamp, _: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn forget(&self, _: UserId, _: Seq) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn pool(&self) -> PoolState {
        PoolState::default()
    }

    async fn close(&self) {}
}

fn task(index: usize) -> Task {
    let title = Title::parse(&format!("Task number {index}, with a title of the usual length")).unwrap();
    let made = Timestamp::from_micros(1_770_546_600_000_000 + i64::try_from(index).unwrap());
    let seq = Seq::new(i64::try_from(index).unwrap() + 1);
    let mut new = NewTask::titled(TaskId::generate(), title);
    new.content.completed = index.is_multiple_of(3);
    new.make(made, seq)
}

fn stored(subject: &str, tasks: usize) -> StoredUser {
    StoredUser {
        subject: subject.to_owned(),
        email: None,
        seq: Seq::new(i64::try_from(tasks).unwrap()),
        horizon: Seq::ZERO,
        key_bytes: 0,
        tasks: (0..tasks).map(task).collect(),
        tombstones: Vec::new(),
    }
}

fn snapshot(tasks: usize) -> Snapshot {
    Snapshot::of_stored(Some(stored("ann", tasks)), "ann", StoreLife::default())
}

/// A registry on a store that does nothing, with its runtime and actix system.
fn lanes(tasks: usize) -> (Registry, Runtime, actix_rt::SystemRunner) {
    let system = System::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let registry = system.block_on(async {
        let store = Arc::new(NullStore(tasks));
        let (committer, _) = GroupCommitter::start(store.clone(), runtime.handle(), 1024);
        Registry::start(
            store,
            committer,
            LaneLimits::default(),
            vec![Arbiter::new().handle()],
            runtime.handle().clone(),
        )
    });
    (registry, runtime, system)
}

fn tokens(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let secret = Secret::new("a secret of thirty-two bytes, at least".into());
    let config = AuthConfig { better_auth_secret: Some(secret.clone()), ..AuthConfig::default() };
    let verifier = Verifier::start(&config, runtime.handle()).unwrap();
    let signer = Signer::new(secret, config.expected);
    let token =
        signer.issue("kXf2mPq8RtYvW3zAbC5dEfGhJ7nL9sU1", Some("ann@example.org"), Duration::from_hours(1));
    c.bench_function("token/cold", |b| {
        b.iter(|| runtime.block_on(verifier.verify(black_box(&token))).unwrap());
    });
    c.bench_function("token/cached", |b| b.iter(|| verifier.cached(black_box(token.as_bytes())).unwrap()));
}

fn reads(c: &mut Criterion) {
    let (registry, _runtime, system) = lanes(20);
    let who = Identity::new("ann", None);
    let others: Vec<_> = (0..200).map(|n| Identity::new(&format!("user {n}"), None)).collect();
    system.block_on(async {
        registry.snapshot(&who).await.unwrap();
        for other in &others {
            // The store returns the subject "ann" for every user, so only that user's lane becomes warm.
            let _ = registry.snapshot(other).await;
        }
    });
    c.bench_function("read/snapshot", |b| b.iter(|| registry.cached(black_box(&who)).unwrap().seq()));
    let stop = Arc::new(AtomicBool::new(false));
    let (busy, halt) = (registry.clone(), Arc::clone(&stop));
    let reader = std::thread::spawn(move || {
        while !halt.load(Ordering::Relaxed) {
            for other in &others {
                black_box(busy.cached(other));
            }
        }
    });
    c.bench_function("read/snapshot_contended", |b| {
        b.iter(|| registry.cached(black_box(&who)).unwrap().seq());
    });
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
}

fn lists(c: &mut Criterion) {
    let small = snapshot(20);
    small.list();
    c.bench_function("list/kept", |b| b.iter(|| black_box(&small).list()));
    let stored = stored("ann", 20);
    c.bench_function("list/fresh", |b| {
        let fresh = || Snapshot::of_stored(Some(stored.clone()), "ann", StoreLife::default());
        b.iter_batched_ref(fresh, |snapshot| snapshot.list(), BatchSize::SmallInput);
    });
    let large = snapshot(10_000);
    let filter = Filter { completed: Some(false), search: Some("number 99".into()), ..Filter::default() };
    let sort = Sort { field: SortField::Title, descending: false };
    let filtered = Query { filter, sort, limit: Some(50), after: None };
    c.bench_function("query/filtered_10000", |b| b.iter(|| large.select(black_box(&filtered)).body()));
    let page = Query { limit: Some(50), ..Query::default() };
    c.bench_function("query/page_of_10000", |b| b.iter(|| large.select(black_box(&page)).body()));
    let one = task(1);
    c.bench_function("json/task", |b| {
        b.iter_batched(|| one.clone(), |task| TaskEntry::new(task, "ann"), BatchSize::SmallInput);
    });
}

fn commands(c: &mut Criterion) {
    let (registry, _runtime, system) = lanes(20);
    let who = Identity::new("ann", None);
    let id = system.block_on(registry.snapshot(&who)).unwrap().newest_first().next().unwrap().task.id;
    c.bench_function("lane/command", |b| {
        b.iter(|| {
            let flip = Command::CompleteTask { id, completed: None };
            system.block_on(registry.submit(&who, flip.into())).unwrap()
        });
    });
}

criterion_group!(benches, tokens, reads, lists, commands);
criterion_main!(benches);
