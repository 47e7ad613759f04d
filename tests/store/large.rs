//! Large batches: other users' commits do not wait for them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tasklane::domain::{Change, Seq, Task, TaskId};
use tasklane::store::copy::Transfer;
use tasklane::store::{Batch, Outcome, PoolState, Store};

use crate::fixture::{
    Database, PostgresDatabase, User, commit, delete, load, on_store_runtime, put, recall, record, run, task,
    waiter,
};

on_both_stores! {
    others_commit_while_a_large_import_is_written_and_nobody_sees_a_part_of_it
    two_large_imports_at_once_are_both_whole
    a_large_batch_changes_deletes_and_creates_and_is_recognised
    a_large_batch_that_is_not_applied_leaves_nothing_and_nothing_comes_to_light
    a_dropped_call_does_not_stop_a_large_commit
    a_large_erasure_leaves_only_what_its_own_batch_brings
}

/// A batch at `expected` with so many new tasks.
fn import(user: &User, expected: i64, tasks: i64) -> Batch {
    let made = |seq| put(&task(TaskId::generate(), "imported", expected + seq));
    user.batch(expected, (1..=tasks).map(made).collect())
}

/// Everything stored of the user, deletions and keys, too.
async fn whole(store: &dyn Transfer, user: &User) -> Option<tasklane::store::copy::WholeUser> {
    store.whole(user.id).await.unwrap()
}

async fn others_commit_while_a_large_import_is_written_and_nobody_sees_a_part_of_it(database: Database) {
    const TASKS: i64 = 60_000;
    let store = database.open().await;
    let (importing, usual) = (User::new(), User::new());
    assert_eq!(commit(&*store, import(&importing, 0, 2)).await, Outcome::Committed);
    let before = load(&*store, &importing).await;
    let batch = import(&importing, 2, TASKS);
    let mut importing_all = pin!(commit(&*store, batch.clone()));
    let mut others = 0;
    let outcome = loop {
        let one = import(&usual, others, 1);
        let other = pin!(async {
            assert_eq!(commit(&*store, one).await, Outcome::Committed);
            load(&*store, &importing).await
        });
        match select(importing_all, other).await {
            Either::Left((outcome, _)) => break outcome,
            Either::Right((seen, unfinished)) => {
                if seen != before {
                    assert_eq!(seen.unwrap().tasks.len(), 2 + usize::try_from(TASKS).unwrap());
                }
                (importing_all, others) = (unfinished, others + 1);
            }
        }
    };
    assert_eq!(outcome, Outcome::Committed);
    assert!(others >= 20, "only {others} commits of others were done meanwhile");
    let stored = load(&*store, &importing).await.unwrap();
    assert_eq!((stored.seq.get(), stored.tasks.len()), (2 + TASKS, 2 + usize::try_from(TASKS).unwrap()));
    assert_eq!(commit(&*store, batch).await, Outcome::Committed, "it is recognised");
    assert_eq!(load(&*store, &importing).await, Some(stored));
}

async fn two_large_imports_at_once_are_both_whole(database: Database) {
    let store = database.open().await;
    let users = [User::new(), User::new()];
    let [one, other] = users.each_ref().map(|user| import(user, 0, 3_000));
    let (first, second) = futures_util::join!(commit(&*store, one), commit(&*store, other));
    assert_eq!([first, second], [Outcome::Committed, Outcome::Committed]);
    // In one call, with usual ones between them.
    let group =
        [import(&users[0], 3_000, 1_500), import(&User::new(), 0, 1), import(&users[1], 3_000, 1_500)];
    let group = group.map(Arc::new);
    assert_eq!(store.commit(&group).await, vec![Outcome::Committed; 3]);
    for user in &users {
        let stored = load(&*store, user).await.unwrap();
        assert_eq!((stored.seq, stored.tasks.len()), (Seq::new(4_500), 4_500));
    }
}

async fn a_large_batch_changes_deletes_and_creates_and_is_recognised(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let old: Vec<_> = (1..=600).map(|seq| task(TaskId::generate(), "old", seq)).collect();
    assert_eq!(commit(&*store, user.batch(0, old.iter().map(put).collect())).await, Outcome::Committed);
    // One of three is changed, one deleted, one stays; and between them 2,000 are new.
    let (mut changes, mut expected, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for (index, old) in old.iter().enumerate() {
        let seq = 600 + i64::try_from(changes.len()).unwrap() + 1;
        match index % 3 {
            0 => {
                expected.push(task(old.id, "changed", seq));
                changes.extend(expected.last().map(put));
            }
            1 => {
                gone.push((Seq::new(seq), old.id));
                changes.push(delete(old.id, seq));
            }
            _ => expected.push(old.clone()),
        }
        for _ in 0..4 {
            let seq = 600 + i64::try_from(changes.len()).unwrap() + 1;
            expected.push(task(TaskId::generate(), "new", seq));
            changes.extend(expected.last().map(put));
        }
    }
    expected.sort_by_key(|task| task.id);
    let mut batch = user.batch(600, changes);
    batch.keys = vec![record("key", 7)];
    batch.email = Some(format!("{}@example.com", user.id).into());
    for _ in 0..2 {
        assert_eq!(commit(&*store, batch.clone()).await, Outcome::Committed);
        let stored = load(&*store, &user).await.unwrap();
        assert_eq!((stored.seq, stored.email.as_deref()), (batch.reached, batch.email.as_deref()));
        assert_eq!((stored.tasks, stored.tombstones), (expected.clone(), gone.clone()));
        assert_eq!(recall(&*store, &user, "key").await.record, Some(record("key", 7)));
    }
}

async fn a_large_batch_that_is_not_applied_leaves_nothing_and_nothing_comes_to_light(database: Database) {
    let store = database.open().await;
    let (user, new) = (User::new(), User::new());
    let mut first = import(&user, 0, 10);
    first.keys = vec![record("key", 1)];
    assert_eq!(commit(&*store, first).await, Outcome::Committed);
    let before = whole(&*store, &user).await;
    let spoiled = |mut batch: Batch| {
        batch.changes.push(put(&task(TaskId::generate(), "", 2)));
        batch
    };
    let key_known = Batch { keys: vec![record("key", 9)], ..import(&user, 10, 2_000) };
    for (batch, expected) in [
        (import(&user, 9, 2_000), Outcome::Conflict),
        (import(&new, 9, 2_000), Outcome::Conflict),
        (key_known, Outcome::Conflict),
        (spoiled(import(&user, 10, 2_000)), Outcome::Rejected(String::new())),
        (spoiled(import(&new, 0, 2_000)), Outcome::Rejected(String::new())),
    ] {
        match commit(&*store, batch).await {
            Outcome::Rejected(_) => assert!(matches!(expected, Outcome::Rejected(_))),
            outcome => assert_eq!(outcome, expected),
        }
        assert_eq!((whole(&*store, &user).await, whole(&*store, &new).await), (before.clone(), None));
        assert_eq!(store.seqs(&[new.id]).await.unwrap(), []);
    }
    // The seq goes past what the others would have had.
    for (user, expected) in [(&user, 10), (&new, 0)] {
        let mut batch = import(user, expected, 1);
        batch.reached = Seq::new(5_000);
        assert_eq!(commit(&*store, batch).await, Outcome::Committed);
        let count = usize::try_from(expected).unwrap() + 1;
        assert_eq!(load(&*store, user).await.unwrap().tasks.len(), count);
        assert_eq!(commit(&*store, import(user, 5_000, 2_000)).await, Outcome::Committed);
        assert_eq!(load(&*store, user).await.unwrap().tasks.len(), count + 2_000);
    }
}

async fn a_dropped_call_does_not_stop_a_large_commit(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let batches = [Arc::new(import(&user, 0, 2_000))];
    {
        let mut call = pin!(store.commit(&batches));
        let _ = call.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    }
    for _ in 0..3000 {
        if let Some(stored) = load(&*store, &user).await {
            assert_eq!(stored.tasks.len(), 2_000);
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the commit was never carried out");
}

async fn a_large_erasure_leaves_only_what_its_own_batch_brings(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let mut first = import(&user, 0, 3_000);
    first.keys = (0..1_200).map(|number| record(&format!("key {number}"), number)).collect();
    let id = |change: &Change<Arc<Task>>| match change {
        Change::Put(task) => task.id,
        Change::Delete { id, .. } => *id,
    };
    let ids: Vec<_> = first.changes.iter().map(id).collect();
    assert_eq!(commit(&*store, first).await, Outcome::Committed);
    let deletions = (3_001..).zip(&ids[..1_500]).map(|(seq, id)| delete(*id, seq)).collect();
    assert_eq!(commit(&*store, user.batch(3_000, deletions)).await, Outcome::Committed);

    // It brings back a task, a deletion and a key that were there before.
    let (again, kept) = (task(ids[2_000], "again", 4_502), record("key 7", 9));
    let mut erasure = user.batch(4_500, vec![put(&again), delete(ids[3], 4_503)]);
    (erasure.erase, erasure.reached, erasure.keys) = (true, Seq::new(4_503), vec![kept.clone()]);
    for _ in 0..2 {
        assert_eq!(commit(&*store, erasure.clone()).await, Outcome::Committed);
        let stored = whole(&*store, &user).await.unwrap();
        assert_eq!((stored.seq, stored.horizon), (Seq::new(4_503), Seq::new(4_503)));
        assert_eq!((stored.tasks, stored.keys), (vec![again.clone()], vec![kept.clone()]));
        assert_eq!(stored.tombstones.len(), 1);
        assert_eq!(recall(&*store, &user, "key 8").await.record, None);
    }
    assert_eq!(
        database.count("tasks") + database.count("tombstones") + database.count("idempotency_keys"),
        3
    );
    // The same tasks come back by an import.
    let changes = (4_504..).zip(&ids[..2_000]).map(|(seq, id)| put(&task(*id, "back", seq))).collect();
    assert_eq!(commit(&*store, user.batch(4_503, changes)).await, Outcome::Committed);
    assert_eq!(load(&*store, &user).await.unwrap().tasks.len(), 2_001);
}

/// Another session holds the user's row, and so the import, up.
#[test]
fn a_large_batch_is_committed_on_a_connection_of_its_own_on_postgres() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = run(database.connect(|options| options.lock_timeout = Duration::from_mins(1)));
    let (importing, erasing, usual) = (User::new(), User::new(), User::new());
    for user in [&importing, &erasing, &usual] {
        assert_eq!(run(commit(&store, import(user, 0, 1))), Outcome::Committed);
    }
    let client = database.client();
    on_store_runtime(async move {
        for (user, large) in [
            (&importing, import(&importing, 1, 1_001)),
            (&erasing, Batch { erase: true, ..import(&erasing, 1, 1) }),
        ] {
            let lock = format!("BEGIN; SELECT FROM users WHERE id = '{}' FOR UPDATE", user.id);
            client.batch_execute(&lock).await.unwrap();
            let seq = load(&store, &usual).await.unwrap().seq.get();
            let PoolState { size, idle, .. } = store.pool();
            let group = [large, import(&User::new(), 0, 1)].map(Arc::new);
            let others = async {
                waiter(&client).await;
                let now = store.pool();
                assert_eq!((now.size, now.idle), (size + 1, idle), "the second connection is busy");
                assert_eq!(commit(&store, import(&usual, seq, 1_000)).await, Outcome::Committed);
                client.batch_execute("COMMIT").await.unwrap();
            };
            let (outcomes, ()) = tokio::join!(store.commit(&group), others);
            assert_eq!(outcomes, [Outcome::Committed, Outcome::Committed]);
            assert_eq!(store.pool().size, size, "it is closed afterwards");
            // Sent again, it is recognised.
            assert_eq!(store.commit(&group).await, [Outcome::Committed, Outcome::Committed]);
        }
        assert_eq!(load(&store, &importing).await.unwrap().tasks.len(), 1_002);
        assert_eq!(load(&store, &erasing).await.unwrap().tasks.len(), 1);
        store.close().await;
        let late = commit(&store, import(&importing, 1_002, 2_000)).await;
        assert!(matches!(late, Outcome::Unavailable(_)), "{late:?}");
    });
}
