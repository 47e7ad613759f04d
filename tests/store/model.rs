//! Random batches on a store and on a plain model of it, which must agree after every group.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use tasklane::domain::{Change, Seq, Task, TaskId, Timestamp};
use tasklane::store::{Batch, Changes, Outcome, Store};
use uuid::Uuid;

use crate::fixture::{Database, User, delete, load, put, run, task};

const USERS: usize = 4;
const TASKS: usize = 5;

/// What one user's batch of a group is to be.
#[derive(Clone, Debug)]
enum Plan {
    Nothing,
    /// Deletes or puts these tasks, at a seq that is off by so much.
    Write {
        touched: BTreeMap<usize, bool>,
        extra: i64,
        off: i64,
    },
    /// Sends one of the user's earlier batches again.
    Again(Index),
}

fn plan() -> impl Strategy<Value = Plan> {
    let touched = prop::collection::btree_map(0..TASKS, any::<bool>(), 1..=TASKS);
    let off = prop_oneof![8 => Just(0_i64), 1 => Just(1), 1 => Just(-1)];
    prop_oneof![
        2 => Just(Plan::Nothing),
        6 => (touched, 0..3_i64, off).prop_map(|(touched, extra, off)| Plan::Write { touched, extra, off }),
        1 => any::<Index>().prop_map(Plan::Again),
    ]
}

fn groups() -> impl Strategy<Value = Vec<[Plan; USERS]>> {
    prop::collection::vec([plan(), plan(), plan(), plan()], 1..12)
}

/// One user as the contract has it.
#[derive(Default)]
struct Model {
    seq: i64,
    last: Option<Uuid>,
    tasks: BTreeMap<TaskId, Task>,
    gone: BTreeMap<TaskId, Change<Task>>,
    sent: Vec<Arc<Batch>>,
}

impl Model {
    fn commit(&mut self, batch: &Batch) -> Outcome {
        if self.last == Some(batch.id) {
            return Outcome::Committed;
        }
        if self.seq != batch.expected.get() {
            return Outcome::Conflict;
        }
        self.seq = batch.reached.get();
        self.last = Some(batch.id);
        for change in &batch.changes {
            match change {
                Change::Put(task) => {
                    self.tasks.insert(task.id, Task::clone(task));
                }
                Change::Delete { id, seq, .. } => {
                    self.tasks.remove(id);
                    self.gone.insert(*id, delete(*id, seq.get()));
                }
            }
        }
        Outcome::Committed
    }

    fn changes_since(&self, since: i64, limit: usize) -> Changes {
        let mut found: BTreeMap<i64, Change<Task>> = BTreeMap::new();
        for task in self.tasks.values() {
            found.insert(task.version.get(), Change::Put(task.clone()));
        }
        for (id, change) in &self.gone {
            if let (false, Change::Delete { seq, .. }) = (self.tasks.contains_key(id), change) {
                found.insert(seq.get(), change.clone());
            }
        }
        let after = found.into_iter().filter(|(seq, _)| *seq > since).take(limit);
        Changes { changes: after.map(|(_, change)| change).collect(), seq: Seq::new(self.seq) }
    }

    /// The batch a plan comes to.
    fn batch(&self, plan: &Plan, user: &User, ids: &[TaskId]) -> Option<Arc<Batch>> {
        match plan {
            Plan::Nothing => None,
            Plan::Again(which) => (!self.sent.is_empty()).then(|| Arc::clone(which.get(&self.sent))),
            Plan::Write { touched, extra, off } => {
                let expected = (self.seq + off).max(0);
                let change = |(version, (at, stays)): (i64, (&usize, &bool))| {
                    let mut task = task(ids[*at], &format!("state {version}"), version);
                    task.created_at = Timestamp::from_micros(version);
                    if *stays { put(&task) } else { delete(task.id, version) }
                };
                let mut batch =
                    user.batch(expected, (expected + 1 + extra..).zip(touched).map(change).collect());
                batch.reached = Seq::new(batch.reached.get() + extra);
                Some(Arc::new(batch))
            }
        }
    }
}

async fn agree(store: &dyn Store, groups: Vec<[Plan; USERS]>) {
    let users: [User; USERS] = std::array::from_fn(|_| User::new());
    // The same task ids for all users: what is one user's must never be another's.
    let ids: [TaskId; TASKS] = std::array::from_fn(|_| TaskId::generate());
    let mut models: [Model; USERS] = std::array::from_fn(|_| Model::default());
    for group in groups {
        let mut batches = Vec::new();
        let mut expected = Vec::new();
        for ((model, plan), user) in models.iter_mut().zip(&group).zip(&users) {
            if let Some(batch) = model.batch(plan, user, &ids) {
                expected.push(model.commit(&batch));
                model.sent.push(Arc::clone(&batch));
                batches.push(batch);
            }
        }
        assert_eq!(store.commit(&batches).await, expected);
        for (model, user) in models.iter().zip(&users) {
            let stored = load(store, user).await;
            assert_eq!(stored.is_some(), model.last.is_some());
            let stored = stored.map(|stored| (stored.seq.get(), stored.tasks)).unwrap_or_default();
            assert_eq!(stored, (model.seq, model.tasks.values().cloned().collect()));
            for (since, limit) in [(0, 100), (model.seq / 2, 2), (model.seq, 100)] {
                let found = store.changes_since(user.id, Seq::new(since), limit).await.unwrap();
                assert_eq!(found, model.changes_since(since, limit));
            }
        }
    }
}

fn agrees_with_the_model(database: &Database) {
    let store = run(database.open());
    proptest!(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() }, |(groups in groups())| {
        run(agree(&*store, groups));
    });
}

#[test]
fn sqlite_agrees_with_the_model_on_random_groups() {
    agrees_with_the_model(&Database::sqlite());
}

#[test]
fn postgres_agrees_with_the_model_on_random_groups() {
    agrees_with_the_model(&Database::postgres());
}
