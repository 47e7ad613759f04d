//! `MAX_TASKS_PER_USER`: a limit per user, exact under concurrency.

use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::support::{Server, Store, id, on_both_stores};

on_both_stores!(
    a_user_has_at_most_so_many_tasks,
    a_repeated_create_is_no_new_task,
    of_many_creates_at_once_only_so_many_succeed,
    the_limit_counts_what_the_store_holds,
);

async fn a_user_has_at_most_so_many_tasks(store: Store) {
    let server = Server::with(&store, &[("MAX_TASKS_PER_USER", "3")]);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    let first = ann.create("1").await;
    ann.create("2").await;
    ann.create("3").await;
    for _ in 0..2 {
        ann.post(&json!({"title": "4"})).await.expect_error(409, "QUOTA_EXCEEDED");
    }
    assert_eq!((ann.list().await.len(), ann.seq().await), (3, 3));
    // What is there can still be changed, and room can be made.
    ann.put(id(&first), &json!({"title": "changed"})).await.expect(200);
    ann.complete(id(&first), None).await.expect(200);
    ann.delete(id(&first)).await.expect(204);
    ann.create("4").await;
    ann.post(&json!({"title": "5"})).await.expect_error(409, "QUOTA_EXCEEDED");
    bob.create("another user's").await;
}

async fn a_repeated_create_is_no_new_task(store: Store) {
    let server = Server::with(&store, &[("MAX_TASKS_PER_USER", "1")]);
    let ann = server.user("ann");
    let chosen = Uuid::new_v4();
    ann.post(&json!({"title": "a", "id": chosen})).await.expect(201);
    ann.post(&json!({"title": "a", "id": chosen})).await.expect(200);
    ann.post(&json!({"title": "b", "id": chosen})).await.expect_error(409, "CONFLICT");
    ann.post(&json!({"title": "a", "id": Uuid::new_v4()})).await.expect_error(409, "QUOTA_EXCEEDED");
}

async fn of_many_creates_at_once_only_so_many_succeed(store: Store) {
    let server = Server::with(&store, &[("MAX_TASKS_PER_USER", "10")]);
    let ann = server.user("ann");
    let answers = join_all((0..64).map(|number| {
        let ann = ann.clone();
        async move { ann.post(&json!({"title": format!("{number}")})).await }
    }))
    .await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 10);
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        answer.expect_error(409, "QUOTA_EXCEEDED");
    }
    assert_eq!((ann.list().await.len(), ann.seq().await), (10, 10));
}

async fn the_limit_counts_what_the_store_holds(store: Store) {
    let server = Server::with(&store, &[("MAX_TASKS_PER_USER", "2")]);
    server.user("ann").create("1").await;
    server.user("ann").create("2").await;
    server.stop();
    let server = Server::with(&store, &[("MAX_TASKS_PER_USER", "2")]);
    let ann = server.user("ann");
    ann.post(&json!({"title": "3"})).await.expect_error(409, "QUOTA_EXCEEDED");
    server.stop();
    // A lower limit takes nothing away.
    let server = Server::with(&store, &[("MAX_TASKS_PER_USER", "1")]);
    let ann = server.user("ann");
    ann.post(&json!({"title": "3"})).await.expect_error(409, "QUOTA_EXCEEDED");
    assert_eq!(ann.list().await.len(), 2);
}
