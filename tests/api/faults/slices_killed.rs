//! A process is killed in the midst of a large import and of a large erasure, which SQLite writes a slice at a
//! time: the one leaves nothing behind, the other is done.

use reqwest::{Method, RequestBuilder};
use rusqlite::Connection;
use serde_json::json;
use uuid::Uuid;

use crate::support::command::run;
use crate::support::{Kind, Server, Store, User, send, tokens};

const TASKS: u32 = 60_000;

/// The rows of tasks in the file, also those that nobody is shown.
fn rows(store: &Store) -> u32 {
    let connection = Connection::open(store.file().unwrap()).unwrap();
    connection.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0)).unwrap()
}

/// `tasklane check` finds so many tasks, and no faults.
fn sound(store: &Store, tasks: u32) {
    let settings = [("DATABASE_URL", store.url()), ("BETTER_AUTH_SECRET", tokens::SECRET)];
    let looked = run(store.dir(), &["check"], &settings);
    for line in [&format!("tasks       {tasks}"), "faults      0"] {
        assert!(looked.code == 0 && looked.stdout.lines().any(|found| found == line), "{looked:?}");
    }
}

/// Sends a request and kills the server as soon as the number of rows changes.
async fn killed_in_the_midst(store: &Store, mut server: Server, request: RequestBuilder) {
    let before = rows(store);
    let asked = tokio::spawn(request.send());
    for _ in 0..1_000_000 {
        if rows(store) != before {
            break;
        }
        tokio::task::yield_now().await;
    }
    server.kill();
    assert!(asked.await.unwrap().is_err(), "it was answered before");
    assert!((2..TASKS - 1).contains(&rows(store)), "{} rows: not in the midst", rows(store));
}

/// An import of so many new tasks.
fn import(user: &User, tasks: u32) -> RequestBuilder {
    let now = "2026-01-01T00:00:00Z";
    let task = |number| json!({"id": Uuid::new_v4(), "title": format!("{number}"), "created_at": now, "updated_at": now});
    let tasks: Vec<_> = (0..tasks).map(task).collect();
    user.request(Method::POST, "/import").json(&json!({"tasks": tasks}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_is_killed_leaves_nothing_and_an_erasure_that_is_killed_is_done_on_sqlite() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    let ann = server.user("ann");
    ann.create("before").await;
    let before = ann.get("/tasks").await.expect(200);
    killed_in_the_midst(&store, server, import(&ann, TASKS)).await;
    sound(&store, 1);
    assert_eq!(rows(&store), 1, "the rest is removed");

    let server = Server::start(&store);
    let ann = server.user("ann");
    assert_eq!(ann.get("/tasks").await.expect(200).body, before.body);
    let imported = send(import(&ann, TASKS - 1)).await.expect(200);
    assert_eq!(imported.seq(), i64::from(TASKS));

    let erasure = ann.request(Method::DELETE, "").header("X-Confirm-Delete", "ann");
    killed_in_the_midst(&store, server, erasure).await;
    let server = Server::start(&store);
    let ann = server.user("ann");
    let erased = ann.get("/tasks").await.expect(200);
    assert_eq!((erased.seq(), &erased.json()["count"]), (imported.seq() + 1, &json!(0)));
    assert_eq!(rows(&store), 0, "the rest is removed");
    ann.create("after").await;
    server.stop();
    sound(&store, 1);
}
