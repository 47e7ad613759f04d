//! Graceful stops and kills: what was acknowledged is there afterwards.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{Kind, Server, Store, User, id, on_both_stores};

on_both_stores!(
    sigterm_under_load_loses_nothing_that_was_answered,
    sigint_stops_gracefully_too,
    a_closed_terminal_stops_gracefully_too,
    kill_9_under_load_loses_nothing_that_was_answered,
    a_restart_gives_the_very_same_bytes,
    a_stop_answers_the_request_in_flight,
    a_stop_does_not_wait_for_idle_connections,
    a_draining_server_is_not_ready_and_still_serves_new_connections,
);

const USERS: usize = 8;
const CLIENTS_PER_USER: usize = 6;

/// What one client knows once the server is gone: its acknowledged writes by seq, as the task's last
/// state, or `None` for a deletion.
type Known = BTreeMap<i64, (String, Option<Value>)>;

/// One client: creates, changes and deletes its own tasks until the server is gone.
fn client(user: User, number: usize, answered: Arc<AtomicUsize>) -> JoinHandle<Known> {
    tokio::spawn(async move {
        let mut known = Known::new();
        for round in 0..100_000 {
            let title = format!("{number}.{round}");
            let Ok(made) =
                user.try_call(reqwest::Method::POST, "/tasks", Some(&json!({"title": title}))).await
            else {
                return known;
            };
            if made.status == 503 {
                // The stop has begun, and this write was not acknowledged.
                continue;
            }
            let made = made.expect(201);
            let task = id(&made.json()).to_owned();
            known.insert(made.seq(), (task.clone(), Some(made.json())));
            answered.fetch_add(1, Ordering::Relaxed);
            let path = format!("/tasks/{task}");
            let change = match round % 3 {
                0 => user.try_call(reqwest::Method::PUT, &path, Some(&json!({"completed": true}))).await,
                1 => user.try_call(reqwest::Method::DELETE, &path, None).await,
                _ => continue,
            };
            let change = match change {
                Ok(change) if change.status != 503 => change,
                // It may or may not be carried out: nothing is known of this task any more.
                _ => {
                    known.retain(|_, (other, _)| *other != task);
                    return known;
                }
            };
            let state = (change.status != 204).then(|| change.clone().expect(200).json());
            known.insert(change.seq(), (task, state));
            answered.fetch_add(1, Ordering::Relaxed);
        }
        panic!("the server never stopped");
    })
}

/// Puts load on the server, ends it by `end` after enough answers, and checks what a new server has.
async fn under_load(store: Store, end: impl AsyncFnOnce(&mut Server)) {
    let mut server = Server::start(&store);
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..USERS * CLIENTS_PER_USER)
        .map(|number| {
            let user = server.user(&format!("user {}", number % USERS));
            (number % USERS, client(user, number, Arc::clone(&answered)))
        })
        .collect();
    for _ in 0..6000 {
        if answered.load(Ordering::Relaxed) >= 1500 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    end(&mut server).await;
    let mut known: HashMap<usize, Known> = HashMap::new();
    for (user, client) in clients {
        for (seq, write) in client.await.unwrap() {
            let twice = known.entry(user).or_default().insert(seq, write);
            assert!(twice.is_none(), "two writes of user {user} have the seq {seq}");
        }
    }
    assert!(answered.load(Ordering::Relaxed) >= 1500, "there was too little load");
    drop(server);
    let server = Server::start(&store);
    for number in 0..USERS {
        check(&server.user(&format!("user {number}")), &known[&number]).await;
    }
}

async fn check(user: &User, known: &Known) {
    let stored: HashMap<_, _> =
        user.list().await.into_iter().map(|task| (id(&task).to_owned(), task)).collect();
    let last = *known.keys().next_back().unwrap();
    assert!(user.seq().await >= last);
    let mut states: HashMap<&String, &Option<Value>> = HashMap::new();
    for (task, state) in known.values() {
        states.insert(task, state);
    }
    for (task, state) in states {
        assert_eq!(stored.get(task), state.as_ref(), "an acknowledged write of {} is lost", user.subject);
    }
    let mut versions: Vec<_> = stored.values().map(|task| task["version"].as_i64().unwrap()).collect();
    let count = versions.len();
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), count, "two tasks have one version");
}

async fn sigterm_under_load_loses_nothing_that_was_answered(store: Store) {
    under_load(store, async |server| {
        server.terminate();
        let status = server.wait();
        assert_eq!(status.code(), Some(0), "{:#?}", server.output().stderr());
    })
    .await;
}

async fn a_closed_terminal_stops_gracefully_too(store: Store) {
    under_load(store, async |server| {
        server.signal("HUP");
        let status = server.wait();
        assert_eq!(status.code(), Some(0), "{:#?}", server.output().stderr());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_nohup_a_closed_terminal_changes_nothing() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::under(&["nohup"], &store, &[]);
    server.signal("HUP");
    server.user("ann").create("afterwards").await;
    server.stop();
}

async fn sigint_stops_gracefully_too(store: Store) {
    under_load(store, async |server| {
        server.signal("INT");
        let status = server.wait();
        assert_eq!(status.code(), Some(0), "{:#?}", server.output().stderr());
    })
    .await;
}

async fn kill_9_under_load_loses_nothing_that_was_answered(store: Store) {
    under_load(store, async |server| server.kill()).await;
}

async fn a_restart_gives_the_very_same_bytes(store: Store) {
    let server = Server::start(&store);
    let ann = server.user_with_email("ann", "ann@example.com");
    for number in 0..10 {
        let body =
            json!({"title": format!("{number} 🦀"), "description": "x\ny", "completed": number % 2 == 0});
        let task = ann.post(&body).await.expect(201).json();
        ann.complete(id(&task), None).await.expect(200);
        if number % 3 == 0 {
            ann.delete(id(&task)).await.expect(204);
        }
    }
    let before = ann.get("/tasks").await.expect(200);
    server.stop();
    for _ in 0..2 {
        let mut server = Server::start(&store);
        let after = server.user("ann").get("/tasks").await.expect(200);
        assert_eq!((&after.body, after.seq()), (&before.body, before.seq()));
        assert_eq!(after.header("etag"), before.header("etag"));
        server.kill();
    }
}

async fn a_stop_answers_the_request_in_flight(store: Store) {
    let mut server = Server::start(&store);
    let ann = server.user("ann");
    ann.create("a").await;
    // Half a request: the server has confirmed its head (100 Continue); its body comes after the signal.
    let body = r#"{"title":"in flight"}"#;
    let (first, second) = body.split_at(8);
    let head = format!(
        "POST /api/ann/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n",
        ann.token,
        body.len()
    );
    let address = server.address().to_owned();
    let socket = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(head.as_bytes()).unwrap();
        let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
        socket.read_exact(&mut go_on).unwrap();
        assert!(go_on.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&go_on));
        socket.write_all(first.as_bytes()).unwrap();
        socket
    });
    let mut socket = socket.await.unwrap();
    server.terminate();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let second = second.to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        socket.write_all(second.as_bytes()).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert_eq!(crate::support::raw::status(&answer), Some(201), "{answer}");
    assert_eq!(server.wait().code(), Some(0));
    let server = Server::start(&store);
    assert_eq!(server.user("ann").list().await.len(), 2);
}

async fn a_stop_does_not_wait_for_idle_connections(store: Store) {
    // Longer than any test's patience: waiting for all of it would fail the test.
    const FOR_EVER: (&str, &str) = ("SHUTDOWN_TIMEOUT", "3600");
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for settings in [&[FOR_EVER][..], &[FOR_EVER, ("METRICS_LISTEN", &metrics)]] {
        let server = Server::with(&store, settings);
        let mut connections = vec![server.address().to_owned()];
        connections.extend(settings.get(1).map(|(_, address)| (*address).to_owned()));
        // One connection was answered and is kept open, the other has never sent a byte.
        let idle: Vec<_> = connections
            .iter()
            .flat_map(|address| {
                let mut asked = TcpStream::connect(address).unwrap();
                asked.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
                assert!(asked.read(&mut [0; 1024]).unwrap() > 0);
                [asked, TcpStream::connect(address).unwrap()]
            })
            .collect();
        server.user("ann").create("a").await;
        server.stop();
        drop(idle);
    }
}

async fn a_draining_server_is_not_ready_and_still_serves_new_connections(store: Store) {
    let mut server = Server::with(&store, &[("DRAIN_TIME", "8")]);
    server.get("/ready").await.expect(200);
    server.signal("TERM");
    // Each on a new connection, since every answer closes it.
    let mut asked = 0;
    while server.get("/ready").await.status != 503 {
        asked += 1;
        assert!(asked < 10_000, "it keeps saying that it is ready");
    }
    let ann = server.user("ann");
    for title in ["one", "two"] {
        ann.create(title).await;
    }
    assert_eq!(ann.list().await.len(), 2);
    assert_eq!(server.wait().code(), Some(0));
}
