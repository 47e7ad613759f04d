//! `tasklane copy`: all users move from one store to another; only the address changes for clients.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use reqwest::Method;
use rusqlite::{Connection, OpenFlags, params};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::support::command::{Finished, PATIENCE, Process, run};
use crate::support::{Kind, Server, Store, User, id, send, tokens};

const SECRET: [(&str, &str); 1] = [("BETTER_AUTH_SECRET", tokens::SECRET)];

/// The pause between two polls.
const MOMENT: Duration = Duration::from_millis(2);

fn copy(from: &Store, to: &Store) -> Finished {
    run(from.dir(), &["copy", "--from", from.url(), "--to", to.url()], &SECRET)
}

/// Copies, which must succeed and print a table with these lines.
#[track_caller]
fn copied(from: &Store, to: &Store, lines: &[&str]) {
    let finished = copy(from, to);
    assert_eq!(finished.code, 0, "{finished:?}");
    for line in lines.iter().chain(&["All of it was read back from both stores and is the same."]) {
        assert!(finished.stdout.contains(line), "{line}: {finished:?}");
    }
    assert_eq!(finished.stderr, "", "no progress bar where stderr is not a terminal");
}

/// Sends a create with an idempotency key and returns its answer, which is always the same.
async fn create_once(user: &User) -> Value {
    let body = json!({"title": "once", "tags": ["työ"], "priority": "high", "due_date": "2026-12-24"});
    let request = user.request(Method::POST, "/tasks").header("idempotency-key", "only once");
    send(request.json(&body)).await.expect(201).json()
}

/// Everything that a client can read of a user.
async fn seen(user: &User) -> Vec<(u16, String, Vec<(String, String)>)> {
    let mut all = Vec::new();
    for path in ["/tasks", "/tasks?completed=true&limit=2", "/changes?since=0", "/changes?since=4"] {
        let request = user.request(Method::GET, path).header("x-request-id", "the-same-for-all");
        let answer = send(request).await;
        let (status, body, headers) = answer.comparable();
        // A copy is another store: its lineages are others.
        let same = |text: &str| text.replace(answer.lineage(), "lineage");
        let headers = headers.iter().map(|(name, value)| (name.clone(), same(value))).collect();
        all.push((status, same(&body), headers));
    }
    all
}

/// `ann`, with every kind of data; `bob`, whose deletions are forgotten; an odd subject; a user who was
/// erased.
async fn settle(store: &Store) {
    let server = Server::start(store);
    let bob = server.user("bob");
    let gone = bob.create("gone").await;
    bob.delete(id(&gone)).await.expect(204);
    bob.create("kept").await;
    server.stop();
    store.age(31 * 24).await;
    let server = Server::start(store);
    server.log_line(&["forgot old deletions"]);
    let ann = server.user_with_email("ann", "ann@example.com");
    for title in ["one", "two", "three", "four"] {
        ann.create(title).await;
    }
    let list = ann.list().await;
    ann.complete(id(&list[0]), None).await.expect(200);
    ann.patch(id(&list[1]), &json!({"position": "a5", "description": "\u{1F980}"})).await.expect(200);
    for task in &list[2..] {
        ann.delete(id(task)).await.expect(204);
    }
    ann.post(&json!({"id": id(&list[2]), "title": "made again"})).await.expect(201);
    create_once(&ann).await;
    server.user("auth0|7 x").create("odd").await;
    let cy = server.user("cy");
    cy.create("erased").await;
    cy.erase().await.expect(204);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_see_the_same_after_a_copy_from_sqlite_to_postgres_and_back() {
    const USERS: [&str; 4] = ["ann", "bob", "auth0|7 x", "cy"];
    needs!(Postgres);
    let stores =
        [Store::new(Kind::Sqlite).await, Store::new(Kind::Postgres).await, Store::new(Kind::Sqlite).await];
    settle(&stores[0]).await;
    let table = ["users       4, 0 of them there before", "tasks       6", "deletions   2", "keys        1"];
    copied(&stores[0], &stores[1], &table);
    copied(&stores[1], &stores[2], &table);
    let mut all = Vec::new();
    for store in &stores {
        let server = Server::start(store);
        let once = create_once(&server.user("ann")).await;
        let mut views = Vec::new();
        for user in USERS {
            views.push(seen(&server.user(user)).await);
        }
        assert_eq!(views[0][2].0, 200);
        assert_eq!(views[1][2].0, 410, "what bob deleted is forgotten everywhere");
        all.push((once, views));
        server.stop();
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[1], all[2]);
    let looked = run(stores[1].dir(), &["check", "--database-url", stores[1].url()], &SECRET);
    assert_eq!(looked.code, 0, "{looked:?}");
    // Writes continue at the next seq.
    let server = Server::start(&stores[2]);
    let ann = server.user("ann");
    let seq = ann.seq().await;
    assert_eq!(ann.create("next").await["version"], seq + 1);
}

/// Makes many users in a SQLite store, more than one batch of the copy, and returns their ids in order.
fn crowd(store: &Store, users: usize) -> Vec<Uuid> {
    let migrated = run(store.dir(), &["migrate", "--database-url", store.url()], &SECRET);
    assert_eq!(migrated.code, 0, "{migrated:?}");
    let mut connection = Connection::open(store.dir().join("tasklane.db")).unwrap();
    let transaction = connection.transaction().unwrap();
    let mut ids: Vec<Uuid> = (0..users).map(|_| Uuid::new_v4()).collect();
    ids.sort_unstable();
    for id in &ids {
        let user = id.into_bytes();
        let insert = "INSERT INTO users (id, subject, seq, created_at) VALUES (?1, ?2, 60, 1)";
        transaction.execute(insert, params![user, id.to_string()]).unwrap();
        for version in 1..=60 {
            let insert = "INSERT INTO tasks (user_id, id, created_at, updated_at, version, completed, title, description)
                VALUES (?1, ?2, 1, 2, ?3, 0, 'secret', ?4)";
            let task = Uuid::now_v7().into_bytes();
            transaction
                .prepare_cached(insert)
                .unwrap()
                .execute(params![user, task, version, "x".repeat(900)])
                .unwrap();
        }
    }
    transaction.commit().unwrap();
    ids
}

fn start_copy(from: &Store, to: &Store) -> Process {
    Process::start(from.dir(), &["copy", "--from", from.url(), "--to", to.url()], &SECRET)
}

/// A connection for the test itself.
async fn connect(store: &Store) -> Client {
    let (client, connection) = tokio_postgres::connect(store.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Begins to insert the last of these users in PostgreSQL, so that a copy has to wait for it; then starts a
/// copy and waits until it is blocked. Returns the copy, the blocking connection, and how many users have
/// arrived.
async fn copy_held_up(from: &Store, to: &Store, ids: &[Uuid]) -> (Process, Client, i64) {
    let migrated = run(to.dir(), &["migrate", "--database-url", to.url()], &SECRET);
    assert_eq!(migrated.code, 0, "{migrated:?}");
    let (holder, watcher) = (connect(to).await, connect(to).await);
    let last = ids.last().unwrap();
    let begin = format!("BEGIN; INSERT INTO users (id, subject, seq) VALUES ('{last}', '{last}', 0)");
    holder.batch_execute(&begin).await.unwrap();
    let mut copying = start_copy(from, to);
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..PATIENCE.as_millis() / MOMENT.as_millis() {
        if number(&watcher, waiting).await == 1 {
            let arrived = number(&watcher, "SELECT count(*) FROM users").await;
            assert!(0 < arrived && arrived < i64::try_from(ids.len()).unwrap(), "{arrived}");
            return (copying, holder, arrived);
        }
        assert!(copying.runs(), "{:?}", copying.output.lines());
        tokio::time::sleep(MOMENT).await;
    }
    panic!("the copy does not reach the last user");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_to_postgres_killed_in_the_middle_is_continued_by_the_same_command() {
    needs!(Postgres);
    let (from, to) = (Store::new(Kind::Sqlite).await, Store::new(Kind::Postgres).await);
    let ids = crowd(&from, 60);
    let (mut copying, holder, arrived) = copy_held_up(&from, &to, &ids).await;
    copying.kill();
    // Each user has arrived completely or not at all.
    let partial =
        "SELECT count(*) FROM users u WHERE (SELECT count(*) FROM tasks WHERE user_id = u.id) <> 60";
    assert_eq!(number(&holder, partial).await, 1, "only the test's own user");
    holder.batch_execute("ROLLBACK").await.unwrap();
    let there = format!("users       60, {arrived} of them there before");
    copied(&from, &to, &[&there, "tasks       3600"]);
    copied(&from, &to, &["users       60, 60 of them there before", "tasks       3600"]);
}

/// Runs a query that returns one number.
fn ask(path: &Path, sql: &str) -> rusqlite::Result<i64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(PATIENCE)?;
    connection.query_row(sql, [], |row| row.get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_to_sqlite_killed_in_the_middle_is_continued_by_the_same_command() {
    let from = Store::new(Kind::Sqlite).await;
    crowd(&from, 200);
    // A kill may come too late, but hardly five times.
    for _ in 0..5 {
        let to = Store::new(Kind::Sqlite).await;
        let path = to.dir().join("tasklane.db");
        let users = || ask(&path, "SELECT count(*) FROM users");
        let mut copying = start_copy(&from, &to);
        // Until the first users have arrived there may be no table, nor a file.
        while copying.runs() && users().unwrap_or(0) == 0 {
            sleep(MOMENT);
        }
        copying.kill();
        let arrived = users().unwrap();
        if arrived == 200 {
            continue;
        }
        let partial =
            "SELECT count(*) FROM users u WHERE (SELECT count(*) FROM tasks WHERE user_id = u.id) <> 60";
        assert_eq!(ask(&path, partial).unwrap(), 0);
        let there = format!("users       200, {arrived} of them there before");
        return copied(&from, &to, &[&there, "tasks       12000"]);
    }
    panic!("five copies finished before they could be killed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_written_meanwhile_makes_the_copy_fail_and_say_what_to_do() {
    needs!(Postgres);
    let (from, between) = (Store::new(Kind::Sqlite).await, Store::new(Kind::Postgres).await);
    let ids = crowd(&from, 60);
    copied(&from, &between, &[]);
    let to = Store::new(Kind::Postgres).await;
    let (mut copying, holder, _) = copy_held_up(&between, &to, &ids).await;
    // A service that starts during the copy cannot be prevented: the final comparison finds its writes.
    let server = Server::start(&between);
    server.user(&ids[0].to_string()).create("late secret").await;
    server.user("a new one").create("late secret").await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert!(!copying.wait().success());
    let message = copying.output.stderr().join("\n");
    assert!(
        message.contains("2 users are not the same") && message.contains("stop it, and copy again"),
        "{message}"
    );
    assert!(!message.contains("secret") && copying.output.stdout().is_empty(), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_served_is_copied_neither_from_nor_to() {
    needs!(Postgres);
    let (file, database) = (Store::new(Kind::Sqlite).await, Store::new(Kind::Postgres).await);
    crowd(&file, 1);
    for mode in ["sole", "cluster"] {
        let server = Server::with(&database, &[("MODE", mode)]);
        server.user("ann").create("secret").await;
        let client = connect(&database).await;
        let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        for _ in 0..PATIENCE.as_millis() / MOMENT.as_millis() {
            if number(&client, held).await > 0 {
                break;
            }
            tokio::time::sleep(MOMENT).await;
        }
        for (from, to, setting) in [(&file, &database, "--to"), (&database, &file, "--from")] {
            let refused = copy(from, to);
            assert_ne!(refused.code, 0, "{refused:?}");
            let why = format!("{setting}: PostgreSQL: a service works on this database: stop it first");
            assert!(refused.stderr.contains(&why) && !refused.stderr.contains("secret"), "{refused:?}");
        }
        server.stop();
    }
    assert_eq!(ask(&file.dir().join("tasklane.db"), "SELECT count(*) FROM users").unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_differs_is_refused_and_left_as_it_is() {
    needs!(Postgres);
    for (one, other) in [(Kind::Sqlite, Kind::Postgres), (Kind::Postgres, Kind::Sqlite)] {
        let (from, to) = (Store::new(one).await, Store::new(other).await);
        settle(&from).await;
        copied(&from, &to, &[]);
        let server = Server::start(&to);
        server.user("ann").create("a secret of ann").await;
        server.user("dan").create("a secret of dan").await;
        let (ann, bob) = (seen(&server.user("ann")).await, seen(&server.user("bob")).await);
        server.stop();
        let source = Server::start(&from);
        source.user("eve").create("new").await;
        source.stop();
        let refused = copy(&from, &to);
        assert_ne!(refused.code, 0, "{refused:?}");
        let message = "holds 1 user whose data differ from the source's (1 of them newer than there)";
        assert!(
            refused.stderr.contains(message) && refused.stderr.contains("nothing was written"),
            "{refused:?}"
        );
        for name in ["ann", "dan", "secret"] {
            assert!(!refused.stderr.contains(name), "{name}: {refused:?}");
        }
        let server = Server::start(&to);
        assert_eq!((seen(&server.user("ann")).await, seen(&server.user("bob")).await), (ann, bob));
        assert_eq!(server.user("eve").seq().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_served_is_neither_read_nor_written() {
    let (one, other) = (Store::new(Kind::Sqlite).await, Store::new(Kind::Sqlite).await);
    settle(&other).await;
    let server = Server::start(&one);
    server.user("ann").create("mine").await;
    for (from, to, option) in [(&one, &other, "--from"), (&other, &one, "--to")] {
        let refused = copy(from, to);
        assert_ne!(refused.code, 0, "{refused:?}");
        for part in [option, "is in use by process", "stop it first"] {
            assert!(refused.stderr.contains(part), "{part}: {refused:?}");
        }
    }
    assert_eq!(server.user("ann").list().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_copied_is_refused_in_a_sentence_without_a_password() {
    needs!(Postgres);
    let (file, empty, nobody) =
        (Store::new(Kind::Sqlite).await, Store::new(Kind::Postgres).await, Store::new(Kind::Sqlite).await);
    settle(&file).await;
    let (file, empty, missing) = (file.url(), empty.url(), "sqlite://missing/tasks.db");
    let refusals = [
        ("mysql://ann:hunter2@db/tasks", file, "--from is of another scheme, but must be `sqlite://<path>`"),
        (file, "hunter2", "--to is without a scheme, but must be"),
        (file, "postgres://ann:hunter2@db/tasks?sslmode=maybe", "--to: PostgreSQL: sslmode must be"),
        (
            "postgres://ann:hunter2@db:none/tasks",
            file,
            "--from: PostgreSQL: the connection string cannot be read",
        ),
        (missing, empty, "--from: there is no file missing/tasks.db"),
        (file, file, "--from and --to are the same file"),
        (empty, empty, "--from and --to are the same database"),
        (empty, "sqlite://made.db", "--from holds no users"),
    ];
    for (from, to, why) in refusals {
        let refused = run(nobody.dir(), &["copy", "--from", from, "--to", to], &SECRET);
        assert_ne!(refused.code, 0, "{refused:?}");
        assert!(refused.stderr.contains(why) && refused.stdout.is_empty(), "{why}: {refused:?}");
        assert!(!refused.stderr.contains("hunter2") && refused.stderr.lines().count() == 1, "{refused:?}");
    }
    let left: Vec<_> = std::fs::read_dir(nobody.dir()).unwrap().collect();
    assert!(left.is_empty(), "a refused copy creates nothing: {left:?}");
    // Both are needed; the environment may hold both, so that `ps` shows no password.
    assert_ne!(run(nobody.dir(), &["copy", "--from", file], &SECRET).code, 0);
    let variables = [SECRET[0], ("COPY_FROM", file), ("COPY_TO", empty)];
    let finished = run(nobody.dir(), &["copy"], &variables);
    assert_eq!(finished.code, 0, "{finished:?}");
}
