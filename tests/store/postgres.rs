//! What the PostgreSQL store promises beyond the common contract.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use tasklane::domain::{Seq, TaskId};
use tasklane::store::postgres::{PostgresOptions, PostgresStore};
use tasklane::store::{Batch, Outcome, Store};

use crate::fixture::{
    PostgresDatabase, STORE_RUNTIME, User, at, commit, delete, load, on_store_runtime, put, recall, record,
    run, task, waiter,
};
use crate::proxy::Proxy;

fn first_batch(user: &User) -> Batch {
    user.batch(0, vec![put(&task(TaskId::generate(), "first", 1))])
}

/// A listener that answers nothing yet.
fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn stores_that_start_at_once_migrate_once() {
    needs!(Postgres);
    let database = Arc::new(PostgresDatabase::create());
    let starting: Vec<_> = (0..6)
        .map(|_| {
            let database = Arc::clone(&database);
            thread::spawn(move || run(async { database.connect(|_| ()).await.ping().await }))
        })
        .collect();
    for started in starting {
        started.join().unwrap().unwrap();
    }
    let client = database.client();
    let rows = on_store_runtime(async move {
        client.query("SELECT version FROM refinery_schema_history", &[]).await.unwrap()
    });
    let migrations = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres")).unwrap();
    assert_eq!(rows.len(), migrations.count(), "each migration ran once");
}

#[test]
fn killed_connections_leave_outcomes_unknown_and_sending_again_settles_each_batch_once() {
    const BATCHES: i64 = 150;
    const USERS: usize = 4;

    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = run(database.connect(|_| ()));
    let client = database.client();
    let stop = Arc::new(AtomicBool::new(false));
    let killer = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            on_store_runtime(async move {
                // Kills a connection at a different moment each time.
                let mut pause = 0;
                while !stop.load(Ordering::SeqCst) {
                    pause = (pause + 7) % 23;
                    tokio::time::sleep(Duration::from_millis(1 + pause)).await;
                    client
                        .execute(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                             WHERE datname = current_database() AND pid <> pg_backend_pid()",
                            &[],
                        )
                        .await
                        .unwrap();
                }
            });
        })
    };
    let users: [User; USERS] = std::array::from_fn(|_| User::new());
    let mut unsettled = 0;
    for seq in 0..BATCHES {
        let mut batches: Vec<_> = users
            .iter()
            .map(|user| {
                let mut batch = user.batch(seq, vec![put(&task(TaskId::generate(), "once", seq + 1))]);
                batch.keys = vec![record(&seq.to_string(), seq)];
                Arc::new(batch)
            })
            .collect();
        for round in 0.. {
            assert!(round < 1000, "the batches never settled");
            let outcomes = run(store.commit(&batches));
            let mut left = Vec::new();
            for (batch, outcome) in batches.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Committed => {}
                    Outcome::Unknown(_) | Outcome::Unavailable(_) => left.push(batch),
                    other => panic!("{other:?}"),
                }
            }
            batches = left;
            if batches.is_empty() {
                break;
            }
            unsettled += 1;
        }
    }
    stop.store(true, Ordering::SeqCst);
    killer.join().unwrap();
    assert!(unsettled > 0, "no kill hit a commit: the test proves nothing");
    for user in &users {
        // A read may meet the pool's last killed connections.
        let stored = (0..10).find_map(|_| run(store.load(user.id)).ok()).unwrap().unwrap();
        let mut versions: Vec<_> = stored.tasks.iter().map(|task| task.version.get()).collect();
        versions.sort_unstable();
        assert_eq!(stored.seq, Seq::new(BATCHES));
        assert_eq!(versions, (1..=BATCHES).collect::<Vec<_>>());
        for seq in 0..BATCHES {
            let key = seq.to_string();
            assert_eq!(run(recall(&store, user, &key)).record, Some(record(&key, seq)));
        }
    }
}

#[test]
fn an_answer_that_never_comes_is_unknown_and_the_batch_was_applied_once() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let proxy = Proxy::start(loopback(), database.host_and_port());
    let store = run(database.connect(|options| {
        options.url = database.url_via(proxy.port);
        // Long enough for the answers that do come, even on a busy machine.
        options.answer_timeout = Duration::from_secs(2);
    }));
    let user = User::new();
    assert_eq!(run(commit(&store, first_batch(&user))), Outcome::Committed);
    let second = user.batch(1, vec![put(&task(TaskId::generate(), "second", 2))]);
    proxy.deafen(true);
    let outcome = run(commit(&store, second.clone()));
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    proxy.deafen(false);
    assert_eq!(run(commit(&store, second)), Outcome::Committed);
    let stored = run(load(&store, &user)).unwrap();
    assert_eq!((stored.seq, stored.tasks.len()), (Seq::new(2), 2));
}

#[test]
fn a_batch_of_another_epoch_is_not_applied_and_one_applied_before_is_recognised() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = run(database.connect(|_| ()));
    let user = User::new();
    let first = first_batch(&user);
    assert_eq!(run(commit(&store, first.clone())), Outcome::Committed);
    let of_another = |batch: Batch| Batch { epoch: store.life().epoch + 1, ..batch };
    assert_eq!(run(commit(&store, of_another(first))), Outcome::Committed);
    let second = user.batch(1, vec![put(&task(TaskId::generate(), "second", 2))]);
    let newcomer = User::new();
    for batch in [second, first_batch(&newcomer)] {
        assert_eq!(run(commit(&store, of_another(batch))), Outcome::Conflict);
    }
    assert_eq!(run(load(&store, &user)).unwrap().seq, Seq::new(1));
    assert!(run(load(&store, &newcomer)).is_none());
}

#[test]
fn a_connection_cut_while_idle_fails_no_read_and_is_replaced() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let proxy = Proxy::start(loopback(), database.host_and_port());
    let store = run(database.connect(|options| options.url = database.url_via(proxy.port)));
    let user = User::new();
    assert_eq!(run(commit(&store, first_batch(&user))), Outcome::Committed);
    for _ in 0..5 {
        run(store.ping()).unwrap();
        proxy.cut();
        assert!(run(load(&store, &user)).is_some());
    }
    // The cut may be noticed before or after the statement is sent.
    let second = user.batch(1, vec![put(&task(TaskId::generate(), "second", 2))]);
    let settled = (0..3).any(|_| run(commit(&store, second.clone())) == Outcome::Committed);
    assert!(settled);
    assert_eq!(run(load(&store, &user)).unwrap().seq, Seq::new(2));
}

#[test]
fn a_connection_killed_during_a_commit_leaves_the_outcome_unknown() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = run(database.connect(|options| options.lock_timeout = Duration::from_mins(1)));
    let user = User::new();
    assert_eq!(run(commit(&store, first_batch(&user))), Outcome::Committed);
    let (holder, held) = (database.client(), user.id.as_uuid());
    let holder = on_store_runtime(async move {
        holder.batch_execute("BEGIN").await.unwrap();
        holder.query("SELECT FROM users WHERE id = $1 FOR UPDATE", &[&held]).await.unwrap();
        holder
    });
    let killing = thread::spawn(move || {
        on_store_runtime(async move {
            let pid = waiter(&holder).await;
            holder.query("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
        });
    });
    let second = user.batch(1, vec![put(&task(TaskId::generate(), "second", 2))]);
    let outcome = run(commit(&store, second.clone()));
    killing.join().unwrap();
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    assert_eq!(run(commit(&store, second)), Outcome::Committed);
}

#[test]
fn a_locked_row_makes_its_user_unavailable_and_no_other() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = run(database.connect(|options| options.lock_timeout = Duration::from_millis(100)));
    let users = [User::new(), User::new(), User::new()];
    for user in &users {
        assert_eq!(run(commit(&store, first_batch(user))), Outcome::Committed);
    }
    let holder = database.client();
    let held = users[1].id.as_uuid();
    let holder = on_store_runtime(async move {
        holder.batch_execute("BEGIN").await.unwrap();
        holder.query("SELECT FROM users WHERE id = $1 FOR UPDATE", &[&held]).await.unwrap();
        holder
    });
    let batches = users
        .each_ref()
        .map(|user| Arc::new(user.batch(1, vec![put(&task(TaskId::generate(), "second", 2))])));
    let outcomes = run(store.commit(&batches));
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Committed, &Outcome::Committed));
    let Outcome::Unavailable(reason) = &outcomes[1] else { panic!("{:?}", outcomes[1]) };
    assert!(reason.contains("55P03"), "{reason}");
    on_store_runtime(async move { holder.batch_execute("ROLLBACK").await.unwrap() });
    assert_eq!(run(commit(&store, Batch::clone(&batches[1]))), Outcome::Committed);
}

#[test]
fn two_stores_whose_groups_share_users_never_deadlock_or_lose_a_batch() {
    const ROUNDS: usize = 60;

    needs!(Postgres);
    let database = PostgresDatabase::create();
    let users: Vec<_> = (0..40).map(|_| User::new()).collect();
    let round = Arc::new(Barrier::new(2));
    let work: Vec<_> = [false, true]
        .map(|backwards| {
            let store = run(database.connect(|_| ()));
            let mut users: Vec<_> = users.iter().map(|user| (user.clone(), 0)).collect();
            if backwards {
                users.reverse();
            }
            let round = Arc::clone(&round);
            thread::spawn(move || {
                let mut committed = 0;
                for _ in 0..ROUNDS {
                    let batch = |(user, seq): &(User, i64)| {
                        Arc::new(user.batch(*seq, vec![put(&task(TaskId::generate(), "x", seq + 1))]))
                    };
                    let batches: Vec<_> = users.iter().map(batch).collect();
                    round.wait();
                    for ((user, seq), outcome) in users.iter_mut().zip(run(store.commit(&batches))) {
                        match outcome {
                            Outcome::Committed => {
                                committed += 1;
                                *seq += 1;
                            }
                            Outcome::Conflict => *seq = run(load(&store, user)).unwrap().seq.get(),
                            other => panic!("{other:?}"),
                        }
                    }
                }
                (committed, store)
            })
        })
        .into_iter()
        .map(|work| work.join().unwrap())
        .collect();
    let stored: usize = users.iter().map(|user| run(load(&work[0].1, user)).unwrap().tasks.len()).sum();
    assert_eq!(stored, work[0].0 + work[1].0);
    for (_, store) in work {
        run(store.close());
    }
    // A connection reports its counters when it ends.
    let client = database.client();
    let deadlocks: i64 = on_store_runtime(async move {
        let connections = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";
        for _ in 0..3000 {
            if client.query_one(connections, &[]).await.unwrap().get::<_, i64>(0) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        client.query_one(deadlocks, &[]).await.unwrap().get(0)
    });
    assert_eq!(deadlocks, 0);
}

#[test]
fn an_address_assigned_by_two_processes_at_once_fails_neither_for_good() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = run(database.connect(|_| ()));
    let (existing, new) = (User::new(), User::new());
    assert_eq!(run(commit(&store, first_batch(&existing))), Outcome::Committed);
    // Another process is about to assign the address to one of its users.
    let other = database.client();
    let other = on_store_runtime(async move {
        other.batch_execute("BEGIN").await.unwrap();
        other
            .batch_execute(
                "INSERT INTO users (id, subject, email, seq)
                 VALUES (gen_random_uuid(), 'other', 'contested@example.com', 1)",
            )
            .await
            .unwrap();
        other
    });
    for user in [&existing, &new] {
        let expected = i64::from(user.id == existing.id);
        let mut batch = user.batch(expected, vec![put(&task(TaskId::generate(), "x", expected + 1))]);
        batch.email = Some("contested@example.com".into());
        let outcome = run(commit(&store, batch));
        assert!(matches!(outcome, Outcome::Unavailable(_)), "waits for the lock: {outcome:?}");
    }
    let watcher = database.client();
    let committing = thread::spawn(move || {
        on_store_runtime(async move {
            waiter(&watcher).await;
            other.batch_execute("COMMIT").await.unwrap();
        });
    });
    for user in [&existing, &new] {
        let expected = i64::from(user.id == existing.id);
        let mut batch = user.batch(expected, vec![put(&task(TaskId::generate(), "x", expected + 1))]);
        batch.email = Some("contested@example.com".into());
        // At the first attempt the address still looks free; the second one sees that it is taken.
        let settled = (0..2).any(|_| match run(commit(&store, batch.clone())) {
            Outcome::Committed => true,
            Outcome::Conflict => false,
            other => panic!("{other:?}"),
        });
        assert!(settled);
        assert_eq!(run(load(&store, user)).unwrap().email, None);
    }
    committing.join().unwrap();
}

#[test]
fn a_server_that_is_still_starting_is_waited_for() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let closed = loopback();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let address = database.host_and_port();
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(700));
        Proxy::start(TcpListener::bind(("127.0.0.1", port)).unwrap(), address)
    });
    let store = run(database.connect(|options| {
        options.url = database.url_via(port);
        options.startup_patience = Duration::from_mins(1);
    }));
    run(store.ping()).unwrap();
    late.join().unwrap();
}

#[test]
fn a_server_that_is_not_there_is_named_without_the_password() {
    let closed = loopback();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let url = format!("postgres://me:sesame@127.0.0.1:{port}/x");
    let mut options = PostgresOptions::new(url, 2);
    options.startup_patience = Duration::ZERO;
    assert!(!format!("{options:?}").contains("sesame"));
    let error = run(PostgresStore::connect(options, STORE_RUNTIME.handle().clone())).err().unwrap();
    let error = error.to_string();
    assert!(error.contains(&format!("127.0.0.1:{port}")) && !error.contains("sesame"), "{error}");
}

#[test]
fn of_several_hosts_the_one_that_answers_is_used() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let closed = loopback();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let (host, right) = database.host_and_port();
    let url =
        database.url().replacen(&format!("{host}:{right}"), &format!("127.0.0.1:{port},{host}:{right}"), 1);
    let store = run(database.connect(|options| options.url = url));
    run(store.ping()).unwrap();
}

#[test]
fn a_connection_has_the_documented_settings() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = run(database.connect(|options| options.pool_size = 3));
    assert_eq!(run(commit(&store, first_batch(&User::new()))), Outcome::Committed);
    run(store.ping()).unwrap();
    assert_eq!(store.pool().size, 2, "the committer's and a reader's");
    let client = database.client();
    let name = database.name().to_owned();
    on_store_runtime(async move {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'tasklane'";
        // The connection that migrated the tables may still be closing.
        for _ in 0..3000 {
            if client.query_one(sql, &[&name]).await.unwrap().get::<_, i64>(0) == 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never two connections");
    });
}

#[test]
fn a_purge_skips_users_locked_by_a_commit_and_never_waits() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = run(database.connect(|options| options.lock_timeout = Duration::from_mins(1)));
    let users = [User::new(), User::new(), User::new()];
    for user in &users {
        let mut batch = user.batch(0, vec![delete(TaskId::generate(), 1)]);
        batch.keys = vec![record("key", 1)];
        assert_eq!(run(commit(&store, batch)), Outcome::Committed);
    }
    let (holder, held) = (database.client(), users[1].id.as_uuid());
    let holder = on_store_runtime(async move {
        holder.batch_execute("BEGIN").await.unwrap();
        for table in ["users WHERE id", "idempotency_keys WHERE user_id"] {
            holder.query(&format!("SELECT FROM {table} = $1 FOR UPDATE"), &[&held]).await.unwrap();
        }
        holder
    });
    assert_eq!(run(store.purge(at(9), at(9))).unwrap(), 4);
    let horizons = || users.each_ref().map(|user| run(load(&store, user)).unwrap().horizon.get());
    assert_eq!(horizons(), [1, 0, 1]);
    on_store_runtime(async move { holder.batch_execute("ROLLBACK").await.unwrap() });
    assert_eq!(run(store.purge(at(9), at(9))).unwrap(), 2);
    assert_eq!(horizons(), [1, 1, 1]);
}

#[test]
fn a_tombstone_renewed_during_a_purge_stays() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = run(database.connect(|options| options.lock_timeout = Duration::from_mins(1)));
    let (user, id) = (User::new(), TaskId::generate());
    assert_eq!(run(commit(&store, user.batch(0, vec![delete(id, 1)]))), Outcome::Committed);
    // A commit's change that comes after the purge's first look. A commit would have released its locks by
    // the time the purge has the user's; this one keeps them, so that the test is sure of the order.
    let (renewing, key) = (database.client(), user.id.as_uuid());
    let renewing = on_store_runtime(async move {
        renewing.batch_execute("BEGIN").await.unwrap();
        let renew = "UPDATE tombstones SET seq = 2 WHERE user_id = $1";
        assert_eq!(renewing.execute(renew, &[&key]).await.unwrap(), 1);
        renewing
    });
    let watcher = database.client();
    let finishing = thread::spawn(move || {
        on_store_runtime(async move {
            waiter(&watcher).await;
            renewing.batch_execute("COMMIT").await.unwrap();
        });
    });
    assert_eq!(run(store.purge(at(2), at(0))).unwrap(), 0);
    finishing.join().unwrap();
    let stored = run(load(&store, &user)).unwrap();
    assert_eq!((stored.horizon, stored.tombstones), (Seq::new(1), vec![(Seq::new(2), id)]));
}
