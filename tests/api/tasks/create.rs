//! Creating a task: its exact form, its defaults, and what a client cannot set.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Server, Store, id, keys, on_both_stores, send, timestamp};

on_both_stores!(
    a_new_task_has_exactly_the_contracts_form,
    the_location_of_a_new_task_is_where_it_can_be_read,
    what_is_left_out_takes_its_default,
    completed_and_description_can_be_given,
    unknown_fields_are_ignored_and_the_servers_own_cannot_be_set,
    a_wrong_type_is_refused_and_named,
    every_bad_field_is_listed,
    a_refused_create_makes_nothing,
    the_media_type_may_carry_a_charset,
    a_body_up_to_the_limit_is_accepted,
);

/// The fields of a task.
const FIELDS: [&str; 13] = [
    "completed",
    "completed_at",
    "created_at",
    "description",
    "due_date",
    "id",
    "position",
    "priority",
    "tags",
    "title",
    "updated_at",
    "user_id",
    "version",
];

async fn a_new_task_has_exactly_the_contracts_form(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let answer = ann.post(&json!({"title": "Milk", "description": "2 l"})).await.expect(201);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let task = answer.json();
    assert_eq!(keys(&task), FIELDS);
    assert_eq!(Uuid::parse_str(id(&task)).unwrap().to_string(), id(&task), "the canonical form");
    assert_eq!((&task["user_id"], &task["title"]), (&json!("ann"), &json!("Milk")));
    assert_eq!((&task["description"], &task["completed"]), (&json!("2 l"), &json!(false)));
    assert_eq!(task["version"], 1);
    assert_eq!(timestamp(&task["created_at"]), timestamp(&task["updated_at"]));
    // Every way to read it gives the same task.
    assert_eq!(ann.task(id(&task)).await.expect(200).json(), task);
    assert_eq!(ann.list().await, std::slice::from_ref(&task));
    let completed = ann.complete(id(&task), None).await.expect(200).json();
    assert_eq!(keys(&completed), FIELDS);
    let updated = ann.put(id(&task), &json!({"title": "Milk!"})).await.expect(200).json();
    assert_eq!(keys(&updated), FIELDS);
    assert_eq!(ann.task(id(&task)).await.expect(200).json(), updated);
}

async fn the_location_of_a_new_task_is_where_it_can_be_read(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let answer = ann.post(&json!({"title": "Milk"})).await.expect(201);
    let location = answer.header("location").expect("no Location");
    assert_eq!(location, format!("/api/ann/tasks/{}", id(&answer.json())));
    let read = send(server.request(Method::GET, location).bearer_auth(&ann.token)).await.expect(200);
    assert_eq!(read.body, answer.body);
}

async fn what_is_left_out_takes_its_default(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("only a title").await;
    assert_eq!((&task["description"], &task["completed"]), (&Value::Null, &json!(false)));
    let task = ann.post(&json!({"title": "null", "description": null})).await.expect(201).json();
    assert_eq!(task["description"], Value::Null);
}

async fn completed_and_description_can_be_given(store: Store) {
    let server = Server::start(&store);
    let body = json!({"title": "done", "description": "", "completed": true});
    let task = server.user("ann").post(&body).await.expect(201).json();
    assert_eq!((&task["description"], &task["completed"]), (&json!(""), &json!(true)));
}

async fn unknown_fields_are_ignored_and_the_servers_own_cannot_be_set(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let body = json!({
        "title": "mine", "colour": {"red": [1, 2]}, "user_id": "bob", "version": 99,
        "created_at": "2001-01-01T00:00:00Z", "updated_at": "2001-01-01T00:00:00Z",
    });
    let task = ann.post(&body).await.expect(201).json();
    assert_eq!(keys(&task), FIELDS);
    assert_eq!((&task["user_id"], &task["version"]), (&json!("ann"), &json!(1)));
    assert!(task["created_at"].as_str().unwrap() > "2020");
    assert_eq!(task["created_at"], task["updated_at"]);
    assert!(server.user("bob").list().await.is_empty());
    // Not even their type is checked.
    let body = json!({"title": "mine", "user_id": 7, "version": "x", "created_at": null, "updated_at": []});
    ann.post(&body).await.expect(201);
}

async fn a_wrong_type_is_refused_and_named(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let cases = [
        ("title", json!({})),
        ("title", json!({"title": null})),
        ("title", json!({"title": 7})),
        ("title", json!({"title": ["Milk"]})),
        ("title", json!({"title": {"text": "Milk"}})),
        ("title", json!({"title": true})),
        ("description", json!({"title": "Milk", "description": 7})),
        ("description", json!({"title": "Milk", "description": ["2 l"]})),
        ("description", json!({"title": "Milk", "description": false})),
        ("completed", json!({"title": "Milk", "completed": null})),
        ("completed", json!({"title": "Milk", "completed": "true"})),
        ("completed", json!({"title": "Milk", "completed": 1})),
        ("completed", json!({"title": "Milk", "completed": []})),
        ("id", json!({"title": "Milk", "id": 7})),
        ("id", json!({"title": "Milk", "id": "7"})),
    ];
    for (field, body) in cases {
        let answer = ann.post(&body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        assert_eq!(answer.expect_error(422, "VALIDATION_ERROR").bad_fields(), [field], "{body}");
    }
    assert!(ann.list().await.is_empty());
}

async fn every_bad_field_is_listed(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let long = "x".repeat(2001);
    let cases = [
        (json!({"title": "", "description": long, "completed": "no", "id": "none"}), true),
        (json!({"title": 1, "description": 2, "completed": 3, "id": 4}), true),
        (json!({"title": null, "description": "\0", "completed": null, "id": ""}), true),
        (json!({"description": long, "completed": [], "id": {}}), true),
        (json!({"title": "fine", "description": 2, "completed": 3, "id": 4}), false),
    ];
    for (body, title_too) in cases {
        let fields = ann.post(&body).await.expect_error(422, "VALIDATION_ERROR").bad_fields();
        let all = ["completed", "description", "id", "title"];
        assert_eq!(fields, if title_too { &all[..] } else { &all[..3] }, "{body}");
    }
}

async fn a_refused_create_makes_nothing(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    ann.post(&json!({"title": ""})).await.expect_error(422, "VALIDATION_ERROR");
    ann.post(&json!(["Milk"])).await.expect_error(422, "VALIDATION_ERROR");
    let list = ann.get("/tasks").await.expect(200);
    assert_eq!((list.seq(), &list.json()["count"]), (0, &json!(0)));
    assert_eq!(ann.create("the first").await["version"], 1);
}

async fn the_media_type_may_carry_a_charset(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for kind in ["application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8"] {
        let request = ann.request(Method::POST, "/tasks").header(CONTENT_TYPE, kind);
        let task = send(request.body(r#"{"title":"Käse 🧀"}"#)).await.expect(201).json();
        assert_eq!(task["title"], "Käse 🧀");
    }
}

async fn a_body_up_to_the_limit_is_accepted(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let body_of = |size: usize| {
        let frame = r#"{"title":"large","padding":""}"#.len();
        format!(r#"{{"title":"large","padding":"{}"}}"#, "x".repeat(size - frame))
    };
    let limit = 64 * 1024;
    for (size, status) in [(limit - 1, 201), (limit, 201), (limit + 1, 413)] {
        let request = ann.request(Method::POST, "/tasks").header(CONTENT_TYPE, "application/json");
        let answer = send(request.body(body_of(size))).await;
        assert_eq!(answer.status, status, "{size} bytes: {}", answer.text());
    }
}
