//! Limits that the operator sets: requests and tasks of a user, open connections.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::support::{Answer, Kind, Server, Store, id, on_both_stores, send, tokens};

on_both_stores!(
    a_user_over_the_rate_limit_must_wait_and_no_other_user,
    a_user_has_at_most_the_allowed_number_of_tasks,
    a_users_data_take_at_most_the_allowed_bytes,
    a_repeated_create_does_not_count_as_a_new_task,
    concurrent_creates_do_not_exceed_the_limit,
    the_limit_counts_what_the_store_holds,
);

/// `name` of a `RateLimit` field's one item, such as `r` of `"user";r=3;t=1`.
fn parameter(answer: &Answer, header: &str, name: &str) -> u64 {
    let field = answer.header(header).unwrap_or_else(|| panic!("no {header}: {answer:?}"));
    let mut parts = field.split(';');
    assert_eq!(parts.next(), Some("\"user\""), "{field}");
    let value = parts.find_map(|part| part.strip_prefix(&format!("{name}=")).map(str::to_owned));
    value.unwrap_or_else(|| panic!("no {name} in {field}")).parse().unwrap()
}

async fn a_user_over_the_rate_limit_must_wait_and_no_other_user(store: Store) {
    let server = Server::with(&store, &[("RATE_LIMIT_PER_USER", "1:5")]);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    let first = ann.post(&json!({"title": "a"})).await.expect(201);
    assert_eq!(parameter(&first, "ratelimit-policy", "q"), 5);
    assert_eq!(parameter(&first, "ratelimit-policy", "w"), 5);
    assert_eq!(parameter(&first, "ratelimit", "r"), 4);
    // At most five at once and then one a second, for any route and method, known or not.
    let mut refused = None;
    for number in 0..40 {
        let path = ["/tasks", "/test", "/nothing", "/tasks/none"][number % 4];
        let answer = ann.get(path).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        parameter(&answer, "ratelimit", "r");
    }
    let refused = refused.expect("never refused").expect_error(429, "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(parameter(&refused, "ratelimit", "r"), 0);
    assert_eq!(parameter(&refused, "ratelimit", "t"), 5);
    // Another user is counted separately; the same user with another token or path is not.
    bob.get("/tasks").await.expect(200);
    let again = tokens::signed(&json!({"sub": "ann", "exp": tokens::in_an_hour(), "x": 1}));
    let more = (0..20).map(|_| send(server.request(Method::GET, "/api/me/tasks").bearer_auth(&again)));
    assert!(
        join_all(more).await.iter().any(|answer| answer.status == 429),
        "another token was counted separately"
    );
    // After the wait a request succeeds; requests to another user's path do not count.
    let mut status = 429;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        status = ann.get("/tasks").await.status;
        if status == 200 {
            break;
        }
    }
    assert_eq!(status, 200);
    for _ in 0..10 {
        server.get("/health").await.expect(200);
        server.get("/api/ann/tasks").await.expect(401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_rate_limit_no_answer_mentions_one() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    let ann = server.user("ann");
    for answer in join_all((0..300).map(|_| ann.get("/tasks"))).await {
        let answer = answer.expect(200);
        assert!(answer.header("ratelimit").is_none() && answer.header("ratelimit-policy").is_none());
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_most_the_allowed_connections_are_open_and_the_others_wait() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::with(&store, &[("MAX_CONNECTIONS", "40"), ("MAX_CONNECTIONS_PER_ADDRESS", "1000")]);
    let idle = server.open_files();
    let sockets =
        join_all((0..200).map(|_| async { TcpStream::connect(server.address()).await.unwrap() })).await;
    let open = || server.open_files().saturating_sub(idle);
    for _ in 0..600 {
        if open() >= 20 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    // A worker may accept a few more before it stops.
    assert!((20..100).contains(&open()), "{} connections are open", open());
    drop(sockets);
    for _ in 0..20 {
        server.get("/health").await.expect(200);
    }
    server.stop();
}

async fn a_user_has_at_most_the_allowed_number_of_tasks(store: Store) {
    let server = Server::with(&store, &[("MAX_TASKS_PER_USER", "3")]);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    let first = ann.create("1").await;
    ann.create("2").await;
    ann.create("3").await;
    for _ in 0..2 {
        ann.post(&json!({"title": "4"})).await.expect_error(409, "QUOTA_EXCEEDED");
    }
    assert_eq!((ann.list().await.len(), ann.seq().await), (3, 3));
    // Existing tasks can still be changed, and deleting one makes room.
    ann.put(id(&first), &json!({"title": "changed"})).await.expect(200);
    ann.complete(id(&first), None).await.expect(200);
    ann.delete(id(&first)).await.expect(204);
    ann.create("4").await;
    ann.post(&json!({"title": "5"})).await.expect_error(409, "QUOTA_EXCEEDED");
    bob.create("another user's").await;
}

async fn a_users_data_take_at_most_the_allowed_bytes(store: Store) {
    let settings = [("MAX_BYTES_PER_USER", "20000")];
    let mut server = Server::with(&store, &settings);
    let text = "x".repeat(1900);
    let ann = server.user("ann");
    let mut made = Vec::new();
    let refused = loop {
        let answer = ann.post(&json!({"title": "a", "description": text})).await;
        if answer.status != 201 {
            break answer;
        }
        made.push(answer.json());
        assert!(made.len() < 20, "nothing is refused");
    };
    assert!((8..=10).contains(&made.len()), "{}", made.len());
    assert!(refused.expect_error(409, "QUOTA_EXCEEDED").text().contains("20000 bytes"));
    // The same after a start, in a batch and an import; what makes the data no more is accepted.
    server.kill();
    let server = Server::with(&store, &settings);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    let operations = json!({"operations": [{"op": "create", "task": {"title": "b", "description": text}}]});
    ann.call(Method::POST, "/batch", Some(&operations)).await.expect_error(409, "QUOTA_EXCEEDED");
    let import = json!({"tasks": [{"id": Uuid::new_v4(), "title": "c", "description": text,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}]});
    ann.call(Method::POST, "/import", Some(&import)).await.expect_error(409, "QUOTA_EXCEEDED");
    ann.complete(id(&made[0]), None).await.expect(200);
    ann.patch(id(&made[0]), &json!({"description": "short"})).await.expect(200);
    ann.patch(id(&made[1]), &json!({"description": "y".repeat(1900)})).await.expect(200);
    ann.delete(id(&made[2])).await.expect(204);
    ann.post(&json!({"title": "d", "description": text})).await.expect(201);
    bob.create("another user's").await;
}

async fn a_repeated_create_does_not_count_as_a_new_task(store: Store) {
    let server = Server::with(&store, &[("MAX_TASKS_PER_USER", "1")]);
    let ann = server.user("ann");
    let chosen = Uuid::new_v4();
    ann.post(&json!({"title": "a", "id": chosen})).await.expect(201);
    ann.post(&json!({"title": "a", "id": chosen})).await.expect(200);
    ann.post(&json!({"title": "b", "id": chosen})).await.expect_error(409, "CONFLICT");
    ann.post(&json!({"title": "a", "id": Uuid::new_v4()})).await.expect_error(409, "QUOTA_EXCEEDED");
}

async fn concurrent_creates_do_not_exceed_the_limit(store: Store) {
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
    // A lower limit removes nothing.
    let server = Server::with(&store, &[("MAX_TASKS_PER_USER", "1")]);
    let ann = server.user("ann");
    ann.post(&json!({"title": "3"})).await.expect_error(409, "QUOTA_EXCEEDED");
    assert_eq!(ann.list().await.len(), 2);
}
