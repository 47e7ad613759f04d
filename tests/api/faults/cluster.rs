//! `MODE=cluster`: to a client, several processes on one PostgreSQL look like one.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use reqwest::header::IF_NONE_MATCH;
use serde_json::{Value, json};

use crate::support::cluster::Cluster;
use crate::support::{Answer, Event, Events, Kind, Server, Store, User, id, send};

const CLUSTER: (&str, &str) = ("MODE", "cluster");

fn replicas(store: &Store) -> [Server; 2] {
    [Server::with(store, &[CLUSTER]), Server::with(store, &[CLUSTER])]
}

fn titles(tasks: &[Value]) -> Vec<&str> {
    tasks.iter().map(|task| task["title"].as_str().unwrap()).collect()
}

async fn read(user: &User, path: &str, header: (&str, &str)) -> Answer {
    send(user.request(Method::GET, path).header(header.0, header.1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_shows_what_another_process_has_acknowledged_on_postgres() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let servers = replicas(&store);
    let [one, other] = [servers[0].user("ann"), servers[1].user("ann")];
    let first = one.create("first").await;
    for round in 0..20 {
        let (writer, reader) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let (list, task) = (reader.get("/tasks").await.expect(200), format!("/tasks/{}", id(&first)));
        let old = list.header("etag").unwrap().to_owned();
        let done = writer.complete(id(&first), None).await.expect(200).json();
        let list = read(reader, "/tasks", (IF_NONE_MATCH.as_str(), &old)).await.expect(200).json();
        assert_eq!(list["tasks"].as_array().unwrap().last(), Some(&done));
        writer.complete(id(&first), None).await.expect(200);
        let done = writer.complete(id(&first), None).await.expect(200).json();
        assert_eq!(reader.get(&task).await.expect(200).json(), done);
        let made = writer.create(&format!("round {round}")).await;
        let summary = reader.get("/summary").await.expect(200).json();
        assert_eq!(summary["seq"], made["version"]);
        writer.delete(id(&made)).await.expect(204);
        let changes = reader.get(&format!("/changes?since={}", made["version"])).await.expect(200).json();
        assert_eq!(changes["changes"][0]["deleted"], json!(true), "{changes}");
        let newest = writer.create(&format!("last of round {round}")).await;
        let export = reader.get("/export").await.expect(200).json();
        assert_eq!(export["tasks"][0], newest);
        let tag = writer.get("/tasks").await.list_tag(newest["version"].as_i64().unwrap());
        read(reader, "/tasks", (IF_NONE_MATCH.as_str(), &tag)).await.expect(304);
        assert_eq!(one.list().await, other.list().await);
    }
}

/// Replicas share the secret and so accept each other's tickets, each of them once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_of_one_process_opens_a_stream_at_another_once_on_postgres() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let servers = replicas(&store);
    let one = servers[0].user("ann");
    let made = one.create("a").await;
    let ticket = send(one.request(Method::POST, "/events/ticket")).await.expect(201).json();
    let ticket = ticket["ticket"].as_str().unwrap().to_owned();
    let open = async |server: &Server, user: &str, ticket: &str| {
        let path = format!("/api/{user}/events?since=0&ticket={ticket}");
        Events::open(server.request(Method::GET, &path)).await
    };
    let refused = |stream: Result<Events, Answer>, message| {
        stream.err().unwrap().expect_message(401, "UNAUTHORIZED", message);
    };
    let mut stream = open(&servers[1], "me", &ticket).await.unwrap();
    assert_eq!(stream.take(2).await[1].data["task"], made);
    refused(open(&servers[1], "me", &ticket).await, "Invalid token");
    // Another user's path, and a ticket with another user's name forged into it.
    let bobs = send(servers[0].user("bob").request(Method::POST, "/events/ticket")).await.expect(201).json();
    let bobs = bobs["ticket"].as_str().unwrap();
    refused(open(&servers[1], "ann", bobs).await, "Unauthorized access");
    let mut forged = URL_SAFE_NO_PAD.decode(&ticket).unwrap();
    forged[32..35].copy_from_slice(b"bob");
    refused(open(&servers[1], "bob", &URL_SAFE_NO_PAD.encode(forged)).await, "Invalid token");
    // Another secret.
    let stranger =
        Server::with(&store, &[CLUSTER, ("BETTER_AUTH_SECRET", "another secret of thirty-two bytes")]);
    let fresh = send(one.request(Method::POST, "/events/ticket")).await.expect(201).json();
    let fresh = fresh["ticket"].as_str().unwrap();
    refused(open(&stranger, "ann", fresh).await, "Invalid token");
    open(&servers[1], "ann", fresh).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_considers_what_another_process_has_acknowledged_on_postgres() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let servers = replicas(&store);
    let [one, other] = [servers[0].user("ann"), servers[1].user("ann")];
    other.list().await;
    for _ in 0..10 {
        let task = one.create("one").await;
        other.put(id(&task), &json!({"title": "two"})).await.expect(200);
        let stale = one.request(Method::PATCH, &format!("/tasks/{}", id(&task))).header("if-match", "\"1\"");
        send(stale.json(&json!({"title": "three"}))).await.expect_error(412, "PRECONDITION_FAILED");
        other.delete(id(&task)).await.expect(204);
        one.delete(id(&task)).await.expect_no_task();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_read_may_be_stale_but_shows_its_clients_own_writes_on_postgres() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let writer = Server::with(&store, &[CLUSTER]);
    let reader = Server::with(&store, &[CLUSTER, ("READ_MAX_STALENESS", "1m")]);
    let [one, other] = [writer.user("ann"), reader.user("ann")];
    one.create("first").await;
    assert_eq!(titles(&other.list().await), ["first"]);
    let second = one.create("second").await;
    // The other process may or may not have heard of it by now.
    assert!([1, 2].contains(&other.get("/tasks").await.expect(200).seq()));
    for path in ["/tasks", "/summary", "/export", "/changes?since=1", &format!("/tasks/{}", id(&second))] {
        let answer = read(&other, path, ("x-tasklane-min-seq", "2")).await.expect(200);
        assert_eq!(answer.seq(), 2, "{path}");
    }
    // A stream resumes from a seq that this process had not seen.
    let third = one.create("third").await;
    let mut stream = Events::of(&other, third["version"].as_i64()).await;
    assert_eq!(stream.take(1).await[0].name, "hello");
    other.create("fourth").await;
    assert_eq!(stream.take(1).await[0].data["task"]["title"], "fourth", "and not `resync`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seq_beyond_the_stored_one_is_refused_on_postgres() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    refuses_what_is_ahead(&Server::with(&store, &[CLUSTER])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seq_beyond_the_stored_one_is_refused_on_sqlite() {
    let store = Store::new(Kind::Sqlite).await;
    refuses_what_is_ahead(&Server::start(&store)).await;
}

async fn refuses_what_is_ahead(server: &Server) {
    let ann = server.user("ann");
    let task = ann.create("one").await;
    for path in ["/tasks", "/summary", "/export", "/changes?since=0", &format!("/tasks/{}", id(&task))] {
        for known in ["0", "1"] {
            read(&ann, path, ("x-tasklane-min-seq", known)).await.expect(200);
        }
        let ahead = read(&ann, path, ("x-tasklane-min-seq", "2")).await;
        assert_eq!(ahead.expect_error(410, "RESYNC_REQUIRED").seq(), 1);
        for wrong in ["", "x", "-1", "1, 2", "99999999999999999999"] {
            let wrong = read(&ann, path, ("x-tasklane-min-seq", wrong)).await;
            assert_eq!(wrong.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["X-Tasklane-Min-Seq"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_paused_shows_no_old_state_and_overwrites_nothing_on_postgres() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let servers = replicas(&store);
    let [one, zombie] = [servers[0].user("ann"), servers[1].user("ann")];
    let task = one.create("first").await;
    zombie.put(id(&task), &json!({"description": "kept"})).await.expect(200);
    for _ in 0..5 {
        servers[1].signal("STOP");
        let title = json!({"title": "newest"});
        let newest = one.put(id(&task), &title).await.expect(200).json();
        let done = json!({"completed": true});
        let (reads, write) = ((0..20).map(|_| zombie.get("/tasks")), zombie.put(id(&task), &done));
        let all = async { tokio::join!(futures_util::future::join_all(reads), write) };
        let wake = async {
            // By then the requests have been sent to it; if not, the test proves less but still holds.
            tokio::time::sleep(Duration::from_millis(100)).await;
            servers[1].signal("CONT");
        };
        let ((reads, write), ()) = tokio::join!(all, wake);
        for read in reads {
            let read = read.expect(200);
            assert!(read.seq() >= newest["version"].as_i64().unwrap(), "an old state was shown");
            assert_eq!(read.json()["tasks"][0]["title"], "newest");
        }
        let written = write.expect(200).json();
        assert_eq!((&written["title"], &written["description"]), (&json!("newest"), &json!("kept")));
        one.put(id(&task), &json!({"title": "old", "completed": false})).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restore_clients_are_told_to_start_again_on_postgres() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let servers = replicas(&store);
    let users = servers.each_ref().map(|server| server.user("ann"));
    let [one, other] = &users;
    let first = one.create("first").await;
    one.create("second").await;
    one.create("third").await;
    let mut streams = [Events::of(one, Some(3)).await, Events::of(other, Some(3)).await];
    for stream in &mut streams {
        assert_eq!(stream.take(1).await[0].name, "hello");
    }
    let before = one.get("/tasks").await;
    // Back to the state after the first write.
    store
        .damage(&["DELETE FROM tasks WHERE version > 1", "UPDATE users SET seq = 1, last_batch = NULL"])
        .await;
    for user in &users {
        assert_eq!(user.list().await, std::slice::from_ref(&first));
        user.get("/changes?since=3").await.expect_error(410, "RESYNC_REQUIRED");
    }
    for stream in &mut streams {
        let resync = Event { name: "resync".to_owned(), id: 1, data: json!({"seq": 1}) };
        assert_eq!(stream.take(1).await, [resync]);
    }
    let again = one.create("again").await;
    assert_eq!(again["version"], 2);
    for user in &users {
        // The seq is used again, but not with its lineage.
        let list = read(user, "/tasks", (IF_NONE_MATCH.as_str(), &before.list_tag(2))).await.expect(200);
        assert!(list.lineage() != before.lineage() && list.seq() == 2, "{list:?}");
    }
    assert_eq!(other.list().await, one.list().await);
    assert_eq!(streams[0].take(1).await[0].data["task"], again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_follows_another_processes_writes_even_when_hints_are_lost_on_postgres() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let servers = replicas(&store);
    let [one, other] = [servers[0].user("ann"), servers[1].user("ann")];
    let mut stream = Events::of(&other, Some(0)).await;
    assert_eq!(stream.take(1).await[0].name, "hello");
    for round in 0..3 {
        for _ in 0..10 {
            let task = one.create("a").await;
            assert_eq!(stream.take(1).await[0].data["task"], task, "round {round}");
        }
        // Ends the connections of listeners and notifiers.
        store
            .damage(&["SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ 'LISTEN|pg_notify'"])
            .await;
    }
    let sent = servers[0].get("/metrics").await.text();
    let heard = servers[1].get("/metrics").await.text();
    let counts = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok()).unwrap()
    };
    assert!(counts(&sent, "tasklane_hints_sent_total") > 0);
    assert!(counts(&heard, "tasklane_hints_received_total") > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_in_sole_mode_warns_of_another_one_and_says_when_it_is_gone_on_postgres() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let first = Server::start(&store);
    first.user("ann").create("one").await;
    let second = Server::start(&store);
    let warning = second.log_line(&["WARN", "another process works on this database"]);
    assert!(warning.contains("MODE=cluster"), "{warning}");
    let third = Server::with(&store, &[CLUSTER]);
    third.log_line(&["WARN", "a process with MODE=sole works on this database"]);
    let gauge = async |server: &Server, value: &str| {
        let line = format!("tasklane_other_process {value}");
        for attempt in 0.. {
            if server.get("/metrics").await.text().lines().any(|found| found == line) {
                break;
            }
            assert!(attempt < 100, "the metrics never say {line}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    gauge(&first, "0").await;
    gauge(&second, "1").await;
    gauge(&third, "1").await;
    first.stop();
    // Either may get the lock; the one that does says so.
    third.stop();
    second.log_line(&["the other process on this database is gone"]);
    gauge(&second, "0").await;
    second.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_in_cluster_mode_do_not_warn_of_each_other_on_postgres() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let servers = replicas(&store);
    let stranger = Server::start(&store);
    // When this process gives up on the lock, the others would have given up, too.
    stranger.log_line(&["WARN", "another process works on this database"]);
    for server in &servers {
        assert!(!server.output().stderr().iter().any(|line| line.contains("works on this database")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_promotion_nothing_is_served_from_old_memory_on_postgres() {
    needs!(Postgres);
    let cluster = Cluster::start();
    let store = Store::at(&cluster.url);
    for mode in ["sole", "cluster"] {
        let server = Server::with(&store, &[("MODE", mode)]);
        let ann = server.user("ann");
        let kept = ann.create("kept").await;
        let mut stream = Events::of(&ann, kept["version"].as_i64()).await;
        assert_eq!(stream.take(1).await[0].name, "hello");
        cluster.promote().await;
        // What a standby without the newest write would hold, at the current seq.
        store.damage(&["UPDATE tasks SET title = 'as the standby has it'"]).await;
        server.log_line(&["WARN", "PostgreSQL is not the server it was"]);
        assert_eq!(ann.list().await[0]["title"], "as the standby has it", "{mode}");
        let events = stream.take(1).await;
        assert_eq!((events[0].name.as_str(), json!(events[0].id)), ("resync", kept["version"].clone()));
        let written = ann.complete(id(&kept), Some(true)).await.expect(200).json();
        assert_eq!(written["title"], "as the standby has it");
        server.stop();
    }
}
