//! What the PostgreSQL store promises beyond the common contract.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tasklane::domain::{Seq, TaskId};
use tasklane::store::postgres::{PostgresOptions, PostgresStore};
use tasklane::store::{Batch, Outcome, Store};

use crate::fixture::{PostgresDatabase, STORE_RUNTIME, User, commit, load, on_store_runtime, put, run, task};
use crate::proxy::Proxy;

fn first_batch(user: &User) -> Batch {
    user.batch(0, vec![put(&task(TaskId::generate(), "first", 1))])
}

/// A port that answers nothing yet.
fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn stores_that_start_at_once_migrate_once() {
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
    assert_eq!(rows.len(), 1);
}

#[test]
fn killed_connections_leave_outcomes_open_and_sending_again_settles_each_batch_once() {
    const BATCHES: i64 = 150;
    const USERS: usize = 4;
    let database = PostgresDatabase::create();
    let store = run(database.connect(|_| ()));
    let client = database.client();
    let stop = Arc::new(AtomicBool::new(false));
    let killer = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            on_store_runtime(async move {
                // Kills a connection at a different moment of its life each time.
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
            .map(|user| Arc::new(user.batch(seq, vec![put(&task(TaskId::generate(), "once", seq + 1))])))
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
        // A read may meet the last killed connections of the pool.
        let stored = (0..10).find_map(|_| run(store.load(user.id)).ok()).unwrap().unwrap();
        let mut versions: Vec<_> = stored.tasks.iter().map(|task| task.version.get()).collect();
        versions.sort_unstable();
        assert_eq!(stored.seq, Seq::new(BATCHES));
        assert_eq!(versions, (1..=BATCHES).collect::<Vec<_>>());
    }
}

#[test]
fn an_answer_that_never_comes_is_unknown_and_the_batch_was_applied_once() {
    let database = PostgresDatabase::create();
    let proxy = Proxy::start(loopback(), database.host_and_port());
    let store = run(database.connect(|options| {
        options.url = database.url_via(proxy.port);
        options.answer_timeout = Duration::from_millis(500);
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
fn a_connection_cut_while_idle_costs_neither_a_read_nor_a_lasting_failure() {
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
    // The cut may be noticed before the statement is sent, or after.
    let second = user.batch(1, vec![put(&task(TaskId::generate(), "second", 2))]);
    let settled = (0..3).any(|_| run(commit(&store, second.clone())) == Outcome::Committed);
    assert!(settled);
    assert_eq!(run(load(&store, &user)).unwrap().seq, Seq::new(2));
}

#[test]
fn a_row_somebody_else_holds_makes_its_user_unavailable_and_no_other() {
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
    const ROUNDS: usize = 30;
    let database = PostgresDatabase::create();
    let stores = [run(database.connect(|_| ())), run(database.connect(|_| ()))];
    let users: Vec<_> = (0..40).map(|_| User::new()).collect();
    let work: Vec<_> = stores
        .into_iter()
        .enumerate()
        .map(|(at, store)| {
            let mut users = users.clone();
            if at == 1 {
                users.reverse();
            }
            thread::spawn(move || {
                let mut committed = 0;
                for _ in 0..ROUNDS {
                    let batches: Vec<_> = users
                        .iter()
                        .map(|user| {
                            let seq = run(load(&store, user)).map_or(0, |stored| stored.seq.get());
                            Arc::new(user.batch(seq, vec![put(&task(TaskId::generate(), "x", seq + 1))]))
                        })
                        .collect();
                    for outcome in run(store.commit(&batches)) {
                        match outcome {
                            Outcome::Committed => committed += 1,
                            Outcome::Conflict => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }
                (committed, store)
            })
        })
        .collect();
    let done: Vec<_> = work.into_iter().map(|work| work.join().unwrap()).collect();
    let stored: usize = users.iter().map(|user| run(load(&done[0].1, user)).unwrap().tasks.len()).sum();
    assert_eq!(stored, done[0].0 + done[1].0);
}

#[test]
fn an_address_two_processes_give_away_at_once_fails_neither_for_good() {
    let database = PostgresDatabase::create();
    let store = run(database.connect(|_| ()));
    let (existing, new) = (User::new(), User::new());
    assert_eq!(run(commit(&store, first_batch(&existing))), Outcome::Committed);
    // Another process is about to give the address to a user of its own.
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
        let expected = if user.id == existing.id { 1 } else { 0 };
        let mut batch = user.batch(expected, vec![put(&task(TaskId::generate(), "x", expected + 1))]);
        batch.email = Some("contested@example.com".into());
        let outcome = run(commit(&store, batch));
        assert!(matches!(outcome, Outcome::Unavailable(_)), "waits for the lock: {outcome:?}");
    }
    let committing = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        on_store_runtime(async move { other.batch_execute("COMMIT").await.unwrap() });
    });
    for user in [&existing, &new] {
        let expected = if user.id == existing.id { 1 } else { 0 };
        let mut batch = user.batch(expected, vec![put(&task(TaskId::generate(), "x", expected + 1))]);
        batch.email = Some("contested@example.com".into());
        // At the first try the address still looks free; at the second it is seen to be taken.
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
        options.startup_patience = Duration::from_secs(60);
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
fn the_session_is_set_up_as_promised() {
    let database = PostgresDatabase::create();
    let store = run(database.connect(|options| options.pool_size = 3));
    assert_eq!(run(commit(&store, first_batch(&User::new()))), Outcome::Committed);
    run(store.ping()).unwrap();
    assert_eq!(store.pool().size, 2, "the committer's and a reader's");
    let client = database.client();
    let name = database.name().to_owned();
    let count: i64 = on_store_runtime(async move {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'tasklane'";
        client.query_one(sql, &[&name]).await.unwrap().get(0)
    });
    assert_eq!(count, 2);
}

#[test]
fn the_commit_goes_by_key_whatever_the_planner_knows() {
    let database = PostgresDatabase::create();
    run(run(database.connect(|_| ())).close());
    let client = database.client();
    let prepare = format!("PREPARE c AS {}", include_str!("../../src/store/postgres/commit.sql"));
    let plan: Vec<String> = on_store_runtime(async move {
        client
            .batch_execute(
                "INSERT INTO users (id, subject, seq)
                    SELECT md5('u' || g)::uuid, 'subject ' || g, 1 FROM generate_series(1, 50000) g;
                 INSERT INTO tasks SELECT id, id, now(), now(), 1, false, 'x' FROM users;
                 ANALYZE; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off",
            )
            .await
            .unwrap();
        client.batch_execute(&prepare).await.unwrap();
        let nothing = vec!["'{}'"; 18].join(", ");
        let rows = client.query(&format!("EXPLAIN EXECUTE c({nothing})"), &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    });
    let plan = plan.join("\n");
    assert!(plan.contains("Index Scan using users_pkey") && plan.contains("tasks_pkey"), "{plan}");
    assert!(plan.contains("Index Scan using users_email_key"), "{plan}");
    for slow in ["Seq Scan", "Hash Join", "Merge Join"] {
        assert!(!plan.contains(slow), "{plan}");
    }
}
