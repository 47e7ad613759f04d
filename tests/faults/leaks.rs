//! Tens of thousands of lanes are activated and passivated: the process uses no more than in the beginning.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::support::{Kind, Server, Store, User, id};

/// Users, each with a task.
const USERS: usize = 1_000;

/// Clients at once.
const CLIENTS: usize = 16;

/// Bytes that memory may grow after the warm-up: the allocator's own fluctuation.
const SWAY: u64 = 8 << 20;

/// The resources that the process uses.
#[derive(Clone, Copy, Debug)]
struct Use {
    memory: u64,
    threads: usize,
    files: usize,
}

fn in_use(server: &Server) -> Use {
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.id())).unwrap().count();
    Use { memory: server.memory(), threads, files: server.open_files() }
}

/// How many lanes have been loaded from the store.
async fn activations(server: &Server) -> usize {
    let metrics = server.get("/metrics").await.expect(200).text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("tasklane_cache_misses_total "));
    line.unwrap().parse().unwrap()
}

/// Visits users in turn, by a read or a flip, until this many lanes have been activated.
async fn visit(server: &Server, users: &[(User, String)], count: usize) {
    let next = AtomicUsize::new(0);
    let clients = (0..CLIENTS).map(|_| async {
        // Far more than needed, in case a lane is still in memory now and then.
        while next.load(Ordering::Relaxed) < 4 * count {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let (user, task) = &users[number % users.len()];
            if (number / users.len()).is_multiple_of(2) {
                user.complete(task, None).await.expect(200);
            } else {
                user.get("/tasks").await.expect(200);
            }
            if number.is_multiple_of(500) && activations(server).await >= count {
                next.store(4 * count, Ordering::Relaxed);
            }
        }
    });
    join_all(clients).await;
    let reached = activations(server).await;
    assert!(reached >= count, "only {reached} activations of {count}");
}

/// Compares what is in use after `warm` activations with what is after `many`.
async fn nothing_leaks(kind: Kind, warm: usize, many: usize) {
    let store = Store::new(kind).await;
    // Room for some hundred lanes, evicted in the order they came: the next round finds none of them.
    let server = Server::with(&store, &[("CACHE_MAX_BYTES", "1048576")]);
    let text = "x".repeat(1_900);
    let users = (0..USERS).map(|number| server.user(&format!("user {number}")));
    let mut with_tasks = Vec::with_capacity(USERS);
    for user in users {
        let body = json!({"title": "comes and goes", "description": text});
        let task = user.post(&body).await.expect(201).json();
        with_tasks.push((user, id(&task).to_owned()));
    }
    visit(&server, &with_tasks, warm).await;
    let before = in_use(&server);
    visit(&server, &with_tasks, many).await;
    let after = in_use(&server);
    println!("{kind:?}: after {warm} activations {before:?}, after {many} {after:?}");
    assert_eq!(after.threads, before.threads, "{after:?}, before {before:?}");
    // The number of client and database connections varies a little.
    assert!(after.files <= before.files + 4, "{after:?}, before {before:?}");
    assert!(after.memory <= before.memory + SWAY, "{after:?}, before {before:?}");
    for (user, _) in &with_tasks[..50] {
        assert_eq!(user.list().await.len(), 1);
        user.call(Method::GET, "/changes?since=0", None).await.expect(200);
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_that_come_and_go_leave_nothing_behind_on_sqlite() {
    nothing_leaks(Kind::Sqlite, 4_000, 20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the long form: started by tests/faults/run"]
async fn a_hundred_thousand_lanes_leave_nothing_behind_on_sqlite() {
    nothing_leaks(Kind::Sqlite, 20_000, 100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the long form: started by tests/faults/run"]
async fn a_hundred_thousand_lanes_leave_nothing_behind_on_postgres() {
    needs!(Postgres);
    nothing_leaks(Kind::Postgres, 20_000, 100_000).await;
}
