//! The responses of the operations, and their errors.

use std::sync::atomic::Ordering;

use actix_web::test::init_service;
use serde_json::json;
use tasklane::http;

use crate::harness::{alice, api, list_tag, request, send, tag};

#[actix_web::test]
async fn a_task_is_created_read_changed_completed_and_deleted() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let created = send(&app, alice("POST", "/api/me/tasks").set_json(json!({"title": " Milk "}))).await;
    assert_eq!(created.status, 201);
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/me/tasks/{id}");
    assert_eq!(created.header("location"), path);
    assert_eq!((created.header("etag"), created.header("x-tasklane-seq")), (&*tag(1), "1"));
    assert_eq!(created.header("content-type"), "application/json");
    assert_eq!(created.header("cache-control"), "private, no-cache");
    created.has_common_headers();

    let read = send(&app, alice("GET", &format!("/api/alice/tasks/{id}"))).await;
    assert_eq!((read.status, &read.body), (200, &created.body));
    let changed = send(&app, alice("PUT", &path).set_json(json!({"description": "2 l"}))).await;
    assert_eq!((changed.status, changed.header("etag")), (200, &*tag(2)));
    assert_eq!(changed.json()["description"], "2 l");
    let ticked = send(&app, alice("PATCH", &format!("{path}/complete"))).await;
    assert_eq!((ticked.status, &ticked.json()["completed"]), (200, &json!(true)));
    let set = alice("PATCH", &format!("{path}/complete")).set_json(json!({"completed": true}));
    assert_eq!(send(&app, set).await.json()["version"], 4);
    let deleted = send(&app, alice("DELETE", &path)).await;
    assert_eq!((deleted.status, deleted.header("x-tasklane-seq"), deleted.body.len()), (204, "5", 0));
    let gone = send(&app, alice("GET", &path)).await;
    gone.is_error(404, "NOT_FOUND");
    assert_eq!(gone.header("x-tasklane-seq"), "5");
}

#[actix_web::test]
async fn a_list_is_counted_and_limited_and_304_when_unchanged() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let empty = send(&app, alice("GET", "/api/me/tasks")).await;
    assert_eq!(
        (empty.json(), empty.header("etag")),
        (json!({"tasks": [], "count": 0, "total": 0, "next_cursor": null}), &*list_tag(0))
    );
    for title in ["a", "b", "c"] {
        let created = send(&app, alice("POST", "/api/me/tasks/").set_json(json!({"title": title}))).await;
        assert!(created.header("location").starts_with("/api/me/tasks/0"));
    }
    let all = send(&app, alice("GET", "/api/me/tasks?limit=2")).await;
    let titles: Vec<_> =
        all.json()["tasks"].as_array().unwrap().iter().map(|task| task["title"].clone()).collect();
    assert_eq!((titles, &all.json()["count"]), (vec![json!("c"), json!("b")], &json!(2)));
    send(&app, alice("GET", "/api/me/tasks?limit=0")).await.is_error(422, "VALIDATION_ERROR");
    let unchanged =
        alice("GET", "/api/me/tasks").insert_header(("if-none-match", format!("\"1\", {}", list_tag(3))));
    let unchanged = send(&app, unchanged).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!((unchanged.header("etag"), unchanged.header("x-tasklane-seq")), (&*list_tag(3), "3"));
    assert_eq!(unchanged.header("cache-control"), "private, no-cache");
    let changed = alice("GET", "/api/me/tasks").insert_header(("if-none-match", list_tag(2)));
    assert_eq!(send(&app, changed).await.json()["count"], 3);
    assert_eq!(send(&app, alice("HEAD", "/api/me/tasks")).await.status, 200);
}

#[actix_web::test]
async fn a_repeated_create_returns_the_stored_task_and_another_one_with_its_id_is_refused() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let body = json!({"id": "6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77", "title": "a"});
    let first = send(&app, alice("POST", "/api/me/tasks").set_json(&body)).await;
    let again = send(&app, alice("POST", "/api/me/tasks").set_json(&body)).await;
    assert_eq!((first.status, again.status, again.header("location")), (201, 200, ""));
    assert_eq!(first.body, again.body);
    let other = json!({"id": body["id"], "title": "b"});
    let conflict = send(&app, alice("POST", "/api/me/tasks").set_json(other)).await;
    conflict.is_error(409, "CONFLICT");
    assert_eq!(conflict.header("x-tasklane-seq"), "1");
}

#[actix_web::test]
async fn without_a_valid_token_for_the_paths_user_it_is_401_whatever_else_is_wrong() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    for (method, path) in [
        ("GET", "/api/alice/tasks?limit=x"),
        ("POST", "/api/alice/tasks"),
        ("PUT", "/api/alice/tasks/no-uuid"),
    ] {
        let refused = send(&app, request(method, path).set_payload(vec![b'x'; 70_000])).await;
        refused.is_error(401, "UNAUTHORIZED");
        assert_eq!(refused.json()["detail"], "Missing authentication token");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        assert_eq!(refused.header("x-tasklane-seq"), "");
        let refused =
            send(&app, request(method, path).insert_header(("authorization", "Bearer a.b.c"))).await;
        refused.is_error(401, "UNAUTHORIZED");
        assert_eq!(refused.json()["detail"], "Invalid token");
    }
    for (method, path) in [("GET", "/api/bob/tasks"), ("POST", "/api/bob/tasks"), ("GET", "/api/Alice/test")]
    {
        // Twice: the second time the token's verification is cached.
        for _ in 0..2 {
            let refused = send(&app, alice(method, path)).await;
            refused.is_error(401, "UNAUTHORIZED");
            assert_eq!(refused.json()["detail"], "Unauthorized access");
        }
    }
}

#[actix_web::test]
async fn every_error_has_the_json_body_of_the_contract() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    send(&app, request("GET", "/nowhere")).await.is_error(404, "NOT_FOUND");
    send(&app, alice("GET", "/api/me/nowhere")).await.is_error(404, "NOT_FOUND");
    send(&app, alice("GET", "/api/me/tasks/42")).await.is_error(404, "NOT_FOUND");
    let refused = send(&app, alice("DELETE", "/api/me/tasks")).await;
    refused.is_error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(refused.header("allow"), "GET, HEAD, POST");
    let refused = send(&app, request("POST", "/health")).await;
    refused.is_error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(refused.header("allow"), "GET, HEAD");
    let text = alice("POST", "/api/me/tasks").insert_header(("content-type", "text/plain")).set_payload("{}");
    send(&app, text).await.is_error(415, "UNSUPPORTED_MEDIA_TYPE");
    let large = alice("POST", "/api/me/tasks").set_payload(vec![b' '; 65_537]);
    let large = send(&app, large).await;
    large.is_error(413, "PAYLOAD_TOO_LARGE");
    let wrong = alice("POST", "/api/me/tasks").set_payload(r#"{"title":7,"completed":"x"}"#);
    let wrong = send(&app, wrong).await;
    wrong.is_error(422, "VALIDATION_ERROR");
    let details = json!([
        {"field": "title", "message": "must be a string"},
        {"field": "completed", "message": "must be true or false"},
    ]);
    assert_eq!(wrong.json()["error"]["details"], details);
    let text = alice("PATCH", "/api/me/tasks/6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77/complete")
        .insert_header(("content-type", "text/plain"));
    send(&app, text.set_payload("{\"completed\":true}")).await.is_error(415, "UNSUPPORTED_MEDIA_TYPE");
    let empty =
        alice("PATCH", "/api/me/tasks/6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77/complete").set_payload("{}");
    send(&app, empty).await.is_error(422, "VALIDATION_ERROR");
    let problem = alice("GET", "/api/me/tasks/42")
        .insert_header(("accept", "application/json, application/problem+json;q=0.5"));
    let problem = send(&app, problem).await;
    problem.is_error(404, "NOT_FOUND");
    assert_eq!(problem.header("content-type"), "application/problem+json");
}

#[actix_web::test]
async fn a_known_users_error_has_the_seq_it_is_true_at() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    send(&app, alice("POST", "/api/me/tasks").set_json(json!({"title": "a"}))).await;
    for (method, path) in [
        ("POST", "/api/me/tasks"),
        ("GET", "/api/me/tasks/42"),
        ("GET", "/api/me/test"),
        ("GET", "/api/me/nowhere"),
        ("PATCH", "/api/me/tasks"),
        ("DELETE", "/api/me/tasks/6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77"),
    ] {
        let answer = send(&app, alice(method, path)).await;
        assert_eq!(answer.header("x-tasklane-seq"), "1", "{method} {path} {}", answer.status);
    }
}

#[actix_web::test]
async fn a_store_that_is_down_is_503_with_retry_after_and_without_its_message() {
    let (api, store) = api();
    let app = init_service(http::app(&api)).await;
    send(&app, request("GET", "/ready")).await.has_common_headers();
    store.down.store(true, Ordering::Relaxed);
    for request in [
        alice("GET", "/api/me/tasks"),
        alice("POST", "/api/me/tasks").set_json(json!({"title": "a"})),
        request("GET", "/ready"),
    ] {
        let answer = send(&app, request).await;
        answer.is_error(503, "STORE_UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), "2");
        assert!(!String::from_utf8_lossy(&answer.body).contains("hunter2"));
    }
    assert_eq!(send(&app, request("GET", "/health")).await.json()["status"], "healthy");
}
