//! Users are isolated: another user's task looks exactly like one that does not exist.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use uuid::Uuid;

use crate::support::{Server, Store, id, on_both_stores, send};

on_both_stores!(
    a_foreign_task_and_a_missing_one_get_the_same_bytes,
    a_foreign_task_cannot_be_changed,
    a_task_id_that_is_no_uuid_gives_404,
    everyone_lists_only_their_own,
);

/// Every call on one task, with a body where it takes one.
const CALLS: [(Method, &str, Option<&str>); 6] = [
    (Method::GET, "", None),
    (Method::PUT, "", Some(r#"{"title":"taken"}"#)),
    (Method::PATCH, "", Some(r#"{"completed":true}"#)),
    (Method::PATCH, "/complete", None),
    (Method::PATCH, "/complete", Some(r#"{"completed":true}"#)),
    (Method::DELETE, "", None),
];

async fn a_foreign_task_and_a_missing_one_get_the_same_bytes(store: Store) {
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    ann.create("ann's").await;
    let foreign = bob.create("bob's").await;
    for (method, suffix, body) in CALLS {
        let mut answers = Vec::new();
        for task in [id(&foreign), &Uuid::now_v7().to_string(), &Uuid::new_v4().to_string()] {
            let request = ann.request(method.clone(), &format!("/tasks/{task}{suffix}"));
            // The one thing that may differ is the request's own id: give them one.
            let mut request = request.header("X-Request-Id", "the-same");
            if let Some(body) = body {
                request = request.header(CONTENT_TYPE, "application/json").body(body);
            }
            answers.push(send(request).await.expect_no_task().comparable());
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{method} {suffix}: {answers:#?}");
    }
}

async fn a_foreign_task_cannot_be_changed(store: Store) {
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    let foreign = bob.create("bob's").await;
    let before = (bob.seq().await, ann.seq().await);
    for (method, suffix, body) in CALLS {
        let body = body.map(|body| serde_json::from_str(body).unwrap());
        ann.call(method, &format!("/tasks/{}{suffix}", id(&foreign)), body.as_ref()).await.expect_no_task();
    }
    assert_eq!(bob.list().await, [foreign]);
    assert_eq!((bob.seq().await, ann.seq().await), before);
}

async fn a_task_id_that_is_no_uuid_gives_404(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for task in
        ["1", "none", "00000000-0000-0000-0000-00000000000", "%00", "%ff", "..%2f..", "undefined", "🦀"]
    {
        for (method, suffix, body) in CALLS {
            let body = body.map(|body| serde_json::from_str(body).unwrap());
            let answer = ann.call(method.clone(), &format!("/tasks/{task}{suffix}"), body.as_ref()).await;
            assert_eq!(answer.status, 404, "{method} {task}{suffix}: {}", answer.text());
            answer.expect_no_task();
        }
    }
}

async fn everyone_lists_only_their_own(store: Store) {
    let server = Server::start(&store);
    let users: Vec<_> = (0..10).map(|number| server.user(&format!("user {number}"))).collect();
    for user in &users {
        for number in 0..3 {
            user.post(&json!({"title": format!("{} of {}", number, user.subject)})).await.expect(201);
        }
    }
    for user in &users {
        let tasks = user.list().await;
        assert_eq!(tasks.len(), 3);
        for task in tasks {
            assert_eq!(task["user_id"], user.subject.as_str());
            assert!(task["title"].as_str().unwrap().ends_with(&format!("of {}", user.subject)));
        }
    }
}
