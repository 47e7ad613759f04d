//! One durable commit of 1, 32 and 512 users, on both stores. `benches/README.md` says what it guards.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tasklane::domain::{Change, NewTask, Seq, TaskId, Timestamp, Title, UserId};
use tasklane::store::postgres::{PostgresOptions, PostgresStore};
use tasklane::store::sqlite::SqliteStore;
use tasklane::store::{Batch, Outcome, Store};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// The users by index, with the seq that each has reached.
struct Users(HashMap<usize, i64>);

impl Users {
    /// A batch with one new task for each of the first `count` users.
    fn batches(&mut self, count: usize) -> Vec<Arc<Batch>> {
        (0..count)
            .map(|index| {
                let subject = format!("bench {index}");
                let seq = self.0.entry(index).or_default();
                let expected = Seq::new(*seq);
                *seq += 1;
                let new = NewTask::titled(TaskId::generate(), Title::parse("A task of a bench").unwrap());
                Arc::new(Batch {
                    id: Uuid::now_v7(),
                    user: UserId::of_subject(&subject),
                    subject: subject.into(),
                    email: None,
                    epoch: 0,
                    expected,
                    reached: expected.next(),
                    erase: false,
                    changes: vec![Change::Put(Arc::new(new.make(Timestamp::now(), expected.next())))],
                    keys: Vec::new(),
                })
            })
            .collect()
    }
}

fn measure(c: &mut Criterion, name: &str, runtime: &Runtime, store: &dyn Store) {
    let mut users = Users(HashMap::new());
    for count in [1, 32, 512] {
        c.bench_function(&format!("commit/{name}/{count}"), |b| {
            b.iter_batched(
                || users.batches(count),
                |batches| {
                    let outcomes = runtime.block_on(store.commit(&batches));
                    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Committed), "{outcomes:?}");
                },
                BatchSize::PerIteration,
            );
        });
    }
    runtime.block_on(store.close());
}

fn sqlite(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("bench.db")).unwrap();
    measure(c, "sqlite", &Runtime::new().unwrap(), &store);
}

fn postgres(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let given = std::env::var("TEST_POSTGRES_URL").ok();
    let url = given.clone().unwrap_or_else(|| scripts_postgres("start", folder.path()));
    let runtime = Runtime::new().unwrap();
    let database = format!("bench_{}", Uuid::now_v7().simple());
    let url = runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(&format!("CREATE DATABASE {database}")).await.unwrap();
        url.rsplit_once('/').map(|(server, _)| format!("{server}/{database}")).unwrap()
    });
    let options = PostgresOptions::new(url, 4);
    let store = runtime.block_on(PostgresStore::connect(options, runtime.handle().clone())).unwrap();
    measure(c, "postgres", &runtime, &store);
    if given.is_none() {
        scripts_postgres("stop", folder.path());
    }
}

fn scripts_postgres(command: &str, folder: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres");
    let output = Command::new(script).arg(command).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

criterion_group!(benches, sqlite, postgres);
criterion_main!(benches);
