//! PostgreSQL dies under the server: warm reads continue and writes get 503. Once it is back everything works
//! again, without a restart and without a lost acknowledgement.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::cluster::Cluster;
use crate::support::{Answer, Server, Store, User, id};

/// Asks until the answer has this status; the server's own time-outs bound the wait.
async fn until(status: u16, mut ask: impl AsyncFnMut() -> Answer) -> Answer {
    let mut last = None;
    for _ in 0..600 {
        let answer = ask().await;
        if answer.status == status {
            return answer;
        }
        last = Some(answer);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never {status}; the last answer: {last:?}");
}

/// A refusal in the contract's form that says whether the write may have been applied.
#[track_caller]
fn assert_unavailable(answer: Answer) {
    let code = answer.code();
    assert!(["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN", "OVERLOADED"].contains(&code.as_str()), "{code}");
    answer.expect_error(503, &code);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_database_stops_writes_and_not_warm_reads_on_postgres() {
    needs!(Postgres);
    let cluster = Cluster::start();
    let store = Store::at(&cluster.url);
    let server = Server::with(&store, &[("ENVIRONMENT", "production")]);
    let (ann, cold) = (server.user("ann"), server.user("cold"));
    let task = ann.create("before").await;
    let list = ann.get("/tasks").await.expect(200);
    cluster.kill();

    // Reads of a user in memory do not notice.
    for _ in 0..20 {
        assert_eq!(ann.get("/tasks").await.expect(200).body, list.body);
        assert_eq!(ann.task(id(&task)).await.expect(200).json(), task);
    }
    // First a definite refusal: it is never applied.
    let refused = until(503, async || ann.post(&json!({"title": "refused"})).await).await;
    // Such a failure is logged in production, too, with its request id.
    server.log_line(&[refused.header("x-request-id").unwrap(), "503"]);
    assert_unavailable(refused);
    for answer in [
        ann.put(id(&task), &json!({"title": "refused"})).await,
        ann.complete(id(&task), None).await,
        ann.delete(id(&task)).await,
        cold.get("/tasks").await,
        cold.post(&json!({"title": "refused"})).await,
    ] {
        assert_unavailable(answer);
    }
    until(503, async || server.get("/ready").await).await;
    server.get("/health").await.expect(200);
    // The contract's other answers stay the same.
    server.get("/api/ann/tasks").await.expect_error(401, "UNAUTHORIZED");
    ann.post(&json!({"title": ""})).await.expect_error(422, "VALIDATION_ERROR");
    assert_eq!(ann.get("/tasks").await.expect(200).body, list.body);

    cluster.restart();
    until(200, async || server.get("/ready").await).await;
    let after = until(201, async || ann.post(&json!({"title": "after"})).await).await.json();
    until(201, async || cold.post(&json!({"title": "after"})).await).await;
    let titles: Vec<_> =
        ann.list().await.iter().map(|task| task["title"].as_str().unwrap().to_owned()).collect();
    assert!(titles.contains(&"before".to_owned()) && titles.contains(&"after".to_owned()), "{titles:?}");
    server.stop();
    let server = Server::start(&store);
    let stored = server.user("ann").list().await;
    assert!(stored.contains(&task) || stored.iter().any(|other| other["id"] == task["id"]));
    assert!(stored.contains(&after), "{stored:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_restart_between_requests_is_not_noticed_on_postgres() {
    needs!(Postgres);
    let cluster = Cluster::start();
    let store = Store::at(&cluster.url);
    let server = Server::start(&store);
    let ann = server.user("ann");
    ann.create("before").await;
    for _ in 0..2 {
        cluster.restart();
        // Each connection is checked before use: those to the old server are not used again.
        ann.create("after").await;
        server.user("cold").get("/tasks").await.expect(200);
        server.get("/ready").await.expect(200);
    }
    assert_eq!((ann.list().await.len(), ann.seq().await), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_can_stop_while_the_database_is_dead_on_postgres() {
    needs!(Postgres);
    let cluster = Cluster::start();
    let store = Store::at(&cluster.url);
    let mut server = Server::with(&store, &[("SHUTDOWN_TIMEOUT", "3")]);
    let ann = server.user("ann");
    let task = ann.create("before").await;
    cluster.kill();
    let writes: Vec<_> = (0..8)
        .map(|number| {
            let ann = ann.clone();
            tokio::spawn(async move {
                let body = json!({"title": format!("{number}")});
                ann.try_call(Method::POST, "/tasks", Some(&body)).await
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.terminate();
    // Its exit code says whether every accepted write was finished; here only its end matters.
    assert!(server.wait().code().is_some());
    for write in writes {
        if let Ok(answer) = write.await.unwrap() {
            assert_unavailable(answer);
        }
    }
    cluster.restart();
    let server = Server::start(&store);
    let ann = server.user("ann");
    assert!(ann.list().await.contains(&task));
}

/// What a client knows of one write that it sent under a title nobody else uses.
#[derive(Debug, PartialEq)]
enum Fate {
    Acknowledged(Value),
    Refused,
    Unknown,
}

/// One client: creates tasks until it has to stop, and records what became of each.
async fn client(user: User, number: usize, stop: Arc<AtomicBool>) -> HashMap<String, Fate> {
    let mut fates = HashMap::new();
    for round in 0..1_000_000 {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let title = format!("{number}.{round}");
        let answer = user.call(Method::POST, "/tasks", Some(&json!({"title": title}))).await;
        let fate = match answer.status {
            201 => Fate::Acknowledged(answer.json()),
            _ if answer.code() == "OUTCOME_UNKNOWN" => Fate::Unknown,
            _ => {
                assert_unavailable(answer);
                tokio::time::sleep(Duration::from_millis(20)).await;
                Fate::Refused
            }
        };
        fates.insert(title, fate);
    }
    fates
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_killed_under_load_loses_nothing_acknowledged_on_postgres() {
    const USERS: usize = 6;

    needs!(Postgres);
    let cluster = Cluster::start();
    let store = Store::at(&cluster.url);
    let server = Server::start(&store);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4 * USERS)
        .map(|number| {
            let user = server.user(&format!("user {}", number % USERS));
            (number % USERS, tokio::spawn(client(user, number, Arc::clone(&stop))))
        })
        .collect();
    let probe = server.user("probe");
    for round in 0..3 {
        until(201, async || probe.post(&json!({"title": format!("{round}")})).await).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        tokio::task::block_in_place(|| {
            cluster.kill();
            cluster.restart();
        });
    }
    until(201, async || probe.post(&json!({"title": "last"})).await).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    let mut fates: HashMap<usize, HashMap<String, Fate>> = HashMap::new();
    for (user, client) in clients {
        fates.entry(user).or_default().extend(client.await.unwrap());
    }
    let before: Vec<Vec<Value>> = {
        let mut lists = Vec::new();
        for number in 0..USERS {
            lists.push(server.user(&format!("user {number}")).list().await);
        }
        lists
    };
    server.stop();
    let server = Server::start(&store);
    let (mut acknowledged, mut refused) = (0, 0);
    for (number, before) in before.iter().enumerate() {
        let user = server.user(&format!("user {number}"));
        let stored = user.list().await;
        // A write with an unknown outcome may have been settled after that read.
        let fate = |task: &Value| &fates[&number][task["title"].as_str().unwrap()];
        let (seen, unseen): (Vec<_>, Vec<_>) = stored.iter().partition(|task| before.contains(task));
        assert!(unseen.iter().all(|task| *fate(task) == Fate::Unknown), "stored but not read: {unseen:?}");
        assert!(seen.into_iter().eq(before), "what was read differs from the store");
        let by_title: HashMap<_, _> =
            stored.iter().map(|task| (task["title"].as_str().unwrap().to_owned(), task)).collect();
        assert_eq!(by_title.len(), stored.len(), "a write was applied twice");
        for (title, fate) in &fates[&number] {
            match fate {
                Fate::Acknowledged(task) => {
                    acknowledged += 1;
                    assert_eq!(by_title.get(title), Some(&task), "{title} was acknowledged");
                }
                Fate::Refused => {
                    refused += 1;
                    assert!(!by_title.contains_key(title), "{title} was refused, but applied");
                }
                Fate::Unknown => {}
            }
        }
        // Every seq up to the user's belongs to one of these tasks: none was skipped or used twice.
        let mut versions: Vec<_> = stored.iter().map(|task| task["version"].as_i64().unwrap()).collect();
        versions.sort_unstable();
        assert_eq!(versions, (1..=user.seq().await).collect::<Vec<_>>());
    }
    assert!(
        acknowledged > 0 && refused > 0,
        "{acknowledged} acknowledged, {refused} refused: this proves nothing"
    );
}
