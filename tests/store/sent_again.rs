//! Batches are sent again while PostgreSQL still executes their first sending, by a client that is gone.

use std::thread;
use std::time::Duration;

use tasklane::domain::{Seq, TaskId};
use tasklane::store::postgres::PostgresStore;
use tasklane::store::{Batch, Outcome};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::fixture::{
    PostgresDatabase, User, commit, load, on_store_runtime, put, recall, record, run, task, waiter,
};

/// What the first sending does to its user's row: $1 the user, $2 the batch.
const MOVES: &str = "UPDATE users SET seq = seq + 1, last_batch = $2 WHERE id = $1";
const STAYS: &str = "UPDATE users SET last_batch = $2 WHERE id = $1";
const MAKES: &str = "INSERT INTO users (id, subject, seq, last_batch) VALUES ($1, $3, 1, $2)";

fn patient(database: &PostgresDatabase) -> PostgresStore {
    run(database.connect(|options| options.lock_timeout = Duration::from_mins(1)))
}

fn of_one_task(user: &User, expected: i64) -> Batch {
    user.batch(expected, vec![put(&task(TaskId::generate(), "one", expected + 1))])
}

/// Sends `batch` while its first sending, `statement`, is being executed, and ends that with `end` as soon as
/// another session waits for it.
fn send_beside(
    database: &PostgresDatabase,
    store: &PostgresStore,
    user: &User,
    batch: &Batch,
    (statement, end): (&'static str, &'static str),
) -> Outcome {
    let (first, watcher) = (database.client(), database.client());
    let (id, subject): ((Uuid, Uuid), _) = ((user.id.as_uuid(), batch.id), user.subject.clone());
    let first = on_store_runtime(async move {
        first.batch_execute("BEGIN").await.unwrap();
        let params: [&(dyn ToSql + Sync); 3] = [&id.0, &id.1, &subject];
        let count = if statement.contains("$3") { 3 } else { 2 };
        assert_eq!(first.execute(statement, &params[..count]).await.unwrap(), 1);
        first
    });
    let finishing = thread::spawn(move || {
        on_store_runtime(async move {
            waiter(&watcher).await;
            first.batch_execute(end).await.unwrap();
        });
    });
    let outcome = run(commit(store, batch.clone()));
    finishing.join().unwrap();
    outcome
}

#[test]
fn a_batch_sent_again_is_recognised_once_its_first_sending_commits() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = patient(&database);
    let user = User::new();
    assert_eq!(run(commit(&store, of_one_task(&user, 0))), Outcome::Committed);
    let second = of_one_task(&user, 1);
    let outcome = send_beside(&database, &store, &user, &second, (MOVES, "COMMIT"));
    assert_eq!(outcome, Outcome::Committed);
    let stored = run(load(&store, &user)).unwrap();
    assert_eq!((stored.seq, stored.tasks.len()), (Seq::new(2), 1), "it was applied twice");
}

#[test]
fn a_batch_sent_again_is_applied_if_its_first_sending_rolls_back() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = patient(&database);
    let users = [User::new(), User::new()];
    assert_eq!(run(commit(&store, of_one_task(&users[0], 0))), Outcome::Committed);
    for (user, expected, statement) in [(&users[0], 1, MOVES), (&users[1], 0, MAKES)] {
        let batch = of_one_task(user, expected);
        let outcome = send_beside(&database, &store, user, &batch, (statement, "ROLLBACK"));
        assert_eq!(outcome, Outcome::Committed);
        let stored = run(load(&store, user)).unwrap();
        assert_eq!(stored.seq, Seq::new(expected + 1));
        assert_eq!(stored.tasks.len(), usize::try_from(expected + 1).unwrap());
    }
}

#[test]
fn a_users_first_batch_sent_again_is_recognised() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = patient(&database);
    let user = User::new();
    let first = of_one_task(&user, 0);
    let outcome = send_beside(&database, &store, &user, &first, (MAKES, "COMMIT"));
    assert_eq!(outcome, Outcome::Committed);
    let stored = run(load(&store, &user)).unwrap();
    assert_eq!((stored.seq, stored.tasks.len()), (Seq::new(1), 0), "it was applied twice");
}

#[test]
fn a_batch_of_keys_alone_sent_again_is_recognised_though_the_seq_stays() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = patient(&database);
    let user = User::new();
    assert_eq!(run(commit(&store, of_one_task(&user, 0))), Outcome::Committed);
    let keys = Batch { keys: vec![record("key", 1)], ..user.batch(1, Vec::new()) };
    let outcome = send_beside(&database, &store, &user, &keys, (STAYS, "COMMIT"));
    assert_eq!(outcome, Outcome::Committed);
    // The first sending here stores no key: a stored one would come from the second.
    assert_eq!(run(recall(&store, &user, "key")).record, None, "it was applied twice");
}

#[test]
fn a_batch_of_an_earlier_epoch_sent_again_waits_for_its_first_sending_too() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = patient(&database);
    let user = User::new();
    assert_eq!(run(commit(&store, of_one_task(&user, 0))), Outcome::Committed);
    // To the store it does not matter which of the two is later.
    let second = Batch { epoch: 7, ..of_one_task(&user, 1) };
    let outcome = send_beside(&database, &store, &user, &second, (MOVES, "COMMIT"));
    assert_eq!(outcome, Outcome::Committed);
}
