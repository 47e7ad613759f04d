//! More requests and connections than anybody needs: the service keeps answering others, and its memory stays
//! bounded.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::command::PATIENCE;
use crate::support::{Kind, Server, Store};

/// A request for the list, on a connection that stays open.
fn list(token: &str) -> String {
    format!("GET /api/me/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_pipelined_requests_are_answered_in_order() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    let ann = server.user("ann");
    ann.create("a").await;
    let before = server.memory();
    let socket = TcpStream::connect(server.address()).await.unwrap();
    let (mut from, mut to) = socket.into_split();
    let one = |number: usize| {
        format!(
            "GET /api/me/tasks HTTP/1.1\r\nHost: x\r\nX-Request-Id: n{number}.\r\nAuthorization: Bearer {}\r\n\r\n",
            ann.token
        )
    };
    let all: String = (0..5000).map(one).collect();
    let writing = tokio::spawn(async move { to.write_all(all.as_bytes()).await.map(|()| to) });
    let (mut answers, mut part) = (String::new(), vec![0; 65536]);
    while answers.matches("x-request-id: n4999.").count() == 0 {
        let count = timeout(PATIENCE, from.read(&mut part)).await.expect("no more answers").unwrap();
        assert!(count > 0, "the connection was closed");
        answers.push_str(&String::from_utf8_lossy(&part[..count]));
    }
    let order: Vec<usize> = answers
        .match_indices("x-request-id: n")
        .map(|(at, found)| answers[at + found.len()..].split('.').next().unwrap().parse().unwrap())
        .collect();
    assert!(order.iter().copied().eq(0..5000), "out of order, or lost: {} answers", order.len());
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 5000);
    drop(writing.await);
    assert!(server.memory().saturating_sub(before) < 64 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_their_answers_fill_no_memory() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    let ann = server.user("ann");
    for number in 0..20 {
        ann.create(&format!("{number} {}", "x".repeat(150))).await;
    }
    let before = server.memory();
    let requests = list(&ann.token).repeat(200);
    // Each sends until the server takes no more: all the answers would be gigabytes, and the requests alone are more
    // than the system's buffers of a connection ever hold.
    let deaf = join_all((0..16).map(|_| async {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        for _ in 0..1_000 {
            let taken = timeout(Duration::from_secs(1), socket.write_all(requests.as_bytes())).await;
            if !matches!(taken, Ok(Ok(()))) {
                return (socket, true);
            }
        }
        (socket, false)
    }))
    .await;
    assert!(
        deaf.iter().all(|(_, stuck)| *stuck),
        "200,000 requests were accepted from a client that reads nothing"
    );
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 128 << 20, "memory grew by {grown} bytes");
    ann.create("still served").await;
    assert_eq!(ann.list().await.len(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_idle_connections_do_not_keep_others_from_being_served() {
    // Both ends of each connection need a descriptor, one here and one in the server.
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let count = usize::try_from(limit.saturating_sub(500)).unwrap().min(5000);
    assert!(count >= 500, "too few descriptors for this test: {limit}");
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    let ann = server.user("ann");
    ann.create("a").await;
    let before = server.memory();
    let mut idle = Vec::with_capacity(count);
    for number in 0..count {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        if number % 2 == 0 {
            // The first was served and is kept alive; the others send nothing, or half a line.
            socket.write_all(list(&ann.token).as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            timeout(PATIENCE, socket.read_exact(&mut answer)).await.expect("not answered").unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
        } else if number % 4 == 1 {
            socket.write_all(b"GET /api/me/ta").await.unwrap();
        }
        idle.push(socket);
    }
    for number in 0..50 {
        ann.create(&number.to_string()).await;
    }
    assert_eq!(ann.list().await.len(), 51);
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes more for {count} connections");
    drop(idle);
    server.stop();
}
