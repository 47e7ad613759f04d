//! Input no client should send: the answer is below 500 or the connection closes, and the server continues.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use crate::support::{Server, Store, id, on_both_stores, raw, send};

on_both_stores!(
    bytes_that_are_not_a_request_do_no_harm,
    odd_paths_and_queries_give_no_500,
    odd_headers_give_no_500,
    odd_json_gives_no_500,
    deeply_nested_json_does_no_harm,
    a_duplicate_field_gives_no_500,
    a_user_id_of_any_length_gives_no_500,
);

async fn bytes_that_are_not_a_request_do_no_harm(store: Store) {
    let server = Server::start(&store);
    let head = format!(
        "GET /api/ann/tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: {}\r\n\r\n",
        "y".repeat(1 << 20)
    );
    let many = format!("GET /health HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(2000));
    let requests: [&[u8]; 9] = [
        b"\r\n\r\ngarbage\r\n\r\n",
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost x\r\n\r\n",
        b"POST /api/ann/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\nConnection: close\r\n\r\n",
        b"POST /api/ann/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nxyz",
        head.as_bytes(),
        many.as_bytes(),
    ];
    for bytes in requests {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        let answer = raw::exchange(server.address(), bytes).await;
        let status = raw::status(&answer);
        assert!(status.is_none_or(|status| (400..500).contains(&status)), "{shown}: {answer}");
        server.get("/health").await.expect(200);
    }
}

async fn odd_paths_and_queries_give_no_500(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let paths = [
        "/api/ann/tasks/%",
        "/api/ann/tasks/%0",
        "/api/ann/tasks/%zz",
        "/api/ann/tasks/%00",
        "/api/ann/tasks/%ff%fe",
        "/api/%/tasks",
        "/api/%zz/tasks",
        "/api/%ff/tasks",
        "/api//tasks",
        "//api/ann/tasks",
        "/api/ann//tasks",
        "/api/ann/tasks?%",
        "/api/ann/tasks?limit=%ff",
        "/api/ann/tasks?limit",
        "/api/ann/tasks?=&=",
        "/%",
        "/%ff",
        "/api/ann/tasks/..%2f..%2fetc%2fpasswd",
        "/api/ann/tasks/%2e%2e/%2e%2e",
        "/docs/..%2f..%2fCargo.toml",
    ];
    for path in paths {
        for method in ["GET", "POST", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "PROPFIND"] {
            // On a raw socket, because a client's URL parser would correct some of these.
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n",
                ann.token
            );
            let answer = raw::exchange(server.address(), request).await;
            let status = raw::status(&answer).unwrap_or_else(|| panic!("{method} {path}: no answer"));
            assert!(status < 500, "{method} {path}: {answer}");
            if status >= 400 && method != "HEAD" {
                assert!(raw::body(&answer).contains("\"request_id\""), "{method} {path}: {answer}");
            }
        }
    }
    assert!(ann.list().await.is_empty());
}

async fn odd_headers_give_no_500(store: Store) {
    let server = Server::start(&store);
    let token = server.user("ann").token;
    let cases: [(&str, &[u8]); 12] = [
        ("X-Request-Id", b""),
        ("X-Request-Id", b"\xff\xfe"),
        ("X-Request-Id", b"a b\t\"c\"; <script>"),
        ("X-Request-Id", &[b'x'; 5000]),
        ("Accept", b"\xff"),
        ("Accept", b";;;,,,q=x"),
        ("Origin", b"\xff"),
        ("Origin", b"null"),
        ("Content-Type", b"\xff"),
        ("Content-Type", b";;"),
        ("If-None-Match", b"W/"),
        ("If-Match", b"\"\"\""),
    ];
    for (name, value) in cases {
        for path in ["/api/ann/tasks", "/api/ann/tasks/none", "/nothing", "/health"] {
            let value = reqwest::header::HeaderValue::from_bytes(value).unwrap();
            let request = server.request(Method::GET, path).bearer_auth(&token).header(name, value);
            let answer = send(request).await;
            assert!(answer.status < 500, "{name} on {path}: {}", answer.text());
            let id = answer.header("x-request-id").unwrap_or_else(|| panic!("{name} on {path}: no id"));
            assert!(!id.is_empty());
        }
    }
}

async fn odd_json_gives_no_500(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let path = format!("/tasks/{}", id(&task));
    let values = [
        "1e999",
        "-0",
        "123456789012345678901234567890",
        "1.7976931348623157e309",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "{}",
        "[[]]",
        "{\"$gt\":\"\"}",
        "\"\\u202e\"",
        "false",
        "[null]",
    ];
    for field in ["title", "description", "completed", "id", "version", "user_id", "__proto__", ""] {
        for value in values {
            let body = format!("{{\"{field}\":{value}}}");
            for (method, path) in
                [(Method::POST, "/tasks"), (Method::PUT, &path), (Method::PATCH, &format!("{path}/complete"))]
            {
                let request = ann.request(method.clone(), path).header(CONTENT_TYPE, "application/json");
                let answer = send(request.body(body.clone())).await;
                assert!(answer.status < 500, "{method} {body}: {}", answer.text());
                if answer.status >= 400 {
                    answer.expect_error(422, "VALIDATION_ERROR");
                }
            }
        }
    }
}

async fn deeply_nested_json_does_no_harm(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [100, 1000, 30_000 / open.len()] {
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            for body in [
                deep.clone(),
                format!("{{\"title\":\"a\",\"deep\":{deep}}}"),
                format!("{{\"title\":{deep}}}"),
            ] {
                let request = ann.request(Method::POST, "/tasks").header(CONTENT_TYPE, "application/json");
                let answer = send(request.body(body)).await;
                answer.expect_error(422, "VALIDATION_ERROR");
            }
        }
    }
    server.get("/health").await.expect(200);
}

async fn a_duplicate_field_gives_no_500(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let body = r#"{"title":"a","title":"b","extra":1,"extra":2}"#;
    let request = ann.request(Method::POST, "/tasks").header(CONTENT_TYPE, "application/json");
    let answer = send(request.body(body)).await;
    match answer.status {
        201 => assert_eq!(answer.json()["title"], "b", "the last one counts"),
        _ => drop(answer.expect_error(422, "VALIDATION_ERROR")),
    }
}

async fn a_user_id_of_any_length_gives_no_500(store: Store) {
    let server = Server::start(&store);
    for length in [1, 128, 255, 256, 1000, 3000] {
        for character in ["x", "ñ"] {
            let user = server.user(&character.repeat(length));
            let answer = user.post(&json!({"title": "a"})).await;
            if answer.status == 201 {
                assert_eq!(user.list().await.len(), 1, "{length}");
            } else {
                assert!((400..500).contains(&answer.status), "{length}: {}", answer.text());
            }
            if length <= 60 {
                assert_eq!(answer.status, 201, "{length}: {}", answer.text());
            }
        }
    }
}
