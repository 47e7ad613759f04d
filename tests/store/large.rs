//! Large batches: other users' commits do not wait for them.

use std::time::Duration;

use tasklane::domain::TaskId;
use tasklane::store::{Batch, Outcome, PoolState, Store};

use crate::fixture::{PostgresDatabase, User, commit, load, on_store_runtime, put, run, task, waiter};

/// A batch at `expected` with so many new tasks.
fn import(user: &User, expected: i64, tasks: i64) -> Batch {
    let made = |seq| put(&task(TaskId::generate(), "imported", expected + seq));
    user.batch(expected, (1..=tasks).map(made).collect())
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
            let group = [large, import(&User::new(), 0, 1)].map(std::sync::Arc::new);
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
