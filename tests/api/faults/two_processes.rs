//! Two processes on one PostgreSQL: the fence orders their writes for one user.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Kind, Server, Store, User, id};

/// Retries a write while it is refused because of the other process: such a refusal means that it was not
/// applied. An unknown outcome must not happen here.
async fn insist(user: &User, method: Method, path: &str, body: Option<&Value>) -> Answer {
    for _ in 0..500 {
        let answer = user.call(method.clone(), path, body).await;
        if answer.status != 503 {
            return answer;
        }
        let answer = answer.expect(503);
        assert_ne!(answer.code(), "OUTCOME_UNKNOWN", "no connection was cut");
        let code = answer.code();
        answer.expect_error(503, &code);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("refused five hundred times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_number_one_users_writes_without_gap_or_repeat_on_postgres() {
    const EACH: usize = 20;

    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let servers = [Server::start(&store), Server::start(&store)];
    let writers = (0..16).map(|writer| {
        let user = servers[writer % 2].user("ann");
        async move {
            let mut made = Vec::new();
            for number in 0..EACH {
                let body = json!({"title": format!("{writer}.{number}")});
                let answer = insist(&user, Method::POST, "/tasks", Some(&body)).await.expect(201);
                assert_eq!(answer.json()["version"], answer.seq());
                made.push((answer.seq(), answer.json()));
            }
            made
        }
    });
    let mut made = join_all(writers).await.concat();
    made.sort_by_key(|(seq, _)| *seq);
    let seqs: Vec<_> = made.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (1..=i64::try_from(16 * EACH).unwrap()).collect::<Vec<_>>());
    for server in servers {
        server.stop();
    }
    let server = Server::start(&store);
    let mut stored = server.user("ann").list().await;
    stored.sort_by_key(|task| task["version"].as_i64());
    assert_eq!(stored, made.into_iter().map(|(_, task)| task).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_that_change_one_task_lose_no_change_on_postgres() {
    const EACH: usize = 15;

    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let servers = [Server::start(&store), Server::start(&store)];
    let task = servers[0].user("ann").create("a").await;
    let path = format!("/tasks/{}/complete", id(&task));
    let flippers = (0..8).map(|flipper| {
        let (user, path) = (servers[flipper % 2].user("ann"), path.clone());
        async move {
            let mut flips = Vec::new();
            for _ in 0..EACH {
                let answer = insist(&user, Method::PATCH, &path, None).await.expect(200);
                flips.push((answer.seq(), answer.json()["completed"].as_bool().unwrap()));
            }
            flips
        }
    });
    let mut flips = join_all(flippers).await.concat();
    flips.sort_unstable();
    // In the order of seqs, each flip met the state that the one before left, whichever process made it.
    let expected: Vec<_> =
        (0..8 * EACH).map(|flip| (i64::try_from(flip).unwrap() + 2, flip % 2 == 0)).collect();
    assert_eq!(flips, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_learns_of_another_ones_writes_with_its_own_next_write_on_postgres() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let servers = [Server::start(&store), Server::start(&store)];
    let [one, other] = [servers[0].user("ann"), servers[1].user("ann")];
    let first = one.create("first").await;
    assert_eq!(other.list().await.len(), 1);
    let second = other.create("second").await;
    let third = one.create("third").await;
    assert_eq!((&second["version"], &third["version"]), (&json!(2), &json!(3)));
    assert_eq!(one.list().await, [third.clone(), second.clone(), first.clone()]);
    // Its next write meets the other process's change, not its own copy of the task.
    one.put(id(&first), &json!({"description": "kept"})).await.expect(200);
    let changed = other.put(id(&first), &json!({"completed": true})).await.expect(200).json();
    assert_eq!((&changed["description"], &changed["version"]), (&json!("kept"), &json!(5)));
    // What the other process deleted is gone.
    other.delete(id(&second)).await.expect(204);
    one.put(id(&second), &json!({"title": "back"})).await.expect_no_task();
    assert_eq!(one.list().await, [third, changed]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_chosen_id_in_two_processes_makes_one_task_on_postgres() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let servers = [Server::start(&store), Server::start(&store)];
    for round in 0..20 {
        let body = json!({"title": "same", "id": uuid::Uuid::new_v4()});
        let creates = servers.iter().map(|server| {
            let (user, body) = (server.user("ann"), &body);
            async move { insist(&user, Method::POST, "/tasks", Some(body)).await }
        });
        let answers = join_all(creates).await;
        let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 201], "round {round}");
        assert_eq!(answers[0].json(), answers[1].json());
    }
}
