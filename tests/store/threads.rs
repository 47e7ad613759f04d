//! Threads' own connections to PostgreSQL.

use std::ops::RangeInclusive;
use std::time::Duration;

use tasklane::domain::{Seq, TaskId};
use tasklane::store::postgres::PostgresStore;
use tasklane::store::{Outcome, PoolState, Store};
use tokio::runtime::Builder;

use crate::fixture::{PostgresDatabase, User, commit, load, on_store_runtime, put, task};

/// Runs a test as an HTTP worker runs: one thread, with timers and I/O.
fn as_a_worker<T>(test: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// Whether the number of open connections is in this range, and all of them are idle.
fn is_settled(store: &PostgresStore, sizes: &RangeInclusive<usize>) -> bool {
    let PoolState { size, idle, waiting } = store.pool();
    sizes.contains(&size) && (idle, waiting) == (size, 0)
}

/// Waits until [`is_settled`].
async fn settled(store: &PostgresStore, sizes: RangeInclusive<usize>) {
    for _ in 0..3000 {
        if is_settled(store, &sizes) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}, and not {sizes:?} idle connections", store.pool());
}

/// The store's connections: the process id of each at the server, and when its last query began. Ordered by
/// id.
fn backends_asked(database: &PostgresDatabase) -> Vec<(i32, String)> {
    let (client, name) = (database.client(), database.name().to_owned());
    on_store_runtime(async move {
        let sql = "SELECT pid, coalesce(query_start::text, '') FROM pg_stat_activity
            WHERE datname = $1 AND application_name = 'tasklane' ORDER BY pid";
        client.query(sql, &[&name]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
    })
}

/// The process ids alone.
fn backends(database: &PostgresDatabase) -> Vec<i32> {
    backends_asked(database).into_iter().map(|(pid, _)| pid).collect()
}

/// The only connection, once the one that migrated the tables has ended.
async fn one_backend(database: &PostgresDatabase) -> i32 {
    for _ in 0..3000 {
        if let [one] = backends(database)[..] {
            return one;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} connections", backends(database).len());
}

/// Waits until there has been no connection for a while.
async fn nothing_left(database: &PostgresDatabase) {
    let mut in_a_row = 0;
    for _ in 0..3000 {
        in_a_row = if backends(database).is_empty() { in_a_row + 1 } else { 0 };
        if in_a_row == 30 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("connections are left");
}

/// A user with one task, written by a store that is closed by now.
fn stored_user(database: &PostgresDatabase) -> User {
    let user = User::new();
    as_a_worker(async {
        let store = database.connect(|_| ()).await;
        let first = user.batch(0, vec![put(&task(TaskId::generate(), "first", 1))]);
        assert_eq!(commit(&store, first).await, Outcome::Committed);
        store.close().await;
    });
    user
}

/// Runs a test on a thread that is attached to a store with this pool size and has its first connection.
fn attached(pool_size: usize, test: impl AsyncFnOnce(&PostgresDatabase, &PostgresStore, &User)) {
    let database = PostgresDatabase::create();
    let user = stored_user(&database);
    as_a_worker(async {
        let store = database.connect(|options| options.pool_size = pool_size).await;
        store.attach_thread();
        settled(&store, 1..=1).await;
        test(&database, &store, &user).await;
        store.close().await;
    });
}

#[test]
fn an_attached_thread_reads_on_its_own_connection_and_another_thread_through_the_pool() {
    needs!(Postgres);
    attached(9, async |database, store, user| {
        let own = one_backend(database).await;
        for _ in 0..20 {
            assert_eq!(load(store, user).await.unwrap().seq, Seq::new(1));
            assert_eq!(store.recall(user.id, "key").await.unwrap().seq, Seq::new(1));
        }
        assert_eq!(backends(database), [own], "one connection did it all");
        std::thread::scope(|scope| {
            scope.spawn(|| as_a_worker(async { assert!(load(store, user).await.is_some()) }));
        });
        settled(store, 2..=2).await;
    });
}

#[test]
fn reads_beyond_a_threads_own_connections_use_the_pool_and_its_own_are_limited() {
    needs!(Postgres);
    // One is the committer's; of the other four, threads may have two.
    attached(5, async |database, store, user| {
        for _ in 0..5 {
            let loads = (0..40).map(|_| load(store, user));
            for stored in futures_util::future::join_all(loads).await {
                assert_eq!(stored.unwrap().tasks.len(), 1);
            }
        }
        // The thread's second one may still be opening.
        settled(store, 3..=4).await;
        let all = backends(database).len();
        assert!((3..=4).contains(&all), "{all} connections");
    });
}

#[test]
fn connections_ended_by_the_server_fail_no_read_and_are_replaced() {
    needs!(Postgres);
    attached(9, async |database, store, user| {
        for _ in 0..2 {
            let (client, before) = (database.client(), backends(database));
            let ended = before.clone();
            on_store_runtime(async move {
                let sql = "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid";
                client.query(sql, &[&ended]).await.unwrap();
            });

            // The pool serves reads until the thread has a connection again, which it tries after a second.
            // It may then have two, if the second was opened while the first was on its way; one of them
            // serves all reads.
            for round in 0.. {
                let asked_before = backends_asked(database);
                for _ in 0..6 {
                    assert_eq!(load(store, user).await.unwrap().seq, Seq::new(1));
                }
                let now = backends_asked(database);
                let asked = now.iter().filter(|backend| !asked_before.contains(backend)).count();
                let replaced = now.iter().all(|(backend, _)| !before.contains(backend));
                if asked == 1 && replaced && is_settled(store, &(2..=9)) {
                    break;
                }
                assert!(round < 1000, "{:?}: of {before:?}, {asked_before:?} became {now:?}", store.pool());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
}

#[test]
fn a_cancelled_read_leaves_its_connection_to_the_next_one() {
    needs!(Postgres);
    attached(4, async |database, store, user| {
        let own = one_backend(database).await;
        for _ in 0..50 {
            let mut call = Box::pin(load(store, user));
            assert!(futures_util::poll!(call.as_mut()).is_pending());
            drop(call);
            settled(store, 1..=1).await;
        }
        assert!(load(store, user).await.is_some());
        assert_eq!(backends(database), [own]);
    });
}

#[test]
fn threads_that_attach_twice_or_end_take_no_connection_from_others() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let user = stored_user(&database);
    as_a_worker(async {
        // One connection for all threads.
        let store = database.connect(|options| options.pool_size = 4).await;
        for _ in 0..3 {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    as_a_worker(async {
                        for _ in 0..2 {
                            store.attach_thread();
                            settled(&store, 1..=1).await;
                        }
                        assert!(load(&store, &user).await.is_some());
                        settled(&store, 1..=1).await;
                    });
                });
            });
        }
        store.close().await;
    });
}

#[test]
fn a_closed_store_leaves_no_connection_open() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    as_a_worker(async {
        for opened in [true, false] {
            let store = database.connect(|options| options.pool_size = 9).await;
            store.attach_thread();
            if opened {
                settled(&store, 1..=1).await;
            } else {
                // It is being opened, and this continues.
                tokio::task::yield_now().await;
            }
            store.close().await;
            nothing_left(&database).await;
        }
    });
}
