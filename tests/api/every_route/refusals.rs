//! Refusals without a valid token: they are counted against the address, whatever their kind, and fill no log.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{Answer, Kind, Server, Store, User, raw, send, tokens};

const PRODUCTION: (&str, &str) = ("ENVIRONMENT", "production");

/// Requests without a valid token, and how each is refused.
fn refused(server: &Server, kind: usize) -> Option<(u16, RequestBuilder)> {
    let list = || server.request(Method::GET, "/api/ann/tasks");
    let late = tokens::signed(&json!({"sub": "ann", "exp": tokens::now() - 3600}));
    let request = match kind {
        0 => (401, list()),
        1 => (401, list().bearer_auth(format!("{}x", tokens::of("ann")))),
        2 => (401, list().bearer_auth(late)),
        3 => (401, server.request(Method::GET, "/api/ann/events?ticket=x")),
        4 => (401, server.request(Method::POST, "/api/ann/tasks").body("{")),
        5 => (404, server.request(Method::GET, "/wp-login.php")),
        6 => (405, server.request(Method::POST, "/health")),
        7 => (404, server.request(Method::GET, "/api/ann/nothing")),
        8 => (405, server.request(Method::DELETE, "/api/tasks")),
        _ => return None,
    };
    Some(request)
}

/// How many of the log's lines contain `part`.
fn lines_with(server: &Server, part: &str) -> u64 {
    server.output().stderr().iter().filter(|line| line.contains(part)).count() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_every_kind_count_against_the_address_and_valid_tokens_are_never_affected() {
    let store = Store::new(Kind::Sqlite).await;
    for kind in 0.. {
        let server = Server::with(&store, &[("AUTH_FAILURES_PER_ADDRESS", "1:20")]);
        let Some((usual, _)) = refused(&server, kind) else { break };
        let mut limited = None;
        for number in 0..100 {
            let answer = send(refused(&server, kind).unwrap().1).await;
            if answer.status == usual {
                continue;
            }
            assert!(number >= 20, "kind {kind}: the first twenty get their usual answer: {answer:?}");
            limited = Some(answer);
            break;
        }
        let limited = limited.unwrap_or_else(|| panic!("kind {kind} is never limited"));
        let limited = limited.expect_error(429, "RATE_LIMITED");
        assert_eq!(limited.header("retry-after"), Some("1"));
        for other in ["ratelimit", "www-authenticate", "allow"] {
            assert_eq!(limited.header(other), None, "kind {kind}");
        }
        for _ in 0..30 {
            server.user("ann").get("/tasks").await.expect(200);
            server.get("/health").await.expect(200);
        }
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_request_count_against_the_address_and_are_logged() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::with(&store, &[("AUTH_FAILURES_PER_ADDRESS", "1:20")]);
    let mut limited = false;
    for _ in 0..100 {
        let answer = raw::exchange(server.address(), "GET /\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n").await;
        limited = raw::status(&answer) == Some(429);
        assert!(limited || raw::status(&answer) == Some(400), "{answer}");
        if limited {
            assert!(raw::body(&answer).contains("RATE_LIMITED"), "{answer}");
            break;
        }
    }
    assert!(limited, "they are never limited");
    server.log_line(&["route=unknown", "status=400"]);
    server.user("ann").get("/tasks").await.expect(200);
}

/// Sends many of a user's or stranger's requests, and checks that the log has few lines about them.
async fn flood(server: &Server, request: impl Fn() -> RequestBuilder) -> Vec<Answer> {
    let began = Instant::now();
    let mut answers = Vec::new();
    for _ in 0..300 {
        answers.push(send(request()).await);
    }
    let lines = lines_with(server, "\"route\":\"/api/{user_id}/tasks\"");
    let allowed = 12 + began.elapsed().as_secs();
    assert!(lines <= allowed, "{lines} lines, where {allowed} are allowed");
    assert!(lines >= 5, "{lines} lines: some must be there");
    answers
}

/// Waits for the line that says how many were left out, and returns the count.
fn left_out(server: &Server, from: &str) -> u64 {
    let line = server.log_line(&["log lines left out", from]);
    let line: Value = serde_json::from_str(&line).unwrap();
    line["count"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_refusals_takes_a_few_lines_of_the_log_and_one_with_the_count() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::with(&store, &[PRODUCTION]);
    for answer in flood(&server, || server.request(Method::GET, "/api/ann/tasks")).await {
        assert!(matches!(answer.status, 401 | 429), "{answer:?}");
    }
    assert!(left_out(&server, "address 127.0.0.1") > 0);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_refused_again_and_again_takes_a_few_lines_of_the_log_too() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::with(&store, &[PRODUCTION]);
    let trespasser = User::new(&server, "bob", tokens::of("6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77"));
    for answer in flood(&server, || trespasser.request(Method::GET, "/tasks")).await {
        // The token is valid: the address's limit is not concerned.
        answer.expect_error(401, "UNAUTHORIZED");
    }
    assert!(left_out(&server, "user 6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77") > 0);
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_out_is_said_at_the_latest_when_the_server_stops() {
    let store = Store::new(Kind::Sqlite).await;
    let mut server = Server::with(&store, &[PRODUCTION]);
    flood(&server, || server.request(Method::GET, "/api/ann/tasks")).await;
    server.terminate();
    assert!(server.wait().success());
    let told: Vec<_> =
        server.output().stderr().into_iter().filter(|line| line.contains("left out")).collect();
    let counts = told.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["count"].as_u64());
    let all = counts.map(Option::unwrap).sum::<u64>() + lines_with(&server, "\"message\":\"request\"");
    assert_eq!(all, 300, "{told:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_all_requests_are_logged_so_is_each_refusal() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::with(&store, &[PRODUCTION, ("LOG_REQUESTS", "all")]);
    for _ in 0..150 {
        server.get("/api/ann/tasks").await;
    }
    for _ in 0..100 {
        if lines_with(&server, "\"message\":\"request\"") == 150 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(lines_with(&server, "\"message\":\"request\""), 150);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_trusted_proxy_each_client_is_counted_by_its_own_address() {
    let store = Store::new(Kind::Sqlite).await;
    let ask = |server: &Server, client: &'static str| {
        send(server.request(Method::GET, "/api/ann/tasks").header("X-Forwarded-For", client))
    };
    let settings = [("AUTH_FAILURES_PER_ADDRESS", "1:20"), ("TRUSTED_PROXIES", "10.0.0.0/8, 127.0.0.1")];
    let server = Server::with(&store, &settings);
    let mut statuses = Vec::new();
    for _ in 0..60 {
        statuses.push(ask(&server, "203.0.113.9, 198.51.100.1").await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    ask(&server, "198.51.100.2").await.expect_error(401, "UNAUTHORIZED");
    server.stop();
    // Nobody else is believed.
    let server = Server::with(&store, &settings[..1]);
    let mut statuses = Vec::new();
    for client in ["198.51.100.1", "198.51.100.2", "198.51.100.3"].iter().cycle().take(60) {
        statuses.push(ask(&server, client).await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}
