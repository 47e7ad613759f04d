//! More requests than the service accepts: all are answered, only those over a limit are refused, and
//! afterwards everything works as before, without a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::command::PATIENCE;
use crate::support::{Kind, Server, Store, User, on_both_stores, send};

on_both_stores!(five_thousand_connections_at_once_are_all_answered);

/// Connections at once. Both ends of each need a descriptor, one here and one in the server.
const CONNECTIONS: usize = 5_000;

/// An answer, as far as it matters here.
#[derive(Debug)]
struct Reply {
    status: u16,
    code: Option<String>,
    retry_after: bool,
}

impl Reply {
    /// Whether it is one of the contract's refusals under overload, with a time to retry after.
    fn turned_away(&self) -> bool {
        let code = self.code.as_deref();
        self.retry_after
            && (self.status == 503 && matches!(code, Some("OVERLOADED" | "STORE_UNAVAILABLE"))
                || self.status == 429 && code == Some("RATE_LIMITED"))
    }
}

/// Sends a request on a connection of its own, which stays open, and reads the answer.
async fn ask(socket: &mut TcpStream, user: &User, method: &str, path: &str, body: &str) -> Reply {
    let head = format!(
        "{method} /api/me{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        user.token,
        body.len()
    );
    let answered = timeout(PATIENCE, async {
        socket.write_all(head.as_bytes()).await.unwrap();
        answer(socket).await
    });
    answered.await.unwrap_or_else(|_| panic!("{method} {path} of {} hangs", user.subject))
}

async fn answer(socket: &mut TcpStream) -> Reply {
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let count = socket.read(&mut part).await.unwrap();
        assert!(count > 0, "closed without an answer: {:?}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&part[..count]);
        let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&text[..end]).to_ascii_lowercase();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length: usize = header("content-length:").map_or(0, |length| length.parse().unwrap());
        if text.len() < end + 4 + length {
            continue;
        }
        let body: Value = serde_json::from_slice(&text[end + 4..]).unwrap_or_default();
        return Reply {
            status: head[9..12].parse().unwrap(),
            code: body["error"]["code"].as_str().map(str::to_owned),
            retry_after: header("retry-after:").is_some(),
        };
    }
}

/// Writes and reads on that many connections, all open at once.
async fn five_thousand_connections_at_once_are_all_answered(store: Store) {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    assert!(limit >= CONNECTIONS as u64 + 500, "too few files may be open: {limit}; raise the hard limit");
    let server = Server::start(&store);
    let users: Vec<User> = (0..200).map(|number| server.user(&format!("user {number}"))).collect();
    #[cfg(target_os = "linux")]
    let before = server.open_files();
    let clients = (0..CONNECTIONS).map(|number| {
        // A third of them belong to one user.
        let user = if number % 3 == 0 { &users[0] } else { &users[number % users.len()] };
        let body = format!("{{\"title\":\"{number}\"}}");
        let address = server.address();
        async move {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let made = ask(&mut socket, user, "POST", "/tasks", &body).await;
            let read = ask(&mut socket, user, "GET", "/tasks?limit=1", "").await;
            (socket, made, read)
        }
    });
    let replies = join_all(clients).await;
    let made = replies.iter().filter(|(_, made, _)| made.status == 201).count();
    for (_, made, read) in &replies {
        assert!(made.status == 201 || made.turned_away(), "{made:?}");
        assert!(read.status == 200 || read.turned_away(), "{read:?}");
    }
    assert!(made > CONNECTIONS / 2, "only {made} tasks were made");
    // While all of them are still open.
    users[1].create("after").await;
    let lists = join_all(users.iter().map(User::list)).await;
    assert_eq!(lists.iter().map(Vec::len).sum::<usize>(), made + 1, "what was refused was not applied");
    drop(replies);
    #[cfg(target_os = "linux")]
    {
        for _ in 0..600 {
            if server.open_files() < before + 300 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(server.open_files() < before + 300, "{} files, {before} before", server.open_files());
    }
    server.stop();
}

/// The store pauses for a moment, so that one user's writes queue up to the limit; the rest of them are
/// refused. Other users' writes wait and are carried out; their reads do not wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_by_one_user_is_refused_and_affects_no_other() {
    const FLOOD: usize = 1_500;
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    let (flood, address) = (server.user("flood"), server.address());
    let others: Vec<User> = (0..20).map(|number| server.user(&format!("other {number}"))).collect();
    for user in others.iter().chain([&flood]) {
        user.create("first").await;
    }
    let over = Arc::new(AtomicBool::new(false));
    let sockets = join_all((0..FLOOD).map(|_| async { TcpStream::connect(address).await.unwrap() })).await;
    let flooders = sockets.into_iter().map(|mut socket| {
        let (over, flood) = (Arc::clone(&over), flood.clone());
        tokio::spawn(async move {
            let mut replies = Vec::new();
            while !over.load(Ordering::Relaxed) && replies.len() < 1_000 {
                replies.push(ask(&mut socket, &flood, "POST", "/tasks", "{\"title\":\"x\"}").await);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            replies
        })
    });
    let flooders: Vec<_> = flooders.collect();
    let file = Connection::open(store.file().unwrap()).unwrap();
    for attempt in 0.. {
        assert!(attempt < 20, "the flood never reaches the limit");
        file.execute_batch("BEGIN IMMEDIATE").unwrap();
        if full(&server).await {
            break;
        }
        // If held any longer, the lock would fail everybody's writes.
        file.execute_batch("ROLLBACK").unwrap();
        others[0].list().await;
    }
    let others_write =
        async { join_all(others.iter().map(|other| other.create("while the flood waits"))).await };
    let others_read = async {
        join_all(others.iter().map(User::list)).await;
        file.execute_batch("ROLLBACK").unwrap();
    };
    tokio::join!(others_write, others_read);
    // Other users go on while the flood is repeated.
    for _ in 0..5 {
        join_all(others.iter().map(|other| other.create("beside the flood"))).await;
    }
    over.store(true, Ordering::Relaxed);
    let replies = join_all(flooders).await.into_iter().flat_map(Result::unwrap);
    let (made, refused): (Vec<_>, Vec<_>) = replies.partition(|reply| reply.status == 201);
    assert!(refused.iter().all(Reply::turned_away), "{refused:?}");
    assert!(!refused.is_empty(), "nothing was refused");
    assert_eq!(flood.list().await.len(), made.len() + 1, "what was refused was not applied");
    for other in &others {
        assert_eq!(other.list().await.len(), 7);
    }
    flood.create("afterwards").await;
}

/// Bodies that have not arrived hold nothing: neither idle imports nor a user's share of memory keep others out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_bodies_of_one_user_keep_nobody_else_out() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::with(&store, &[("WORK_MAX_BYTES", "8388608")]);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    let part = "x".repeat(1 << 20);
    let request = |path: &str, length: usize, part: &str| {
        format!(
            "POST /api/me{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{part}",
            ann.token
        )
    };
    let before = in_flight(&server).await;
    let mut holding = Vec::new();
    for index in 0..8 {
        // Some are idle, and some stop when they hold a good part of the user's share.
        let (path, sent) = if index < 4 { ("/import", "{") } else { ("/batch", part.as_str()) };
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        socket.write_all(request(path, 2 << 20, sent).as_bytes()).await.unwrap();
        holding.push(socket);
    }
    // Of the four with a part of their body at most two fit into the share; the others are refused at once.
    until(async || in_flight(&server).await < before + 8).await;
    let mut refused = 0;
    for socket in &mut holding[4..] {
        if let Ok(reply) = timeout(Duration::from_secs(1), answer(socket)).await {
            assert_eq!((reply.status, reply.code.as_deref()), (429, Some("RATE_LIMITED")), "{reply:?}");
            refused += 1;
        }
    }
    assert!(refused >= 1, "nothing was refused");
    let import = json!({"tasks": []});
    bob.call(Method::POST, "/import", Some(&import)).await.expect(200);
    ann.call(Method::POST, "/import", Some(&import)).await.expect(200);
    bob.create("beside them").await;
    drop(holding);
    let task = json!({"op": "create", "task": {"title": "a", "description": "x".repeat(2000)}});
    let batch = json!({"operations": vec![task; 500]});
    until(async || ann.call(Method::POST, "/batch", Some(&batch)).await.status == 200).await;
}

/// Requests that have no answer yet.
async fn in_flight(server: &Server) -> usize {
    let metrics = server.get("/metrics").await.expect(200).text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("tasklane_http_requests_in_flight "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_gets_a_hundred_tickets_in_half_a_minute() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    let ticket = |user: &User| user.request(Method::POST, "/events/ticket");
    let replies = join_all((0..110).map(|_| send(ticket(&ann)))).await;
    let (given, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|answer| answer.status < 300);
    assert_eq!((given.len(), refused.len()), (100, 10));
    for answer in refused {
        answer.expect_error(429, "RATE_LIMITED");
    }
    assert!(send(ticket(&bob)).await.status < 300);
}

/// Waits until the condition holds, but not for ever.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..3000 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the condition never holds");
}

/// Waits, but not for long, until one user's queue of writes is full.
async fn full(server: &Server) -> bool {
    for _ in 0..100 {
        if server.get("/metrics").await.expect(200).text().contains("tasklane_write_queue_depth 1024") {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}
