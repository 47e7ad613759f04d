//! The lineage: what seqs count in. It stays with a user and a store; a store that was made again, put back or copied
//! has others.

use std::fs;

use reqwest::Method;
use serde_json::json;

use crate::support::command::run;
use crate::support::{Kind, Server, Store, User, id, on_both_stores, send, tokens};

on_both_stores!(
    a_lineage_stays_over_writes_an_erasure_and_restarts,
    what_was_given_out_before_a_copy_means_nothing_after_it,
    events_carry_the_lineage_and_one_that_comes_back_with_another_gets_resync,
);

const SECRET: [(&str, &str); 1] = [("BETTER_AUTH_SECRET", tokens::SECRET)];

async fn lineage(user: &User) -> String {
    user.get("/tasks").await.expect(200).lineage().to_owned()
}

/// Runs a command, which must succeed.
#[track_caller]
fn done(store: &Store, arguments: &[&str]) {
    let finished = run(store.dir(), arguments, &SECRET);
    assert_eq!(finished.code, 0, "{finished:?}");
}

/// Checks that nothing given out for the same seq in another life of the store means anything in this one.
async fn is_another_life(server: &Server, before: &str) {
    let user = server.user("ann");
    let read =
        |path: &str, name: &str, value: &str| send(user.request(Method::GET, path).header(name, value));
    let list = user.get("/tasks").await.expect(200);
    let seq = list.seq();
    assert_ne!(list.lineage(), before);
    for path in ["/tasks", "/tasks?limit=1", "/tasks?status=all", "/changes?since=0"] {
        let tag = format!("W/\"{seq}-{before}\"");
        assert_eq!(read(path, "if-none-match", &tag).await.expect(200).lineage(), list.lineage());
        read(path, "if-none-match", &list.list_tag(seq)).await.expect(304);
        read(path, "x-tasklane-min-seq", &format!("0-{before}")).await.expect_error(410, "RESYNC_REQUIRED");
    }
    user.get(&format!("/changes?since=0-{before}")).await.expect_error(410, "RESYNC_REQUIRED");
    user.get(&format!("/changes?since=0-{}", list.lineage())).await.expect(200);
    user.get("/changes?since=0").await.expect(200);
    for task in user.list().await {
        let path = format!("/tasks/{}", id(&task));
        let tag = format!("\"{}-{before}\"", task["version"]);
        read(&path, "if-none-match", &tag).await.expect(200);
        read(&path, "if-match", &tag).await.expect_error(412, "PRECONDITION_FAILED");
        let stale = user.request(Method::DELETE, &path).header("if-match", &tag);
        send(stale).await.expect_error(412, "PRECONDITION_FAILED");
        let batch = json!({"operations": [{"op": "delete", "id": id(&task), "if_match": tag}]});
        let stale = user.call(Method::POST, "/batch", Some(&batch)).await;
        stale.expect_error(412, "PRECONDITION_FAILED");
    }
}

async fn a_lineage_stays_over_writes_an_erasure_and_restarts(store: Store) {
    let mut server = Server::start(&store);
    let (ann, bob) = (lineage(&server.user("ann")).await, lineage(&server.user("bob")).await);
    assert_ne!(ann, bob);
    let made = server.user("ann").post(&json!({"title": "a"})).await.expect(201);
    assert_eq!(made.lineage(), ann, "the first write leads on from nothing");
    assert_eq!(server.user("ann").erase().await.expect(204).lineage(), ann);
    let again = server.user("ann").post(&json!({"title": "b"})).await.expect(201);
    assert_eq!((again.seq(), again.lineage()), (3, &*ann), "the seq goes on, and so does the lineage");
    server.kill();
    let server = Server::start(&store);
    assert_eq!((lineage(&server.user("ann")).await, lineage(&server.user("bob")).await), (ann, bob.clone()));
    if store.kind() == Kind::Postgres {
        let other = Server::start(&store);
        assert_eq!(lineage(&other.user("bob")).await, bob, "the same in every process");
        other.stop();
    }
    server.stop();
}

async fn what_was_given_out_before_a_copy_means_nothing_after_it(store: Store) {
    let server = Server::start(&store);
    server.user("ann").create("a").await;
    let before = lineage(&server.user("ann")).await;
    server.stop();
    let kind = if store.kind() == Kind::Postgres { Kind::Sqlite } else { Kind::Postgres };
    if kind == Kind::Postgres && std::env::var("TEST_POSTGRES_URL").is_err() {
        return;
    }
    let target = Store::new(kind).await;
    let mut lives = vec![before];
    // The second time everything is there already.
    for _ in 0..2 {
        done(&store, &["copy", "--from", store.url(), "--to", target.url()]);
        let server = Server::start(&target);
        for before in &lives {
            is_another_life(&server, before).await;
        }
        lives.push(lineage(&server.user("ann")).await);
        server.stop();
    }
    let server = Server::start(&store);
    assert_eq!(lineage(&server.user("ann")).await, lives[0], "the source stays what it was");
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_another_store_each_time_it_is_put_back_and_so_is_an_emptied_one_on_sqlite() {
    let store = Store::new(Kind::Sqlite).await;
    let file = store.file().unwrap();
    let server = Server::start(&store);
    server.user("ann").create("a").await;
    let mut lives = vec![lineage(&server.user("ann")).await];
    let backup = store.dir().join("backup.db");
    done(&store, &["backup", "--database-url", store.url(), backup.to_str().unwrap()]);
    assert_eq!(lineage(&server.user("ann")).await, lives[0]);
    server.stop();
    for _ in 0..2 {
        fs::copy(&backup, &file).unwrap();
        let server = Server::start(&store);
        for before in &lives {
            is_another_life(&server, before).await;
        }
        lives.push(lineage(&server.user("ann")).await);
        // What the next life's write of this seq is not.
        server.user("ann").create("lost").await;
        server.stop();
    }
    fs::remove_file(&file).unwrap();
    let server = Server::start(&store);
    server.user("ann").create("b").await;
    for before in &lives {
        is_another_life(&server, before).await;
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_were_emptied_or_loaded_are_another_store_on_postgres() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let mut lives = Vec::<String>::new();
    let load = "BEGIN; ALTER TABLE users RENAME TO was; CREATE TABLE users (LIKE was INCLUDING ALL);
        INSERT INTO users SELECT * FROM was; DROP TABLE was CASCADE; COMMIT";
    for change in
        ["SELECT 1", "TRUNCATE users CASCADE", load, "UPDATE store_identity SET id = gen_random_uuid()"]
    {
        if !lives.is_empty() {
            store.damage(&[change]).await;
        }
        let server = Server::start(&store);
        server.user("ann").create("a").await;
        for before in &lives {
            is_another_life(&server, before).await;
        }
        lives.push(lineage(&server.user("ann")).await);
        server.stop();
    }
}

async fn events_carry_the_lineage_and_one_that_comes_back_with_another_gets_resync(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    ann.create("a").await;
    let (ours, theirs) = (lineage(&ann).await, lineage(&server.user("bob")).await);
    let first_chunk = async |name: &str, value: &str| {
        let request = ann.request(
            Method::GET,
            &if name == "since" { format!("/events?since={value}") } else { "/events".into() },
        );
        let request = if name == "since" { request } else { request.header(name, value) };
        let mut response = request.send().await.unwrap();
        assert_eq!(response.headers()["x-tasklane-lineage"], ours.as_str());
        let mut text = String::new();
        while text.matches("\n\n").count() < 2 {
            text += str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap();
        }
        text
    };
    let data = format!("data: {{\"seq\":1,\"lineage\":\"{ours}\"}}\n\n");
    for name in ["last-event-id", "since"] {
        for given in ["0".to_owned(), format!("0-{ours}")] {
            let text = first_chunk(name, &given).await;
            let hello = format!("event: hello\nid: 0-{ours}\ndata: {{\"seq\":0,\"lineage\":\"{ours}\"}}\n\n");
            assert!(
                text.contains(&hello) && text.contains(&format!("event: change\nid: 1-{ours}\n")),
                "{text}"
            );
        }
        for other in [
            format!("0-{theirs}"),
            format!("1-{theirs}"),
            "1-abcdef".to_owned(),
            "1-0123456789abcdef".to_owned(),
        ] {
            let text = first_chunk(name, &other).await;
            // Whoever gets no more than the first event comes back as who it was.
            assert!(text.contains(&format!("event: hello\nid: {other}\n{data}")), "{text}");
            assert!(text.ends_with(&format!("event: resync\nid: 1-{ours}\n{data}")), "{text}");
        }
    }
    for wrong in ["1-", "1-short", "1-0123456789abcdefg", "-abcdef", "1-ab.def", "1-abcdef-%20"] {
        ann.get(&format!("/events?since={wrong}")).await.expect_error(422, "VALIDATION_ERROR");
        ann.get(&format!("/changes?since={wrong}")).await.expect_error(422, "VALIDATION_ERROR");
    }
}
