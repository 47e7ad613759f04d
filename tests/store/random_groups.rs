//! Random batches on a store and on a simple model of it, which must agree after every group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use tasklane::domain::{Seq, TaskId, Timestamp};
use tasklane::store::{Batch, Outcome, Store};

use crate::fixture::{Database, User, at, delete, in_order, load, put, recall, record, run, task};
use crate::stored::Stored;

const USERS: usize = 4;
const TASKS: usize = 5;
const KEYS: [&str; 3] = ["a", "b", "c"];

/// The next action.
#[derive(Clone, Debug)]
enum Step {
    /// A group of batches, at most one for each user.
    Commit(Box<[Plan; USERS]>),
    /// A purge of the deletions and the keys older than those of these seqs.
    Purge(i64, i64),
    /// Forgets a user's deletions up to this seq.
    Forget(usize, i64),
}

/// One user's batch of a group.
#[derive(Clone, Debug)]
enum Plan {
    Nothing,
    /// Deletes or puts these tasks and stores these keys, at a seq that is off by `off`.
    Write {
        touched: BTreeMap<usize, bool>,
        keys: BTreeSet<usize>,
        email: bool,
        erase: bool,
        extra: i64,
        off: i64,
    },
    /// Sends one of the user's earlier batches again.
    Again(Index),
}

fn plan() -> impl Strategy<Value = Plan> {
    let touched = prop::collection::btree_map(0..TASKS, any::<bool>(), 1..=TASKS);
    let keys = prop::collection::btree_set(0..KEYS.len(), 0..=KEYS.len());
    let (email, erase) = (prop::bool::weighted(0.3), prop::bool::weighted(0.15));
    let off = prop_oneof![8 => Just(0_i64), 1 => Just(1), 1 => Just(-1)];
    prop_oneof![
        2 => Just(Plan::Nothing),
        6 => (touched, keys, email, erase, 0..3_i64, off).prop_map(
            |(touched, keys, email, erase, extra, off)| Plan::Write { touched, keys, email, erase, extra, off }),
        1 => any::<Index>().prop_map(Plan::Again),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => [plan(), plan(), plan(), plan()].prop_map(|plans| Step::Commit(Box::new(plans))),
        1 => (0..30_i64, 0..30_i64).prop_map(|(deletions, keys)| Step::Purge(deletions, keys)),
        1 => (0..USERS, 0..30_i64).prop_map(|(user, before)| Step::Forget(user, before)),
    ];
    prop::collection::vec(step, 1..14)
}

/// One user by the contract, and the batches sent so far.
#[derive(Default)]
struct Model {
    stored: Stored,
    sent: Vec<Arc<Batch>>,
}

impl Model {
    fn purge(&mut self, deletions: i64, keys: i64) {
        let stored = &mut self.stored;
        for (_, seq) in stored.gone.extract_if(.., |_, seq| *seq < deletions) {
            stored.horizon = stored.horizon.max(seq);
        }
        stored.keys.retain(|_, record| record.at >= at(keys));
    }

    /// The batch of a plan.
    fn batch(&self, plan: &Plan, user: &User, ids: &[TaskId]) -> Option<Arc<Batch>> {
        match plan {
            Plan::Nothing => None,
            Plan::Again(which) => (!self.sent.is_empty()).then(|| Arc::clone(which.get(&self.sent))),
            Plan::Write { touched, keys, email, erase, extra, off } => {
                let expected = (self.stored.seq + off).max(0);
                let change = |(version, (at, stays)): (i64, (&usize, &bool))| {
                    let mut task = task(ids[*at], &format!("state {version}"), version);
                    task.created_at = Timestamp::from_micros(version);
                    if *stays { put(&task) } else { delete(task.id, version) }
                };
                let mut batch =
                    user.batch(expected, (expected + 1 + extra..).zip(touched).map(change).collect());
                batch.reached = Seq::new(batch.reached.get() + extra);
                batch.erase = *erase;
                batch.email = email.then(|| format!("{}-{expected}@example.com", user.id).into());
                batch.keys = keys.iter().map(|place| record(KEYS[*place], batch.reached.get())).collect();
                Some(Arc::new(batch))
            }
        }
    }
}

async fn agree(store: &dyn Store, steps: Vec<Step>) {
    let users: [User; USERS] = std::array::from_fn(|_| User::new());
    // The same task ids for all users: one user's task must never become another's.
    let ids: [TaskId; TASKS] = std::array::from_fn(|_| TaskId::generate());
    let mut models: [Model; USERS] = std::array::from_fn(|_| Model::default());
    for step in steps {
        match step {
            Step::Commit(plans) => {
                let mut batches = Vec::new();
                let mut expected = Vec::new();
                for ((model, plan), user) in models.iter_mut().zip(&*plans).zip(&users) {
                    if let Some(batch) = model.batch(plan, user, &ids) {
                        expected.push(model.stored.commit(&batch));
                        model.sent.push(Arc::clone(&batch));
                        batches.push(batch);
                    }
                }
                assert_eq!(store.commit(&batches).await, expected);
            }
            Step::Purge(deletions, keys) => {
                // PostgreSQL reports a refused statement before it releases its rows, which a purge then
                // skips. Another commit on that connection comes after the release.
                let bystander = Arc::new(User::new().batch(0, vec![]));
                assert_eq!(store.commit(&[bystander]).await, [Outcome::Committed]);
                store.purge(at(deletions), at(keys)).await.unwrap();
                for model in &mut models {
                    model.purge(deletions, keys);
                }
            }
            Step::Forget(user, before) => {
                let forgotten = store.forget(users[user].id, Seq::new(before)).await.unwrap();
                assert_eq!(forgotten, models[user].stored.forget(Seq::new(before)));
            }
        }
        for (model, user) in models.iter().zip(&users) {
            assert_eq!(load(store, user).await, model.stored.load(&user.subject).map(in_order));
            for key in KEYS {
                assert_eq!(recall(store, user, key).await, model.stored.recall(key));
            }
        }
    }
}

fn agrees_with_the_model(database: &Database) {
    let store = run(database.open());
    proptest!(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() }, |(steps in steps())| {
        run(agree(&*store, steps));
    });
}

#[test]
fn sqlite_agrees_with_the_model_on_random_groups() {
    agrees_with_the_model(&Database::sqlite());
}

#[test]
fn postgres_agrees_with_the_model_on_random_groups() {
    needs!(Postgres);
    agrees_with_the_model(&Database::postgres());
}
