//! Every header that is about the connection or the body's framing, in many forms: the next request on the same
//! connection gets its own answer, or the answer before said that the connection closes, and it does.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::command::PATIENCE;
use crate::support::{Kind, Server, Store, User};

/// A connection, and what was read from it beyond the last answer.
struct Raw {
    socket: TcpStream,
    rest: Vec<u8>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Checks that it is an error in the usual form.
    fn is_error(&self, status: u16, code: &str, what: &str) {
        assert_eq!(self.status, status, "{what:?}: {self:?}");
        let form: serde_json::Value =
            serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{what:?}: {self:?}"));
        assert_eq!(form["error"]["code"], code, "{what:?}");
        assert_eq!(
            (&form["detail"], &form["message"]),
            (&form["error"]["message"], &form["error"]["message"])
        );
        assert_eq!(Some(form["request_id"].as_str().unwrap()), self.header("x-request-id"), "{what:?}");
    }
}

impl Raw {
    fn open(server: &Server) -> Self {
        let socket = TcpStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, rest: Vec::new() }
    }

    fn send(&mut self, bytes: &[u8]) {
        // It may be closed after what the server has read so far.
        let _ = self.socket.write_all(bytes);
    }

    /// Reads until `end` finds the end of something.
    fn until(&mut self, end: impl Fn(&[u8]) -> Option<usize>) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = end(&self.rest) {
                return Some(self.rest.drain(..end).collect());
            }
            let mut part = [0; 4096];
            let count = self.socket.read(&mut part).unwrap_or(0);
            if count == 0 {
                return None;
            }
            self.rest.extend_from_slice(&part[..count]);
        }
    }

    /// The next answer; a `100 Continue` before it is passed over. `None` if there is none any more.
    fn answer(&mut self, has_body: bool) -> Option<Answer> {
        loop {
            let head =
                self.until(|all| all.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4))?;
            let head = String::from_utf8(head).unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let mut answer = Answer { status, head, body: String::new() };
            if status == 100 {
                continue;
            }
            let length: usize = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
            if has_body && length > 0 {
                answer.body =
                    String::from_utf8(self.until(|all| (all.len() >= length).then_some(length))?).unwrap();
            }
            return Some(answer);
        }
    }
}

/// The head of a request by this user, without the empty line at its end.
fn head(user: &User, first: &str, lines: &str) -> String {
    format!(
        "{first}\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n{lines}",
        user.token
    )
}

const TITLE: &str = r#"{"title":"framed"}"#;

/// Sends a POST and then asks who is asking, on one connection. Returns the answer to the POST.
fn post_then_ask(server: &Server, user: &User, version: &str, lines: &str, body: &str) -> Answer {
    let what = format!("{version} {lines}");
    let mut raw = Raw::open(server);
    let post = head(user, &format!("POST /api/me/tasks HTTP/{version}"), lines);
    raw.send(format!("{post}\r\n{body}").as_bytes());
    let answer = raw.answer(true).unwrap_or_else(|| panic!("{what:?} is not answered"));
    assert_eq!(answer.header("upgrade"), None, "{what:?}");
    assert!(
        !answer.header("connection").unwrap_or_default().to_lowercase().contains("upgrade"),
        "{what:?}: {answer:?}"
    );
    if answer.closes() || (version == "1.0" && answer.header("connection").is_none()) {
        assert!(raw.answer(true).is_none() && raw.rest.is_empty(), "{what:?}: it said that it closes");
        return answer;
    }
    raw.send(format!("{}\r\n", head(user, "GET /api/me/test HTTP/1.1", "")).as_bytes());
    let next = raw.answer(true).unwrap_or_else(|| panic!("{what:?}: closed without a word"));
    assert_eq!(next.status, 200, "{what:?}: {next:?}");
    let who: serde_json::Value = serde_json::from_str(&next.body).unwrap();
    assert_eq!(who["user"]["id"], user.subject.as_str(), "{what:?}: {who}");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_for_this_server_is_ignored_and_the_connection_is_kept() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    let ann = server.user("ann");
    let mut kept = 0;
    for lines in [
        "",
        "Connection: upgrade\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "connection: keep-alive, UPGRADE\r\nupgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n",
        "Connection:upgrade,keep-alive\r\n",
        "Connection: x\r\nConnection: upgrade\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: upgrade\r\nUpgrade: TLS/1.2, websocket\r\n",
        "Connection: upgrade\r\nUpgrade:\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: h2c\r\nUpgrade: websocket\r\n",
        "Connection: keep-alive\r\nKeep-Alive: timeout=5, max=1\r\n",
        "Keep-Alive: timeout=0\r\n",
        "Connection:\r\n",
        "Connection: ,,\r\n",
        "Connection: x, content-length, authorization, te, trailer\r\n",
        "Connection: \"close\"\r\n",
        "Proxy-Connection: close\r\n",
        "Proxy-Connection: keep-alive\r\n",
        "Proxy-Authenticate: x\r\nProxy-Authorization: Basic x\r\n",
        "TE: trailers\r\nConnection: TE\r\n",
        "TE: gzip;q=0.5, chunked\r\n",
        "Trailer: X-Sum\r\n",
        "Expect: 100-continue\r\n",
        "Expect: 100-Continue\r\n",
        "Expect: x\r\n",
        "Via: 1.1 x\r\nForwarded: for=x\r\nMax-Forwards: 0\r\n",
        "Content-Encoding: identity\r\nAccept-Encoding: br\r\n",
    ] {
        for (framing, body) in [
            (format!("Content-Length: {}\r\n", TITLE.len()), TITLE.to_owned()),
            (format!("content-length:\t0{} \r\n", TITLE.len()), TITLE.to_owned()),
            ("Transfer-Encoding: chunked\r\n".into(), format!("12\r\n{TITLE}\r\n0\r\n\r\n")),
            (
                "transfer-encoding:Chunked\r\n".into(),
                format!(
                    "0002;a=b;c=\"d\"\r\n{}\r\n10\r\n{}\r\n000\r\nX-Sum: y\r\nContent-Length: 9\r\n\r\n",
                    &TITLE[..2],
                    &TITLE[2..]
                ),
            ),
        ] {
            let answer = post_then_ask(&server, &ann, "1.1", &format!("{lines}{framing}"), &body);
            assert_eq!((answer.status, answer.closes()), (201, false), "{lines:?} {framing:?}: {answer:?}");
            kept += 1;
        }
    }
    // With these it is told that the connection closes.
    for (version, lines) in [
        ("1.1", "Connection: close\r\n"),
        ("1.1", "Connection: upgrade, close\r\nUpgrade: websocket\r\n"),
        ("1.1", "Connection: x\r\nconnection: CLOSE\r\n"),
        ("1.0", ""),
        ("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
        ("1.0", "Connection: keep-alive, upgrade\r\n"),
    ] {
        let framing = format!("{lines}Content-Length: {}\r\n", TITLE.len());
        let answer = post_then_ask(&server, &ann, version, &framing, TITLE);
        assert_eq!(answer.status, 201, "{version} {lines:?}");
        kept += 1;
    }
    assert_eq!(ann.list().await.len(), kept, "each was carried out, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_read_in_two_ways_is_refused_in_the_form_of_every_error() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::with(&store, &[("AUTH_FAILURES_PER_ADDRESS", "off")]);
    let ann = server.user("ann");
    let cases: [(&str, u16); 24] = [
        ("Content-Length: 18\r\nContent-Length: 18\r\n", 400),
        ("Content-Length: 18, 18\r\n", 400),
        ("Content-Length: +18\r\n", 400),
        ("Content-Length : 18\r\n", 400),
        ("Content-Length: 18\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", 400),
        ("Transfer-Encoding: identity\r\n", 400),
        ("Transfer-Encoding : chunked\r\n", 400),
        ("X: y\r\n Content-Length: 18\r\n", 400),
        ("X: y\nContent-Length: 18\r\n", 400),
        ("X: y\rContent-Length: 18\r\n", 400),
        ("X: \0\r\n", 400),
        ("X\r\n", 400),
        (": y\r\n", 400),
        ("Host: y\r\n", 400),
        ("Content-Length: 18\r\nUpgrade: websocket\r\nContent-Length: 0\r\n", 400),
        ("Content-Length: 99999999999999999999\r\n", 400),
        ("Content-Length: \r\n", 400),
        ("Content-Length: 0x12\r\n", 400),
        ("Content-Length: -18\r\n", 400),
        ("Transfer-Encoding: \"chunked\"\r\n", 400),
        ("Transfer-Encoding:\x0bchunked\r\n", 400),
        (&"X: y\r\n".repeat(200), 431),
    ];
    for (lines, status) in cases {
        let answer = post_then_ask(&server, &ann, "1.1", lines, TITLE);
        answer.is_error(status, "BAD_REQUEST", lines);
        assert!(answer.closes(), "{lines:?}: {answer:?}");
    }
    for (first, status, code) in [
        ("GET /api/me/tasks?search=café HTTP/1.1", 400, "BAD_REQUEST"),
        ("GET /api/me/tasks/\u{1f600} HTTP/1.1", 400, "BAD_REQUEST"),
        ("GET /a b HTTP/1.1", 400, "BAD_REQUEST"),
        ("GET /", 400, "BAD_REQUEST"),
        ("GET / HTTP/2.0", 400, "BAD_REQUEST"),
        ("PRI * HTTP/2.0", 400, "BAD_REQUEST"),
        ("\x16\x03\x01\x02\0", 400, "BAD_REQUEST"),
        (&format!("GET /{} HTTP/1.1", "a".repeat(70_000)), 414, "BAD_REQUEST"),
        (&format!("GET /{}", "a".repeat(140_000)), 431, "BAD_REQUEST"),
        ("CONNECT example.org:443 HTTP/1.1", 405, "METHOD_NOT_ALLOWED"),
    ] {
        // After another request on the connection, too, without a wait for its answer.
        for before in [false, true] {
            let mut raw = Raw::open(&server);
            if before {
                raw.send(format!("{}\r\n", head(&ann, "GET /api/me/test HTTP/1.1", "")).as_bytes());
            }
            raw.send(head(&ann, first, "\r\nand more that means nothing").as_bytes());
            if before {
                assert_eq!(raw.answer(true).unwrap().status, 200, "{first:?}");
            }
            let answer = raw.answer(true).unwrap_or_else(|| panic!("{first:?} is not answered"));
            answer.is_error(status, code, first);
            assert!(answer.closes(), "{first:?}: {answer:?}");
            assert!(raw.answer(true).is_none() && raw.rest.is_empty(), "{first:?}");
        }
    }
    assert!(ann.list().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_sent_without_waiting_get_their_own_answers_in_order() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    let post = |user: &User, lines: &str| {
        format!(
            "{}Content-Length: {}\r\n\r\n{TITLE}",
            head(user, "POST /api/me/tasks HTTP/1.1", lines),
            TITLE.len()
        )
    };
    let ask = |user: &User, method: &str, lines: &str| {
        format!("{}\r\n", head(user, &format!("{method} /api/me/test HTTP/1.1"), lines))
    };
    // What a later head says never changes an earlier answer.
    for (round, last) in ["", "Connection: upgrade\r\n", "Connection: close\r\n"].into_iter().enumerate() {
        let mut raw = Raw::open(&server);
        let (by_ann, by_bob) = (ask(&ann, "GET", ""), ask(&bob, "GET", ""));
        let all =
            [post(&ann, ""), ask(&ann, "HEAD", ""), by_bob, post(&bob, ""), by_ann, ask(&bob, "HEAD", last)];
        raw.send(all.concat().as_bytes());
        for (expected, has_body) in
            [("framed", true), ("", false), ("bob", true), ("framed", true), ("ann", true), ("", false)]
        {
            let answer = raw.answer(has_body).unwrap();
            assert!(answer.status < 300 && answer.body.contains(expected), "{round}: {expected}: {answer:?}");
            assert_eq!(answer.body.is_empty(), !has_body, "{answer:?}");
        }
        assert!(raw.rest.is_empty());
    }
    // Nothing is carried out after an answer that says that the connection closes.
    let before = ann.list().await.len();
    let mut raw = Raw::open(&server);
    raw.send([post(&ann, "Connection: close\r\n"), post(&ann, "")].concat().as_bytes());
    assert!(raw.answer(true).unwrap().closes());
    assert!(raw.answer(true).is_none());
    assert_eq!(ann.list().await.len(), before + 1);
    // A body that is wrong has one answer, which says that the connection closes.
    for body in [
        "x\r\n",
        "5\r\nhello!",
        "12\n",
        "12\r\n{\"title\":\"framed\"}0\r\n\r\n",
        "1\r\n{\r\n0\r\n X: y\r\n\r\n",
    ] {
        for token in [&ann.token, "x"] {
            let who = User::new(&server, "ann", token.to_owned());
            let mut raw = Raw::open(&server);
            let head = head(&who, "POST /api/me/tasks HTTP/1.1", "Transfer-Encoding: chunked\r\n");
            raw.send(format!("{head}\r\n{body}{}", post(&ann, "")).as_bytes());
            let answer = raw.answer(true).unwrap_or_else(|| panic!("{body:?} is not answered"));
            assert!((400..500).contains(&answer.status) && answer.closes(), "{body:?}: {answer:?}");
            assert!(answer.body.contains("request_id"), "{body:?}: {answer:?}");
            assert!(raw.answer(true).is_none() && raw.rest.is_empty(), "{body:?}");
        }
    }
    assert_eq!(ann.list().await.len(), before + 1);
}
