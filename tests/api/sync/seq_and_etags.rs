//! One integer says which state a client has: `seq`, on every answer, as `ETag` and as a task's version.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use uuid::Uuid;

use crate::support::{Answer, Server, Store, id, on_both_stores, send};

on_both_stores!(
    a_new_user_is_at_seq_zero,
    every_write_raises_the_seq_by_one_and_says_so,
    reads_give_the_seq_and_do_not_raise_it,
    refused_calls_give_the_seq_and_do_not_raise_it,
    a_users_first_answer_after_a_restart_gives_the_seq_whatever_its_status,
    the_auth_check_gives_the_seq,
    an_answer_without_a_known_user_has_no_seq,
    a_tasks_etag_is_its_version_and_the_lists_is_the_seq,
    each_user_has_a_seq_of_their_own,
    the_seq_continues_after_a_restart,
);

fn etag(answer: &Answer) -> &str {
    answer.header("etag").unwrap_or_else(|| panic!("no ETag: {answer:?}"))
}

async fn a_new_user_is_at_seq_zero(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let list = ann.get("/tasks").await.expect(200);
    assert_eq!((list.seq(), etag(&list)), (0, &*list.list_tag(0)));
    assert_eq!(ann.task(&Uuid::new_v4().to_string()).await.expect_no_task().seq(), 0);
}

async fn every_write_raises_the_seq_by_one_and_says_so(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let created = ann.post(&json!({"title": "a"})).await.expect(201);
    let task = id(&created.json()).to_owned();
    let answers = [
        created,
        ann.put(&task, &json!({"title": "b"})).await.expect(200),
        ann.patch(&task, &json!({"completed": true})).await.expect(200),
        ann.complete(&task, None).await.expect(200),
        ann.complete(&task, Some(true)).await.expect(200),
    ];
    for (answer, expected) in answers.iter().zip(1..) {
        assert_eq!((answer.seq(), &answer.json()["version"]), (expected, &json!(expected)));
        assert_eq!(etag(answer), answer.tag(expected));
    }
    assert_eq!(ann.delete(&task).await.expect(204).seq(), 6, "a deletion has a seq of its own");
    assert_eq!(ann.seq().await, 6);
    assert_eq!(ann.create("c").await["version"], 7);
}

async fn reads_give_the_seq_and_do_not_raise_it(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let (first, _) = (ann.create("a").await, ann.create("b").await);
    for _ in 0..3 {
        assert_eq!(ann.get("/tasks").await.expect(200).seq(), 2);
        // The task's version is older than the seq of the answer.
        let answer = ann.task(id(&first)).await.expect(200);
        assert_eq!((answer.seq(), etag(&answer)), (2, &*answer.tag(1)));
        assert_eq!(ann.get("/tasks?limit=1").await.expect(200).seq(), 2);
    }
}

async fn refused_calls_give_the_seq_and_do_not_raise_it(store: Store) {
    let server = Server::with(&store, &[("MAX_TASKS_PER_USER", "2")]);
    let ann = server.user("ann");
    let (taken, missing) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    ann.post(&json!({"title": "a", "id": taken})).await.expect(201);
    ann.create("b").await;
    let refused = [
        ann.task(&missing).await.expect_no_task(),
        ann.put(&missing, &json!({"title": "a"})).await.expect_no_task(),
        ann.patch(&missing, &json!({"title": "a"})).await.expect_no_task(),
        ann.complete(&missing, None).await.expect_no_task(),
        ann.delete(&missing).await.expect_no_task(),
        ann.delete("none").await.expect_no_task(),
        ann.post(&json!({"title": "other", "id": taken})).await.expect_error(409, "CONFLICT"),
        ann.post(&json!({"title": "c"})).await.expect_error(409, "QUOTA_EXCEEDED"),
        ann.post(&json!({"title": "a", "id": taken})).await.expect(200),
        ann.post(&json!({"title": ""})).await.expect_error(422, "VALIDATION_ERROR"),
        ann.put(&taken, &json!({})).await.expect_error(422, "VALIDATION_ERROR"),
        ann.get("/tasks?limit=none").await.expect_error(422, "VALIDATION_ERROR"),
        ann.call(Method::DELETE, "/tasks", None).await.expect_error(405, "METHOD_NOT_ALLOWED"),
        ann.get("/nothing").await.expect_error(404, "NOT_FOUND"),
        send(ann.request(Method::POST, "/tasks").header(CONTENT_TYPE, "application/json").body("{"))
            .await
            .expect_error(422, "VALIDATION_ERROR"),
    ];
    for answer in refused {
        assert_eq!(answer.seq(), 2, "{}", answer.text());
    }
    assert_eq!(ann.seq().await, 2);
}

async fn a_users_first_answer_after_a_restart_gives_the_seq_whatever_its_status(store: Store) {
    let calls = [
        (Method::GET, "/test", 200),
        (Method::GET, "/tasks?limit=none", 422),
        (Method::GET, "/tasks/none", 404),
        (Method::POST, "/tasks", 422),
        (Method::PATCH, "/tasks/none/complete", 404),
        (Method::POST, "/batch", 422),
        (Method::POST, "/import", 422),
        (Method::GET, "/summary?tz=none", 422),
        (Method::GET, "/changes", 422),
        (Method::GET, "/changes?since=7", 410),
        (Method::GET, "/events?since=none", 422),
        (Method::POST, "/events/ticket", 201),
        (Method::GET, "/export", 200),
        (Method::DELETE, "", 428),
    ];
    let server = Server::start(&store);
    for number in 0..=calls.len() {
        server.user(&format!("user {number}")).create("a").await;
    }
    server.stop();
    let server = Server::start(&store);
    let calls_made = calls.len();
    // Each call is by another user, none of whose tasks is in memory.
    for (number, (method, path, status)) in calls.into_iter().enumerate() {
        let user = server.user(&format!("user {number}"));
        let answer = user.call(method.clone(), path, None).await.expect(status);
        assert_eq!(answer.seq(), 1, "{method} {path}");
    }
    // These come before identity; a user whose token is known already gets the seq all the same.
    for (method, path, status) in [(Method::GET, "/nothing", 404), (Method::DELETE, "/tasks", 405)] {
        let answer = server.user("user 0").call(method.clone(), path, None).await.expect(status);
        assert_eq!(answer.seq(), 1, "{method} {path}");
    }
    let text = server.user(&format!("user {calls_made}")).request(Method::POST, "/tasks");
    let refused = send(text.header(CONTENT_TYPE, "text/plain").body("a")).await;
    assert_eq!(refused.expect_error(415, "UNSUPPORTED_MEDIA_TYPE").seq(), 1);
}

async fn the_auth_check_gives_the_seq(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    ann.create("a").await;
    assert_eq!(ann.get("/test").await.expect(200).seq(), 1);
}

async fn an_answer_without_a_known_user_has_no_seq(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    ann.create("a").await;
    let answers = [
        server.get("/api/ann/tasks").await.expect(401),
        server.get("/health").await.expect(200),
        send(server.request(Method::GET, "/api/ann/tasks").bearer_auth("garbage")).await.expect(401),
        send(server.request(Method::GET, "/api/ann/tasks").bearer_auth(server.user("bob").token))
            .await
            .expect(401),
    ];
    for answer in answers {
        assert_eq!((answer.header("x-tasklane-seq"), answer.header("etag")), (None, None), "{answer:?}");
        assert_eq!(answer.header("x-tasklane-lineage"), None, "{answer:?}");
    }
}

async fn a_tasks_etag_is_its_version_and_the_lists_is_the_seq(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for expected in 1..=3 {
        let created = ann.post(&json!({"title": "a"})).await.expect(201);
        assert_eq!(etag(&created), created.tag(expected));
        let read = ann.task(id(&created.json())).await.expect(200);
        assert_eq!(etag(&read), read.tag(expected));
        let list = ann.get("/tasks").await.expect(200);
        assert_eq!(etag(&list), list.list_tag(expected));
    }
}

async fn each_user_has_a_seq_of_their_own(store: Store) {
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    for expected in 1..=3 {
        assert_eq!(ann.create("a").await["version"], expected);
        assert_eq!(bob.create("b").await["version"], expected);
    }
    bob.create("b").await;
    assert_eq!((ann.seq().await, bob.seq().await), (3, 4));
}

async fn the_seq_continues_after_a_restart(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    ann.create("b").await;
    ann.delete(id(&task)).await.expect(204);
    server.stop();
    let server = Server::start(&store);
    let ann = server.user("ann");
    // First a write, before any read has loaded the user; then a read.
    assert_eq!(ann.create("c").await["version"], 4);
    assert_eq!(ann.seq().await, 4);
    server.stop();
    assert_eq!(Server::start(&store).user("ann").seq().await, 4);
}
