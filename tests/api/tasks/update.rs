//! Changing a task: partial updates, completing, deleting.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Server, Store, User, id, on_both_stores, send, timestamp};

on_both_stores!(
    put_and_patch_change_only_what_is_given,
    a_null_description_is_cleared,
    an_update_without_a_known_field_is_refused,
    an_update_with_a_wrong_type_is_refused,
    fields_that_the_server_sets_cannot_be_changed,
    every_accepted_write_raises_version_and_updated_at,
    an_empty_body_flips_completed,
    a_body_sets_completed,
    a_body_without_completed_is_refused,
    a_deleted_task_is_gone_for_every_call,
    a_missing_task_is_not_made_by_an_update,
);

/// Both methods of a partial update.
const METHODS: [Method; 2] = [Method::PUT, Method::PATCH];

async fn update(user: &User, method: &Method, task: &Value, body: &Value) -> crate::support::Answer {
    user.call(method.clone(), &format!("/tasks/{}", id(task)), Some(body)).await
}

async fn put_and_patch_change_only_what_is_given(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for method in METHODS {
        let body = json!({"title": "a", "description": "b", "completed": true});
        let mut expected = ann.post(&body).await.expect(201).json();
        for change in [
            json!({"title": "new"}),
            json!({"description": "new too"}),
            json!({"completed": false}),
            json!({"title": "both", "completed": true}),
            json!({"title": "all", "description": "", "completed": false}),
        ] {
            let task = update(&ann, &method, &expected, &change).await.expect(200).json();
            for (field, value) in change.as_object().unwrap() {
                expected[field] = value.clone();
            }
            for raised in ["version", "updated_at"] {
                expected[raised] = task[raised].clone();
            }
            // `completed_at`: set and cleared by the server with `completed`; it stays while the task stays
            // completed.
            expected["completed_at"] = match (expected["completed"] == true, expected["completed_at"].take())
            {
                (false, _) => Value::Null,
                (true, Value::Null) => task["updated_at"].clone(),
                (true, since) => since,
            };
            assert_eq!(task, expected, "{method} {change}");
            assert_eq!(ann.task(id(&task)).await.expect(200).json(), expected);
        }
    }
}

async fn a_null_description_is_cleared(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for method in METHODS {
        let task = ann.post(&json!({"title": "a", "description": "b"})).await.expect(201).json();
        let kept = update(&ann, &method, &task, &json!({"title": "c"})).await.expect(200).json();
        assert_eq!(kept["description"], "b");
        let cleared = update(&ann, &method, &task, &json!({"description": null})).await.expect(200).json();
        assert_eq!((&cleared["description"], &cleared["title"]), (&Value::Null, &json!("c")));
        assert_eq!(ann.task(id(&task)).await.expect(200).json(), cleared);
    }
}

async fn an_update_without_a_known_field_is_refused(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    for method in METHODS {
        for body in [json!({}), json!({"colour": "red"}), json!({"user_id": "bob", "version": 9})] {
            update(&ann, &method, &task, &body).await.expect_error(422, "VALIDATION_ERROR");
        }
        let empty = ann.call(method, &format!("/tasks/{}", id(&task)), None).await;
        assert!(matches!(empty.status, 415 | 422), "an empty body: {}", empty.text());
    }
    assert_eq!(ann.list().await, [task]);
}

async fn an_update_with_a_wrong_type_is_refused(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let cases = [
        (json!({"title": null}), vec!["title"]),
        (json!({"title": ""}), vec!["title"]),
        (json!({"title": 1, "description": "fine"}), vec!["title"]),
        (json!({"completed": null}), vec!["completed"]),
        (json!({"completed": "false", "title": "fine"}), vec!["completed"]),
        (json!({"completed": 0}), vec!["completed"]),
        (json!({"description": 1}), vec!["description"]),
        (
            json!({"title": [], "description": {}, "completed": "x"}),
            vec!["completed", "description", "title"],
        ),
    ];
    for method in METHODS {
        for (body, fields) in &cases {
            let answer = update(&ann, &method, &task, body).await;
            assert_eq!(answer.expect_error(422, "VALIDATION_ERROR").bad_fields(), *fields, "{method} {body}");
        }
        for body in [json!([]), json!("text"), json!(null), json!(7)] {
            update(&ann, &method, &task, &body).await.expect_error(422, "VALIDATION_ERROR");
        }
    }
    assert_eq!(ann.list().await, [task]);
}

async fn fields_that_the_server_sets_cannot_be_changed(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    for method in METHODS {
        let body = json!({
            "title": "b", "user_id": "bob", "version": 99,
            "created_at": "2001-01-01T00:00:00Z", "updated_at": "2001-01-01T00:00:00Z",
        });
        let before = ann.seq().await;
        let updated = update(&ann, &method, &task, &body).await.expect(200).json();
        for field in ["id", "user_id", "created_at"] {
            assert_eq!(updated[field], task[field]);
        }
        assert_eq!(updated["version"], before + 1);
        assert!(timestamp(&updated["updated_at"]) > timestamp(&task["updated_at"]));
        // Nor is their type checked.
        let body = json!({"title": "b", "user_id": [], "version": null, "created_at": 1, "updated_at": {}});
        update(&ann, &method, &task, &body).await.expect(200);
    }
    assert!(server.user("bob").list().await.is_empty());
}

async fn every_accepted_write_raises_version_and_updated_at(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let mut last = ann.post(&json!({"title": "a", "description": "b"})).await.expect(201).json();
    let task = id(&last).to_owned();
    for round in 0..3 {
        let same = json!({"title": "a", "description": "b", "completed": false});
        let answers = [
            ann.put(&task, &same).await,
            ann.patch(&task, &same).await,
            ann.put(&task, &json!({"title": "a"})).await,
            ann.complete(&task, Some(false)).await,
            ann.complete(&task, Some(false)).await,
        ];
        for answer in answers {
            let next = answer.expect(200).json();
            assert_eq!(next["version"], last["version"].as_i64().unwrap() + 1, "round {round}");
            assert!(timestamp(&next["updated_at"]) > timestamp(&last["updated_at"]), "round {round}");
            for field in ["id", "title", "description", "completed", "created_at"] {
                assert_eq!(next[field], last[field]);
            }
            last = next;
        }
    }
    assert_eq!(ann.list().await, [last]);
}

async fn an_empty_body_flips_completed(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let path = format!("/tasks/{}/complete", id(&task));
    for expected in [true, false, true] {
        assert_eq!(ann.complete(id(&task), None).await.expect(200).json()["completed"], expected);
    }
    // Many clients send a media type anyway.
    let typed = ann.request(Method::PATCH, &path).header(CONTENT_TYPE, "application/json");
    assert_eq!(send(typed).await.expect(200).json()["completed"], false);
    let typed = ann.request(Method::PATCH, &path).header(CONTENT_TYPE, "application/json").body("");
    assert_eq!(send(typed).await.expect(200).json()["completed"], true);
}

async fn a_body_sets_completed(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.post(&json!({"title": "a", "description": "b"})).await.expect(201).json();
    for wanted in [true, true, false, false, true] {
        let changed = ann.complete(id(&task), Some(wanted)).await.expect(200).json();
        assert_eq!(changed["completed"], wanted);
        assert_eq!((&changed["title"], &changed["description"]), (&json!("a"), &json!("b")));
        assert_eq!(ann.task(id(&task)).await.expect(200).json(), changed);
    }
}

async fn a_body_without_completed_is_refused(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let path = format!("/tasks/{}/complete", id(&task));
    for body in [
        json!({}),
        json!({"done": true}),
        json!({"completed": null}),
        json!({"completed": "true"}),
        json!({"completed": 1}),
        json!(true),
        json!(null),
        json!([]),
    ] {
        let answer = ann.call(Method::PATCH, &path, Some(&body)).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        answer.expect_error(422, "VALIDATION_ERROR");
    }
    assert_eq!(ann.list().await, [task]);
}

async fn a_deleted_task_is_gone_for_every_call(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let (gone, stays) = (ann.create("goes").await, ann.create("stays").await);
    let answer = ann.delete(id(&gone)).await.expect(204);
    assert!(answer.body.is_empty());
    ann.task(id(&gone)).await.expect_no_task();
    ann.put(id(&gone), &json!({"title": "back"})).await.expect_no_task();
    ann.patch(id(&gone), &json!({"title": "back"})).await.expect_no_task();
    ann.complete(id(&gone), None).await.expect_no_task();
    ann.complete(id(&gone), Some(true)).await.expect_no_task();
    ann.delete(id(&gone)).await.expect_no_task();
    assert_eq!(ann.list().await, [stays]);
}

async fn a_missing_task_is_not_made_by_an_update(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let missing = Uuid::new_v4().to_string();
    ann.put(&missing, &json!({"title": "a"})).await.expect_no_task();
    ann.patch(&missing, &json!({"title": "a"})).await.expect_no_task();
    ann.complete(&missing, None).await.expect_no_task();
    ann.delete(&missing).await.expect_no_task();
    assert_eq!(ann.seq().await, 0);
    assert!(ann.list().await.is_empty());
}
