//! Every error has the same form, wherever it is raised.

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::support::{Answer, Server, Store, id, on_both_stores, raw, send};

on_both_stores!(
    an_unknown_route_gives_404,
    a_wrong_method_gives_405_and_names_the_right_ones,
    a_body_that_is_too_large_gives_413,
    a_body_that_is_not_json_gives_422,
    json_that_is_not_an_object_gives_422,
    another_media_type_gives_415,
    problem_json_is_given_to_those_who_ask,
    the_request_id_is_echoed_or_made,
    a_failed_requests_id_is_found_in_the_log,
);

async fn an_unknown_route_gives_404(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for path in ["/nothing", "/healthy", "/api", "/tasks"] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let answer = send(server.request(method.clone(), path).bearer_auth(&ann.token)).await;
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
            let error = answer.expect_error(404, "NOT_FOUND").json();
            assert_eq!(error["title"], "Not Found");
        }
    }
    for path in ["/nothing", "/tasks/x/y", "/tasks/x/complete/y"] {
        ann.get(path).await.expect_error(404, "NOT_FOUND");
    }
    // Outside /api no user is identified.
    server.get("/nothing").await.expect_error(404, "NOT_FOUND");
}

async fn a_wrong_method_gives_405_and_names_the_right_ones(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let one = format!("/tasks/{}", id(&task));
    let complete = format!("{one}/complete");
    let cases = [
        (Method::PUT, "/tasks", vec!["GET", "POST"]),
        (Method::PATCH, "/tasks", vec!["GET", "POST"]),
        (Method::DELETE, "/tasks", vec!["GET", "POST"]),
        (Method::POST, &one, vec!["GET", "PUT", "PATCH", "DELETE"]),
        (Method::GET, &complete, vec!["PATCH"]),
        (Method::POST, &complete, vec!["PATCH"]),
        (Method::DELETE, &complete, vec!["PATCH"]),
        (Method::POST, "/test", vec!["GET"]),
    ];
    for (method, path, allowed) in cases {
        let answer = ann.call(method.clone(), path, None).await;
        assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text());
        let answer = answer.expect_error(405, "METHOD_NOT_ALLOWED");
        // RFC 9110, section 15.5.6: the answer must say what is allowed.
        let allow = answer.header("allow").unwrap_or_else(|| panic!("{method} {path}: no Allow"));
        for method in allowed {
            assert!(
                allow.split(',').any(|name| name.trim() == method),
                "{path} allows {allow}, not {method}"
            );
        }
    }
    for path in ["/health", "/ready", "/openapi.json", "/metrics"] {
        let answer = send(server.request(Method::POST, path)).await;
        answer.expect_error(405, "METHOD_NOT_ALLOWED");
    }
    assert_eq!(ann.list().await, [task]);
}

async fn a_body_that_is_too_large_gives_413(store: Store) {
    let server = Server::with(&store, &[("MAX_BODY_BYTES", "1024")]);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let large = json!({"title": "a", "padding": "x".repeat(1024), "completed": true});
    let path = format!("/tasks/{}", id(&task));
    for (method, path) in [
        (Method::POST, "/tasks"),
        (Method::PUT, &path),
        (Method::PATCH, &path),
        (Method::PATCH, &format!("{path}/complete")),
    ] {
        let answer = ann.call(method, path, Some(&large)).await;
        answer.expect_error(413, "PAYLOAD_TOO_LARGE");
    }
    // A chunked body does not announce its size.
    let chunk = format!("{:x}\r\n{}\r\n", 500, "x".repeat(500)).repeat(4);
    let request = format!(
        "POST /api/ann/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{chunk}0\r\n\r\n",
        ann.token
    );
    let answer = raw::exchange(server.address(), request).await;
    assert_eq!(raw::status(&answer), Some(413), "{answer}");
    assert!(answer.contains("PAYLOAD_TOO_LARGE"), "{answer}");
    // An announced length is refused before any byte of the body arrives.
    let request = format!(
        "POST /api/ann/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 10000000000\r\nConnection: close\r\n\r\n",
        ann.token
    );
    let answer = raw::exchange(server.address(), request).await;
    assert_eq!(raw::status(&answer), Some(413), "{answer}");
    assert_eq!(ann.list().await, [task]);
}

async fn a_body_that_is_not_json_gives_422(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let path = format!("/tasks/{}", id(&task));
    let bodies: [&[u8]; 10] = [
        b"{",
        b"title=a",
        b"{\"title\":\"a\",}",
        b"{'title':'a'}",
        b"{\"title\":\"a\"} {}",
        b"\xff\xfe",
        b"{\"title\":\"\xc3\x28\"}",
        b"{\"title\":NaN}",
        b"\xef\xbb\xbf{\"title\"",
        b"nul",
    ];
    for body in bodies {
        for (method, path) in [
            (Method::POST, "/tasks"),
            (Method::PUT, &path),
            (Method::PATCH, &path),
            (Method::PATCH, &format!("{path}/complete")),
        ] {
            let request = ann.request(method.clone(), path).header(CONTENT_TYPE, "application/json");
            let answer = send(request.body(body.to_vec())).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]);
            assert_eq!(answer.status, 422, "{method} {shown}: {}", answer.text());
            answer.expect_error(422, "VALIDATION_ERROR");
        }
    }
    let empty = ann.request(Method::POST, "/tasks").header(CONTENT_TYPE, "application/json");
    send(empty).await.expect_error(422, "VALIDATION_ERROR");
    assert_eq!(ann.list().await, [task]);
}

async fn json_that_is_not_an_object_gives_422(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for body in [json!(null), json!([]), json!([{"title": "a"}]), json!("title"), json!(7), json!(true)] {
        let answer = ann.post(&body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        answer.expect_error(422, "VALIDATION_ERROR");
    }
    assert!(ann.list().await.is_empty());
}

async fn another_media_type_gives_415(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let path = format!("/tasks/{}", id(&task));
    for kind in [
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "image/png",
    ] {
        for (method, path) in [(Method::POST, "/tasks"), (Method::PUT, &path), (Method::PATCH, &path)] {
            let request = ann.request(method, path).header(CONTENT_TYPE, kind).body(r#"{"title":"b"}"#);
            send(request).await.expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
        }
    }
    assert_eq!(ann.list().await, [task]);
}

async fn problem_json_is_given_to_those_who_ask(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let ask = |path: &'static str, accept: &'static str| {
        send(ann.request(Method::GET, path).header(ACCEPT, accept))
    };
    let kind = |answer: &Answer| answer.header("content-type").unwrap().to_owned();
    for path in ["/nothing", "/tasks/none", "/tasks?limit=none"] {
        for accept in [
            "application/problem+json",
            "text/html, application/problem+json;q=0.9",
            "Application/Problem+JSON",
        ] {
            assert_eq!(kind(&ask(path, accept).await), "application/problem+json", "{path} {accept}");
        }
        for accept in ["*/*", "application/json", "text/html"] {
            assert_eq!(kind(&ask(path, accept).await), "application/json", "{path} {accept}");
        }
    }
    let problem: Value = ask("/tasks/none", "application/problem+json").await.expect_no_task().json();
    assert_eq!((&problem["type"], &problem["status"]), (&json!("about:blank"), &json!(404)));
    // Only errors are problem documents.
    assert_eq!(kind(&ask("/tasks", "application/problem+json").await.expect(200)), "application/json");
}

async fn the_request_id_is_echoed_or_made(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let with = |path: &'static str, given: &'static str| {
        send(ann.request(Method::GET, path).header("X-Request-Id", given))
    };
    for given in ["7", "0199b7a6-5b8e-7c3e-8f63-0d3f9a6f8b55", "web_client.42-Z"] {
        assert_eq!(with("/tasks", given).await.expect(200).header("x-request-id"), Some(given));
        let error = with("/tasks/none", given).await.expect_no_task();
        assert_eq!(error.json()["request_id"], given);
    }
    let mut made = std::collections::HashSet::new();
    for path in ["/health", "/api/ann/tasks", "/nothing", "/ready", "/openapi.json"] {
        let answer = server.get(path).await;
        let id = answer.header("x-request-id").unwrap_or_else(|| panic!("{path} has no id: {answer:?}"));
        assert!(!id.is_empty() && made.insert(id.to_owned()), "{id} was used before");
    }
}

async fn a_failed_requests_id_is_found_in_the_log(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let failures = [
        ann.get("/tasks/none").await.expect_no_task(),
        ann.post(&json!({"title": ""})).await.expect_error(422, "VALIDATION_ERROR"),
        server.get("/api/ann/tasks").await.expect_error(401, "UNAUTHORIZED"),
        server.get("/nothing").await.expect_error(404, "NOT_FOUND"),
        ann.call(Method::DELETE, "/tasks", None).await.expect_error(405, "METHOD_NOT_ALLOWED"),
    ];
    for answer in failures {
        server.log_line(&[answer.header("x-request-id").unwrap(), &answer.status.to_string()]);
    }
}
