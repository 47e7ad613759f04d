//! Writes with conditions, with idempotency keys, and in batches.

use actix_web::test::init_service;
use serde_json::{Value, json};
use tasklane::http;

use crate::harness::{alice, api, bearer, request, send, tag};

const NOBODY: &str = "6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77";

#[actix_web::test]
async fn optional_fields_are_stored_changed_cleared_and_returned_as_given() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let body = json!({"title": "a", "priority": "high", "tags": [" x ", "y", "x"], "position": "a0",
        "due_date": "2026-03-01T18:00:00+01:00", "completed": true});
    let made = send(&app, alice("POST", "/api/me/tasks").set_json(body)).await.json();
    assert_eq!((&made["priority"], &made["tags"]), (&json!("high"), &json!(["x", "y"])));
    assert_eq!(made["due_date"], "2026-03-01T18:00:00+01:00");
    assert_eq!((&made["position"], &made["completed_at"]), (&json!("a0"), &made["created_at"]));
    let path = format!("/api/me/tasks/{}", made["id"].as_str().unwrap());
    let clear = json!({"priority": null, "tags": null, "due_date": null, "position": null});
    let cleared = send(&app, alice("PATCH", &path).set_json(clear)).await.json();
    for (field, value) in [("priority", json!(null)), ("tags", json!([])), ("due_date", json!(null))] {
        assert_eq!(cleared[field], value, "{field}");
    }
    assert_eq!((&cleared["position"], &cleared["completed_at"]), (&json!(null), &made["completed_at"]));
    let open = send(&app, alice("PATCH", &format!("{path}/complete"))).await.json();
    assert_eq!((&open["completed"], &open["completed_at"]), (&json!(false), &json!(null)));
    let plain = send(&app, alice("POST", "/api/me/tasks").set_json(json!({"title": "b"}))).await.json();
    assert_eq!(plain["tags"], json!([]));
    for field in ["priority", "due_date", "completed_at", "position"] {
        assert_eq!(plain.get(field), Some(&json!(null)), "{field}");
    }
}

#[actix_web::test]
async fn a_write_whose_condition_fails_is_412_with_the_task_as_it_is_and_changes_nothing() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let made = send(&app, alice("POST", "/api/me/tasks").set_json(json!({"title": "a"}))).await.json();
    let path = format!("/api/me/tasks/{}", made["id"].as_str().unwrap());
    let complete = format!("{path}/complete");
    let update = json!({"title": "b"});
    for tag in ["\"2\"", "W/\"1\"", "1", "", "\"0\", W/\"1\", x"] {
        for (method, path) in [("PUT", &path), ("PATCH", &path), ("PATCH", &complete), ("DELETE", &path)] {
            let write = alice(method, path).insert_header(("if-match", tag));
            let write = if path == &complete || method == "DELETE" { write } else { write.set_json(&update) };
            let refused = send(&app, write).await;
            refused.is_error(412, "PRECONDITION_FAILED");
            assert_eq!(refused.json()["error"]["details"], made, "{method} {tag}");
            assert_eq!(refused.header("x-tasklane-seq"), "1");
        }
    }
    for (seq, tag) in [(2, "\"7\", \"1\""), (3, "*"), (4, "\"3\"")] {
        let write = alice("PUT", &path).insert_header(("if-match", tag)).set_json(&update);
        assert_eq!(send(&app, write).await.json()["version"], seq, "{tag}");
    }
    let missing = alice("DELETE", &format!("/api/me/tasks/{NOBODY}")).insert_header(("if-match", "*"));
    send(&app, missing).await.is_error(404, "NOT_FOUND");
    let gone = send(&app, alice("DELETE", &path).insert_header(("if-match", "\"4\""))).await;
    assert_eq!((gone.status, gone.header("x-tasklane-seq")), (204, "5"));
}

#[actix_web::test]
async fn a_create_repeated_under_its_key_returns_the_first_response_and_creates_one_task() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let create = |path: &str, key: &str| {
        alice("POST", path).insert_header(("idempotency-key", key)).set_json(json!({"title": "a"}))
    };
    let first = send(&app, create("/api/me/tasks", "k-1")).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (201, ""));
    send(&app, alice("POST", "/api/me/tasks").set_json(json!({"title": "between"}))).await;
    // Quoted or bare, by `me` or by the id, with a slash at the end or without: the same write.
    for (path, key) in [
        ("/api/me/tasks", "k-1"),
        ("/api/me/tasks", "\"k-1\""),
        ("/api/alice/tasks", "k-1"),
        ("/api/me/tasks/", "k-1"),
    ] {
        let again = send(&app, create(path, key)).await;
        assert_eq!((again.status, &again.body), (201, &first.body), "{path}");
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!((again.header("etag"), again.header("x-tasklane-seq")), (&*tag(1), "1"));
        assert!(again.header("location").ends_with(first.json()["id"].as_str().unwrap()));
        assert!(again.header("location").starts_with(path));
    }
    assert_eq!(send(&app, alice("GET", "/api/me/tasks")).await.json()["count"], 2);
    // Another user's key with the same name is another key.
    let other = request("POST", "/api/me/tasks").insert_header(bearer("bob"));
    let other = other.insert_header(("idempotency-key", "k-1")).set_json(json!({"title": "a"}));
    assert_eq!(send(&app, other).await.header("idempotent-replayed"), "");
}

#[actix_web::test]
async fn a_key_used_for_another_request_is_422_and_writes_nothing() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let key = ("idempotency-key", "k");
    let made = alice("POST", "/api/me/tasks").insert_header(key).set_json(json!({"title": "a"}));
    let id = send(&app, made).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/me/tasks/{id}");
    for other in [
        alice("POST", "/api/me/tasks").set_json(json!({"title": "b"})),
        alice("POST", "/api/me/tasks").set_json(json!({"title": "a"})).insert_header(("if-match", "*")),
        alice("PUT", &path).set_json(json!({"title": "a"})),
        alice("DELETE", &path),
        alice("PATCH", &format!("{path}/complete")),
        alice("POST", "/api/me/batch").set_json(json!({"operations": [{"op": "delete", "id": id}]})),
        alice("POST", "/api/me/import").set_json(json!({"tasks": []})),
        alice("DELETE", "/api/me").insert_header(("x-confirm-delete", "alice")),
    ] {
        let refused = send(&app, other.insert_header(key)).await;
        refused.is_error(422, "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(refused.header("x-tasklane-seq"), "1");
    }
    let long = "x".repeat(256);
    for wrong in ["", "\"", "\"a\"b", &long] {
        let refused = alice("DELETE", &path).insert_header(("idempotency-key", wrong));
        let refused = send(&app, refused).await;
        refused.is_error(422, "VALIDATION_ERROR");
        assert_eq!(refused.json()["error"]["details"][0]["field"], "Idempotency-Key");
    }
}

#[actix_web::test]
async fn every_kind_of_write_is_carried_out_once_under_its_key() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let made = send(&app, alice("POST", "/api/me/tasks").set_json(json!({"title": "a"}))).await.json();
    let path = format!("/api/me/tasks/{}", made["id"].as_str().unwrap());
    let complete = format!("{path}/complete");
    let task = json!({"id": NOBODY, "title": "i", "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z"});
    let batch = json!({"operations": [{"op": "create", "task": {"title": "b"}}]});
    let mut seq = 1;
    for (method, path, body) in [
        ("PATCH", &*path, json!({"title": "c"})),
        ("PATCH", &*complete, Value::Null),
        ("POST", "/api/me/batch", batch),
        ("POST", "/api/me/import", json!({"tasks": [task]})),
        ("DELETE", &*path, Value::Null),
    ] {
        let write = || {
            let write = alice(method, path).insert_header(("idempotency-key", format!("{method} {path}")));
            if body.is_null() { write } else { write.set_json(&body) }
        };
        let (first, again) = (send(&app, write()).await, send(&app, write()).await);
        seq += 1;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{method} {path}");
        for header in ["etag", "x-tasklane-seq", "location"] {
            assert_eq!(again.header(header), first.header(header), "{header} of {method} {path}");
        }
        assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
        assert_eq!(first.header("x-tasklane-seq"), seq.to_string());
    }
}

#[actix_web::test]
async fn a_batch_is_carried_out_in_order_or_not_at_all() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let batch =
        |operations: Value| alice("POST", "/api/me/batch").set_json(json!({"operations": operations}));
    let done = send(
        &app,
        batch(json!([
            {"op": "create", "task": {"id": NOBODY, "title": "a"}},
            {"op": "update", "id": NOBODY, "task": {"title": "b"}, "if_match": 1},
            {"op": "complete", "id": NOBODY, "if_match": "\"2\""},
            {"op": "complete", "id": NOBODY, "completed": false, "if_match": "*"},
            {"op": "create", "task": {"title": "other"}},
            {"op": "delete", "id": NOBODY, "if_match": null},
        ])),
    )
    .await;
    assert_eq!((done.status, done.header("x-tasklane-seq")), (200, "6"));
    let done = done.json();
    let statuses: Vec<_> = done["results"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [201, 200, 200, 200, 201, 204]);
    // Each task is shown once, as it is after the batch.
    let shown: Vec<_> =
        done["results"].as_array().unwrap().iter().map(|one| one.get("task").is_some()).collect();
    assert_eq!(shown, [false, false, false, false, true, false]);
    assert_eq!((&done["results"][5].get("task"), &done["seq"]), (&None, &json!(6)));

    let task = send(&app, alice("GET", "/api/me/tasks")).await.json()["tasks"][0].clone();
    let id = task["id"].as_str().unwrap();
    let create = json!({"op": "create", "task": {"title": "never"}});
    for (operation, status, code, shown) in [
        (json!({"op": "delete", "id": NOBODY}), 404, "NOT_FOUND", Value::Null),
        (json!({"op": "delete", "id": "no-uuid"}), 404, "NOT_FOUND", Value::Null),
        (json!({"op": "create", "task": {"id": id, "title": "x"}}), 409, "CONFLICT", Value::Null),
        (json!({"op": "complete", "id": id, "if_match": 4}), 412, "PRECONDITION_FAILED", task.clone()),
        (
            json!({"op": "complete", "id": id, "if_match": "W/\"5\""}),
            412,
            "PRECONDITION_FAILED",
            task.clone(),
        ),
    ] {
        let refused = send(&app, batch(json!([create, operation]))).await;
        refused.is_error(status, code);
        assert_eq!(refused.json()["error"]["details"], json!({"operation": 1, "task": shown}));
        assert_eq!(refused.header("x-tasklane-seq"), "6");
    }
    // The response does not show what the operations before it would have done.
    let rename = json!({"op": "update", "id": id, "task": {"title": "never"}});
    let refused = send(&app, batch(json!([rename, {"op": "delete", "id": id, "if_match": 5}]))).await;
    refused.is_error(412, "PRECONDITION_FAILED");
    assert_eq!(refused.json()["error"]["details"]["task"], task);
    assert_eq!(send(&app, alice("GET", "/api/me/tasks")).await.json()["tasks"], json!([task]));
}

#[actix_web::test]
async fn every_wrong_field_of_a_batch_is_listed_with_its_operation() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let fields = async |body: Value| {
        let refused = send(&app, alice("POST", "/api/me/batch").set_json(body)).await;
        refused.is_error(422, "VALIDATION_ERROR");
        let details = refused.json()["error"]["details"].clone();
        let names =
            details.as_array().unwrap().iter().map(|fault| fault["field"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let operations = json!([
        {"op": "create", "task": {"title": 7, "tags": [""]}, "if_match": 1},
        {"op": "burn"},
        7,
        {"op": "update", "id": 7, "task": {}, "if_match": true},
        {"op": "complete", "completed": null},
        {"op": "update", "id": "no-uuid"},
        {"task": {}},
        {"op": "create", "task": []},
    ]);
    let expected = [
        "operations[0].if_match",
        "operations[0].title",
        "operations[0].tags",
        "operations[1].op",
        "operations[2]",
        "operations[3].id",
        "operations[3].if_match",
        "operations[3].task",
        "operations[4].id",
        "operations[4].completed",
        "operations[5].task",
        "operations[6].op",
        "operations[7].task",
    ];
    assert_eq!(fields(json!({"operations": operations})).await, expected);
    assert_eq!(fields(json!({})).await, ["operations"]);
    assert_eq!(fields(json!({"operations": {}})).await, ["operations"]);
    assert_eq!(fields(json!({"operations": []})).await, ["operations"]);
    let delete = json!({"op": "delete", "id": NOBODY});
    assert_eq!(fields(json!({"operations": vec![delete; 501]})).await, ["operations"]);
    assert_eq!(fields(json!([])).await, ["body"]);
}

#[actix_web::test]
async fn a_batch_may_be_larger_than_other_bodies_up_to_its_own_limit() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let create = json!({"op": "create", "task": {"title": "x", "description": "y".repeat(2000)}});
    let many = alice("POST", "/api/me/batch").set_json(json!({"operations": vec![create; 500]}));
    assert_eq!(send(&app, many).await.json()["seq"], 500);
    let large = alice("POST", "/api/me/batch").set_payload(vec![b' '; (2 << 20) + 1]);
    send(&app, large).await.is_error(413, "PAYLOAD_TOO_LARGE");
}
