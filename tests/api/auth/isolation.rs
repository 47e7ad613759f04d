//! Users are isolated: a request for another user's task, by any route, reveals and changes nothing. Another
//! user's task and a missing one get the same answer, byte for byte. The routes are those of the OpenAPI
//! document, so that none is forgotten.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Server, Store, id, on_both_stores, send};

on_both_stores!(
    no_route_lets_a_user_act_as_another,
    no_route_distinguishes_a_foreign_task_from_a_missing_one,
    no_batch_distinguishes_a_foreign_task_from_a_missing_one,
    an_id_used_by_another_user_is_free,
    no_route_is_open_without_a_token,
    a_foreign_task_and_a_missing_one_get_the_same_bytes,
    a_foreign_task_cannot_be_changed,
    a_task_id_that_is_not_a_uuid_gives_404,
    everyone_lists_only_their_own,
);

/// A subject that is a UUID, as with many providers.
const BOB: &str = "6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77";

/// A body that every operation with a body could accept.
const BODY: &str = r#"{"title":"taken","completed":true,"description":"taken"}"#;

/// Every operation under `/api`: its method, its path with names in braces, and whether it takes a body.
async fn operations(server: &Server) -> Vec<(Method, String, bool)> {
    let document = server.get("/openapi.json").await.expect(200).json();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = ["get", "put", "post", "delete", "patch", "head", "options", "trace"];
        let taken = methods.into_iter().filter(|method| item.get(method).is_some());
        found.extend(taken.filter(|_| path.starts_with("/api/")).map(|method| {
            let takes_body = item[method].get("requestBody").is_some();
            (method.to_uppercase().parse().unwrap(), path.clone(), takes_body)
        }));
    }
    assert!(found.len() >= 8, "the document lacks routes: {found:?}");
    for (_, path, _) in &found {
        assert!(
            path == "/api/{user_id}" || path.starts_with("/api/{user_id}/"),
            "a route without a user: {path}"
        );
    }
    found
}

/// A path with its parameters filled in; any other than user and task becomes a plain word.
fn filled(path: &str, user: &str, task: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{user_id}" => user,
        "{id}" => task,
        part if part.starts_with('{') => "x",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The request, with a body if it takes one. Its id is always the same, since that is all that answers may
/// differ in.
fn prepared(request: RequestBuilder, takes_body: bool) -> RequestBuilder {
    let request = request.header("X-Request-Id", "the-same");
    if takes_body { request.header(CONTENT_TYPE, "application/json").body(BODY) } else { request }
}

fn all_alike(what: &str, answers: &[Answer]) {
    for answer in answers {
        assert_eq!(answer.comparable(), answers[0].comparable(), "{what}");
    }
}

async fn no_route_lets_a_user_act_as_another(store: Store) {
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user(BOB));
    let theirs = bob.create("bob's").await;
    let own = ann.create("ann's").await;
    let upper = BOB.to_uppercase();
    let foreign = [
        BOB,
        &upper,
        "nobody",
        "ANN",
        "Ann",
        "ann%20",
        "%20ann",
        "ann%00",
        "ann%2F",
        "ME",
        "Me",
        "me%20",
        "undefined",
        "null",
        "%7Buser_id%7D",
        "*",
        "%ff",
        "0",
        "ann,me",
        "a%CC%81nn",
        "00000000-0000-0000-0000-000000000000",
    ];
    for (method, path, takes_body) in operations(&server).await {
        for task in [id(&theirs), id(&own), "none"] {
            let mut answers = Vec::new();
            for user in foreign {
                let request =
                    server.request(method.clone(), &filled(&path, user, task)).bearer_auth(&ann.token);
                let answer = send(prepared(request, takes_body)).await;
                assert_eq!(answer.status, 401, "{method} {path} as {user}: {}", answer.text());
                answers.push(answer.expect_message(401, "UNAUTHORIZED", "Unauthorized access"));
            }
            all_alike(&format!("{method} {path}"), &answers);
        }
    }
    assert_eq!(bob.list().await, [theirs]);
    assert_eq!(ann.list().await, [own]);
}

async fn no_route_distinguishes_a_foreign_task_from_a_missing_one(store: Store) {
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user(BOB));
    let own = ann.create("ann's").await;
    let (theirs, gone) = (bob.create("bob's").await, bob.create("bob's, deleted").await);
    bob.delete(id(&gone)).await.expect(204);
    let of_a_stranger = server.user("cy").create("cy's").await;
    let tasks = [
        id(&theirs),
        id(&gone),
        id(&of_a_stranger),
        &Uuid::new_v4().to_string(),
        &Uuid::now_v7().to_string(),
    ];
    let mut tried = 0;
    for (method, path, takes_body) in operations(&server).await {
        if !path.contains("{id}") {
            continue;
        }
        for user in ["ann", "me"] {
            let mut answers = Vec::new();
            for task in tasks {
                let request =
                    server.request(method.clone(), &filled(&path, user, task)).bearer_auth(&ann.token);
                answers.push(send(prepared(request, takes_body)).await.expect_no_task());
            }
            all_alike(&format!("{method} {path}"), &answers);
            tried += 1;
        }
    }
    assert!(tried >= 10, "only {tried} routes with a task in the path");
    assert_eq!(bob.list().await, [theirs]);
    assert_eq!(ann.list().await, [own]);
}

async fn no_batch_distinguishes_a_foreign_task_from_a_missing_one(store: Store) {
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user(BOB));
    let (own, theirs) = (ann.create("ann's").await, bob.create("bob's").await);
    for operation in [
        json!({"op": "update", "task": {"title": "taken"}}),
        json!({"op": "update", "task": {"title": "taken"}, "if_match": theirs["version"]}),
        json!({"op": "complete", "completed": true}),
        json!({"op": "complete"}),
        json!({"op": "delete"}),
        json!({"op": "delete", "if_match": "*"}),
    ] {
        let mut answers = Vec::new();
        for task in [id(&theirs), &Uuid::new_v4().to_string(), &Uuid::now_v7().to_string()] {
            let mut foreign = operation.clone();
            foreign["id"] = task.into();
            let operations = json!({"operations": [{"op": "create", "task": {"title": "a"}}, foreign]});
            let request = server.request(Method::POST, "/api/me/batch").bearer_auth(&ann.token);
            let request = request.header("X-Request-Id", "the-same").json(&operations);
            answers.push(send(request).await.expect(404));
        }
        all_alike(&operation.to_string(), &answers);
    }
    assert_eq!(bob.list().await, [theirs]);
    assert_eq!(ann.list().await, [own]);
}

async fn an_id_used_by_another_user_is_free(store: Store) {
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user(BOB));
    let theirs = [bob.create("one").await, bob.create("two").await, bob.create("three").await];
    ann.post(&json!({"id": theirs[0]["id"], "title": "ann's"})).await.expect(201);
    let create = json!({"op": "create", "task": {"id": theirs[1]["id"], "title": "ann's"}});
    for (path, body, status) in [
        ("/api/me/batch", json!({"operations": [create]}), 200),
        ("/api/me/import", json!({"tasks": [theirs[2]]}), 200),
    ] {
        let request = server.request(Method::POST, path).bearer_auth(&ann.token);
        send(request.json(&body)).await.expect(status);
    }
    assert_eq!(ann.list().await.len(), 3);
    let mut kept = bob.list().await;
    kept.reverse();
    assert_eq!(kept, theirs);
}

async fn no_route_is_open_without_a_token(store: Store) {
    let server = Server::with(&store, &[("AUTH_FAILURES_PER_ADDRESS", "off")]);
    let ann = server.user("ann");
    let own = ann.create("ann's").await;
    for (method, path, takes_body) in operations(&server).await {
        let mut answers = Vec::new();
        for user in ["ann", "me", "nobody"] {
            for task in [id(&own), &Uuid::new_v4().to_string(), "none"] {
                let request = server.request(method.clone(), &filled(&path, user, task));
                let answer = send(prepared(request, takes_body)).await;
                answers.push(answer.expect_message(401, "UNAUTHORIZED", "Missing authentication token"));
            }
        }
        all_alike(&format!("{method} {path}"), &answers);
        // The document says so, too.
        let document: Value = server.get("/openapi.json").await.json();
        let operation = &document["paths"][&path][method.as_str().to_lowercase()];
        assert!(operation["responses"]["401"].is_object(), "{method} {path} does not document 401");
        let open = operation.get("security").is_some_and(|security| *security == json!([]));
        assert!(!open, "{method} {path} is documented as open");
    }
    assert_eq!(ann.list().await, [own]);
}

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
            // Answers may differ in the request's id alone: use the same one.
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

async fn a_task_id_that_is_not_a_uuid_gives_404(store: Store) {
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
