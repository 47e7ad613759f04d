//! Harmful bytes on a raw socket: each is refused or disconnected and has no effect, and the service answers
//! others meanwhile and afterwards.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::command::PATIENCE;
use crate::support::{Kind, Server, Store, User, raw, send};

async fn server() -> (Store, Server) {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    (store, server)
}

/// The head of a POST by this user, without the empty line at its end.
fn post(user: &User) -> String {
    format!(
        "POST /api/me/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
        user.token
    )
}

/// Sends `bytes` at once and then `drop` again and again, slowly. Returns what came back before the server
/// closed the connection, which it must do.
async fn drip(server: &Server, bytes: &str, drop: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    socket.write_all(bytes.as_bytes()).await.unwrap();
    let (mut from, mut to) = socket.split();
    let mut answer = Vec::new();
    let dripping = async {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if to.write_all(drop).await.is_err() {
                // What was read so far counts; reading ends when the server closes.
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        ended = timeout(PATIENCE, from.read_to_end(&mut answer)) => {
            assert!(ended.is_ok(), "never disconnected: {bytes}");
        }
        () = dripping => {}
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_are_disconnected_while_others_are_served() {
    let (_store, server) = server().await;
    let ann = server.user("ann");
    let body = format!("{}Content-Length: 60000\r\n\r\n{{\"title\":\"", post(&ann));
    let chunks = format!("{}Transfer-Encoding: chunked\r\n\r\n", post(&ann));
    let nobody = "POST /api/me/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n";
    let unknown = "PUT /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let nobodys_chunks = "GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cases: [(&str, &[u8], &[u16]); 9] = [
        ("", b"", &[408]),
        ("", b"G", &[400, 408]),
        ("GET /health HTTP/1.1\r\nHost: x\r\nX: ", b"y", &[408]),
        ("GET /health HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n", &[400, 408, 431]),
        (&body, b"x", &[408]),
        (&chunks, b"1\r\n \r\n", &[408]),
        // Without a token the body is not waited for.
        (nobody, b"x", &[401]),
        (nobodys_chunks, b"1\r\n \r\n", &[200]),
        (unknown, b"1\r\n \r\n", &[404]),
    ];
    let slow = cases.iter().map(|(bytes, drop, statuses)| {
        let server = &server;
        async move {
            let answer = drip(server, bytes, drop).await;
            let status = raw::status(&answer);
            assert!(status.is_none_or(|status| statuses.contains(&status)), "{bytes}: {answer}");
            if bytes.contains("Authorization") {
                assert!(answer.contains("REQUEST_TIMEOUT"), "{bytes}: {answer}");
            }
        }
    });
    let others = async {
        for number in 0..20 {
            ann.create(&number.to_string()).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::join!(join_all(slow), others);
    assert_eq!(ann.list().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_smuggled_request_is_never_carried_out() {
    let (_store, server) = server().await;
    let ann = server.user("ann");
    let head = post(&ann);
    let hidden = format!("{head}Content-Length: 16\r\nConnection: close\r\n\r\n{{\"title\":\"hid\"}} ");
    let framings = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 10\r\n\r\n",
        "Content-Length: 0, 10\r\n\r\n",
        "Content-Length: +5\r\n\r\n0\r\n\r\n",
        "Content-Length: 0x5\r\n\r\n",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 5 5\r\n\r\n",
        "Content-Length:\r\n\r\n",
        "Content-Length: 99999999999999999999999999\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "X: y\r\n Content-Length: 5\r\n\r\n",
        "X: y\rContent-Length: 5\r\n\r\n",
        "X: y\nContent-Length: x\n\n",
        "X\0: y\r\n\r\n",
    ];
    for framing in framings {
        let answer = raw::exchange(server.address(), format!("{head}{framing}{hidden}")).await;
        let status = raw::status(&answer);
        assert!(status.is_none_or(|status| (400..500).contains(&status)), "{framing:?}: {answer}");
        let titles: Vec<_> = ann.list().await.iter().map(|task| task["title"].clone()).collect();
        assert!(titles.is_empty(), "{framing:?} made {titles:?}: {answer}");
    }
    // The same request alone is carried out: the framing was refused.
    assert_eq!(raw::status(&raw::exchange(server.address(), hidden).await), Some(201));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_chunks_end_the_connection_and_write_nothing() {
    let (_store, server) = server().await;
    let ann = server.user("ann");
    let head = format!("{}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n", post(&ann));
    let json = r#"{"title":"chunked"}"#;
    let bodies = [
        format!("-1\r\n{json}\r\n0\r\n\r\n"),
        format!("ffffffffffffffff\r\n{json}\r\n0\r\n\r\n"),
        format!("fffffffffffffffff\r\n{json}\r\n0\r\n\r\n"),
        format!("x\r\n{json}\r\n0\r\n\r\n"),
        format!("0x13\r\n{json}\r\n0\r\n\r\n"),
        format!("\r\n{json}\r\n0\r\n\r\n"),
        format!("12\r\n{json}\r\n0\r\n\r\n"),
        format!("13{json}0\r\n\r\n"),
        format!("13\r\n{json}"),
        format!("13\r\n{json}\r\n0"),
        "1\r\n{".to_owned(),
    ];
    for body in bodies {
        let shown = body[..body.len().min(40)].to_owned();
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
        let _ = socket.shutdown().await;
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "{shown:?}: neither answered nor disconnected");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = raw::status(&answer);
        assert!(status.is_none_or(|status| (400..500).contains(&status)), "{shown:?}: {answer}");
        assert!(ann.list().await.is_empty(), "{shown:?} was accepted: {answer}");
    }
    let good = format!("{head}13\r\n{json}\r\n0\r\n\r\n");
    assert_eq!(raw::status(&raw::exchange(server.address(), good).await), Some(201));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_head_or_body_is_refused_before_it_fills_the_memory() {
    let (_store, server) = server().await;
    let ann = server.user("ann");
    let announced = format!("{}Content-Length: 10737418240\r\n\r\n", post(&ann));
    let unannounced = format!("{}Transfer-Encoding: chunked\r\n\r\n", post(&ann));
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(65536));
    let lines = format!("X: {}\r\n", "y".repeat(1000)).repeat(64);
    let cases = [
        (announced, " ".repeat(65536), Some(413)),
        (unannounced, chunk, Some(413)),
        ("GET /health HTTP/1.1\r\nHost: x\r\nX: ".into(), "y".repeat(65536), None),
        ("GET /health HTTP/1.1\r\nHost: x\r\n".into(), lines, None),
        (format!("GET /{}", "a".repeat(9000)), "a".repeat(65536), None),
        (String::new(), "\r\n".repeat(32768), None),
        (String::new(), "A".repeat(65536), None),
    ];
    ann.create("first").await;
    let before = server.memory();
    for (head, more, wanted) in cases {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        let (mut from, mut to) = socket.split();
        let mut answer = Vec::new();
        let writing = async {
            let _ = to.write_all(head.as_bytes()).await;
            while to.write_all(more.as_bytes()).await.is_ok() {}
        };
        let shown = format!("{head} {}", &more[..20]);
        let (cut, read) =
            tokio::join!(timeout(PATIENCE, writing), timeout(PATIENCE, from.read_to_end(&mut answer)));
        assert!(read.is_ok(), "{shown}: neither answered nor disconnected");
        assert!(cut.is_ok(), "{shown}: accepted endlessly");
        let status = raw::status(&String::from_utf8_lossy(&answer));
        assert!(status.is_none_or(|status| (400..500).contains(&status)), "{shown}: {status:?}");
        if status.is_some() && wanted.is_some() {
            assert_eq!(status, wanted, "{shown}");
        }
        let grown = server.memory().saturating_sub(before);
        assert!(grown < 64 << 20, "{shown}: memory grew by {grown} bytes");
    }
    assert_eq!(ann.list().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_read_to_a_depth_of_64_and_as_unicode() {
    let (_store, server) = server().await;
    let ann = server.user("ann");
    let ask = |body: Vec<u8>| {
        send(ann.request(Method::POST, "/tasks").header(CONTENT_TYPE, "application/json").body(body))
    };
    let deep = |depth: usize| format!("{{\"title\":\"a\",\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    ask(deep(63).into_bytes()).await.expect(201);
    ask(format!("{{\"title\":\"{}\"}}", "[".repeat(150)).into_bytes()).await.expect(201);
    for depth in [64, 65, 1000, 32_000] {
        let answer = ask(deep(depth).into_bytes()).await.expect_error(422, "VALIDATION_ERROR");
        assert_eq!(answer.bad_fields(), ["body"]);
    }
    let texts: [&[u8]; 12] = [
        b"{\"title\":\"\xff\"}",
        b"{\"title\":\"\xc0\x80\"}",
        b"{\"title\":\"\xed\xa0\x80\"}",
        b"{\"title\":\"\xf4\x90\x80\x80\"}",
        b"{\"title\":\"a\",\"x\":\"\xe2\x28\xa1\"}",
        br#"{"title":"\ud800"}"#,
        br#"{"title":"\udfff\ud800"}"#,
        br#"{"title":"a","description":"\ud83e"}"#,
        b"\xef\xbb\xbf{\"title\":\"a\"}",
        b"\xff\xfe{\0\"\0",
        b"{\"title\":\"a\0b\"}",
        br#"{"title":"a\u0000b"}"#,
    ];
    for text in texts {
        let answer = ask(text.to_vec()).await;
        assert_eq!(answer.status, 422, "{}: {}", String::from_utf8_lossy(text), answer.text());
        answer.expect_error(422, "VALIDATION_ERROR");
    }
    assert_eq!(ann.list().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_body_is_not_decompressed() {
    let (_store, server) = server().await;
    let ann = server.user("ann");
    let before = server.memory();
    // Deflated zeros, a gzip header, a brotli bomb's first bytes: none is decompressed.
    let bodies: [&[u8]; 3] =
        [b"\x1f\x8b\x08\0\0\0\0\0\0\x03", b"\xed\xc0\x81\0\0\0\0\x80", br#"{"title":"plain"}"#];
    for coding in [
        "gzip",
        "x-gzip",
        "deflate",
        "br",
        "zstd",
        "compress",
        "gzip, gzip",
        "GZIP",
        "identity, gzip",
        "",
        "*",
    ] {
        for body in bodies {
            for path in ["/tasks", "/tasks?x=y"] {
                let request = ann.request(Method::POST, path).header(CONTENT_TYPE, "application/json");
                let answer = send(request.header(CONTENT_ENCODING, coding).body(body.to_vec())).await;
                assert_eq!(answer.status, 415, "{coding}: {}", answer.text());
                answer.expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
            }
        }
    }
    assert!(ann.list().await.is_empty());
    assert!(server.memory().saturating_sub(before) < 32 << 20);
}
