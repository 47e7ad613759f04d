//! What event streams do within half a minute. All the waiting runs in parallel, on both stores at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};
use uuid::Uuid;

use crate::support::{Events, Kind, Server, Store, User, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_send_keep_alives_tickets_expire_and_stalled_readers_are_cut_while_others_are_served() {
    needs!(Postgres);
    let on = async |kind| {
        let store = Store::new(kind).await;
        // Two streams for each user.
        let server = Server::with(&store, &[("MAX_EVENT_STREAMS", "20")]);
        tokio::join!(quiet_streams(&server), late_ticket(&server), stalled_readers(&server));
    };
    tokio::join!(on(Kind::Sqlite), on(Kind::Postgres));
}

/// A silent stream gets two keep-alives in that time. With the second one, which cannot be delivered, the
/// server notices that a client has gone, and its slot is free.
async fn quiet_streams(server: &Server) {
    let user = server.user("quiet");
    let mut stream = Events::of(&user, None).await;
    stream.take(1).await;
    drop(Events::of(&user, None).await);
    for expected in 1..=2 {
        stream.comment().await;
        assert_eq!(stream.comments, expected);
    }
    let mut again = Err(());
    for _ in 0..1200 {
        again = Events::open(user.request(Method::GET, "/events")).await.map_err(drop);
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    again.expect("the slot of a client that has gone is never free").take(1).await;
    user.create("a").await;
    assert_eq!(stream.take(1).await[0].id, 1);
}

/// A ticket is valid for half a minute.
async fn late_ticket(server: &Server) {
    let user = server.user("late");
    let ticket = async || {
        let answer = send(user.request(Method::POST, "/events/ticket")).await.expect(201).json();
        answer["ticket"].as_str().unwrap().to_owned()
    };
    let open = async |ticket: String| {
        Events::open(server.request(Method::GET, &format!("/api/late/events?ticket={ticket}"))).await
    };
    let (old, young) = (ticket().await, tokio::time::sleep(Duration::from_secs(25)));
    young.await;
    let young = ticket().await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    open(old).await.err().unwrap().expect_message(401, "UNAUTHORIZED", "Invalid token");
    open(young).await.unwrap().take(1).await;
}

/// More than the system buffers for a connection.
async fn fill(user: &User) {
    let task = |number: usize| {
        json!({"id": Uuid::new_v4(), "title": format!("{number}"), "description": "🦀".repeat(2000),
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"})
    };
    let tasks: Vec<Value> = (0..2000).map(task).collect();
    user.call(Method::POST, "/import", Some(&json!({"tasks": tasks}))).await.expect(200);
}

/// Opens a stream and reads no more than its first bytes.
fn open_and_stall(address: &str, token: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address: std::net::SocketAddr = address.parse().unwrap();
    socket.connect(&address.into()).unwrap();
    let mut socket: TcpStream = socket.into();
    let head =
        format!("GET /api/me/events?since=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut first = [0; 12];
    socket.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert!(SockRef::from(&socket).recv_buffer_size().unwrap() < 65536);
    socket
}

/// A client that reads nothing loses its connection and its slot; nobody else is affected.
async fn stalled_readers(server: &Server) {
    let user = server.user("stalled");
    fill(&user).await;
    let stalled: Vec<_> = (0..2).map(|_| open_and_stall(server.address(), &user.token)).collect();
    let path = "/events?since=2000";
    let full = Events::open(user.request(Method::GET, path)).await.err().expect("both slots are taken");
    full.expect_error(429, "RATE_LIMITED");
    // Others read and write normally while these two are stuck.
    let other = server.user("other");
    let mut stream = Events::of(&other, None).await;
    stream.take(1).await;
    for round in 1..=180 {
        other.create("a").await;
        assert_eq!(stream.take(1).await[0].id, round);
        user.create("the stalled user's own writes go on as well").await;
        if let Ok(mut reopened) = Events::open(user.request(Method::GET, path)).await {
            assert!(round > 1, "they were never stuck");
            assert_eq!(reopened.take(2).await[1].id, 2001);
            // The system has cut the connections; they were open until now.
            drop(stalled);
            return;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("a client that reads nothing keeps its slot for too long");
}
