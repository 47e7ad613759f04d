//! The list: everything, newest first, never silently truncated.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::support::{Server, Store, id, on_both_stores, timestamp};

on_both_stores!(
    a_new_users_list_is_empty,
    the_newest_task_comes_first,
    tasks_made_at_once_are_ordered_by_time_then_id,
    an_update_does_not_move_a_task,
    a_limit_gives_the_newest_tasks,
    an_invalid_limit_is_refused,
    unknown_query_parameters_are_ignored,
    the_list_is_never_capped,
);

async fn a_new_users_list_is_empty(store: Store) {
    let server = Server::start(&store);
    let answer = server.user("ann").get("/tasks").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let list = answer.json();
    assert_eq!((&list["tasks"], &list["count"]), (&json!([]), &json!(0)));
}

async fn the_newest_task_comes_first(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let mut expected = Vec::new();
    for number in 0..5 {
        expected.insert(0, ann.create(&format!("task {number}")).await);
        assert_eq!(ann.list().await, expected);
    }
    ann.delete(id(&expected[2])).await.expect(204);
    expected.remove(2);
    assert_eq!(ann.list().await, expected);
    server.stop();
    assert_eq!(Server::start(&store).user("ann").list().await, expected);
}

async fn tasks_made_at_once_are_ordered_by_time_then_id(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let creates = (0..200).map(|number| {
        let ann = ann.clone();
        async move { ann.create(&format!("task {number}")).await }
    });
    let made: Vec<_> = stream::iter(creates).buffer_unordered(64).collect().await;
    let tasks = ann.list().await;
    assert_eq!(tasks.len(), made.len());
    assert_eq!(tasks, newest_first(made));
    server.stop();
    assert_eq!(Server::start(&store).user("ann").list().await, tasks);
}

/// The contract's order: `created_at`, then id, descending.
fn newest_first(mut tasks: Vec<Value>) -> Vec<Value> {
    let key = |task: &Value| (timestamp(&task["created_at"]), id(task).to_owned());
    tasks.sort_by_key(key);
    tasks.reverse();
    tasks
}

async fn an_update_does_not_move_a_task(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for title in ["a", "b", "c"] {
        ann.create(title).await;
    }
    let mut expected = ann.list().await;
    expected[2] = ann.put(id(&expected[2]), &json!({"title": "changed"})).await.expect(200).json();
    expected[1] = ann.complete(id(&expected[1]), None).await.expect(200).json();
    assert_eq!(ann.list().await, expected);
}

async fn a_limit_gives_the_newest_tasks(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for number in 0..5 {
        ann.create(&format!("task {number}")).await;
    }
    let all = ann.get("/tasks").await.expect(200);
    let tasks = ann.list().await;
    for limit in [1, 2, 4, 5, 6, 500] {
        let some = ann.get(&format!("/tasks?limit={limit}")).await.expect(200);
        let expected = &tasks[..limit.min(5)];
        assert_eq!(some.json()["tasks"], json!(expected));
        assert_eq!(some.json()["count"], expected.len());
        assert_eq!((some.seq(), some.header("etag")), (all.seq(), all.header("etag")));
    }
}

async fn an_invalid_limit_is_refused(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    ann.create("a").await;
    for limit in ["none", "-1", "1.5", "99999999999999999999999", "1%00"] {
        let answer = ann.get(&format!("/tasks?limit={limit}")).await;
        assert_eq!(answer.status, 422, "limit={limit}: {}", answer.text());
        assert_eq!(answer.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["limit"]);
    }
}

async fn unknown_query_parameters_are_ignored(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    for query in ["?_t=1770546600", "?colour=red&colour=blue", "?", "?&&", "?%ff=%ff", "?limit=5&x=%zz"] {
        let answer = ann.get(&format!("/tasks{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        assert_eq!(answer.json()["tasks"], json!([task]));
    }
}

async fn the_list_is_never_capped(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let creates = (0..1200).map(|number| {
        let ann = ann.clone();
        async move { ann.create(&format!("task {number}")).await }
    });
    let made: Vec<_> = stream::iter(creates).buffer_unordered(64).collect().await;
    let made = newest_first(made);
    assert_eq!(made.len(), 1200);
    assert_eq!(ann.list().await, made);
    server.stop();
    assert_eq!(Server::start(&store).user("ann").list().await, made, "loaded from the store");
}
