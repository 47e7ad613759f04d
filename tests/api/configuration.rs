//! Where settings come from, and that each does what it says.

use std::fs;

use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::support::command::run;
use crate::support::{Kind, Server, Store, on_both_stores, tokens};

on_both_stores!(
    flags_win_over_the_environment_over_the_env_file,
    serve_is_the_default_command,
    production_starts_with_a_secret_and_says_where_it_listens,
    a_variable_set_to_nothing_counts_as_not_set,
    the_secret_is_the_one_that_was_set,
    a_small_cache_forgets_nobody,
);

/// How many tasks a user may make, by trying; five at the most.
async fn quota(server: &Server) -> usize {
    let user = server.user("ann");
    let mut made = user.list().await.len();
    while made < 5 && user.post(&json!({"title": "a"})).await.status == 201 {
        made += 1;
    }
    made
}

async fn flags_win_over_the_environment_over_the_env_file(store: Store) {
    let lines = format!(
        "# a comment\nPORT=0\nDATABASE_URL={}\nBETTER_AUTH_SECRET=\"{}\"\nMAX_TASKS_PER_USER=1\n",
        store.url(),
        tokens::SECRET
    );
    fs::write(store.dir().join(".env"), lines).unwrap();
    let server = Server::launch(store.dir(), &[], &[]);
    assert_eq!(quota(&server).await, 1, "the file counts");
    server.stop();
    let server = Server::launch(store.dir(), &[], &[("MAX_TASKS_PER_USER", "2")]);
    assert_eq!(quota(&server).await, 2, "the environment wins over the file");
    server.stop();
    let flag = "--max-tasks-per-user=3";
    let server = Server::launch(store.dir(), &["serve", flag], &[("MAX_TASKS_PER_USER", "2")]);
    assert_eq!(quota(&server).await, 3, "the flag wins over the environment");
    server.stop();
}

async fn serve_is_the_default_command(store: Store) {
    let url = format!("--database-url={}", store.url());
    let secret = format!("--better-auth-secret={}", tokens::SECRET);
    for command in [&["serve"][..], &[]] {
        let arguments: Vec<_> = command.iter().copied().chain(["--port=0", &url, &secret]).collect();
        let server = Server::launch(store.dir(), &arguments, &[]);
        server.user("ann").create("a").await;
        server.stop();
    }
}

async fn production_starts_with_a_secret_and_says_where_it_listens(store: Store) {
    // That the address is told is what `Server::with` waits for.
    let server = Server::with(&store, &[("ENVIRONMENT", "production")]);
    server.user("ann").create("a").await;
    server.get("/ready").await.expect(200);
    server.stop();
}

async fn a_variable_set_to_nothing_counts_as_not_set(store: Store) {
    let settings =
        [("MAX_TASKS_PER_USER", ""), ("ALLOWED_ORIGINS", ""), ("METRICS_LISTEN", " "), ("ENVIRONMENT", "")];
    let server = Server::with(&store, &settings);
    assert_eq!(quota(&server).await, 5);
}

async fn the_secret_is_the_one_that_was_set(store: Store) {
    let secret = "quite another secret, of 32 bytes or more";
    let server = Server::with(&store, &[("BETTER_AUTH_SECRET", secret)]);
    server.user("ann").get("/tasks").await.expect_message(401, "UNAUTHORIZED", "Invalid token");
    let claims = json!({"sub": "ann", "exp": tokens::in_an_hour()});
    let token = tokens::signed_with(secret, jsonwebtoken::Algorithm::HS256, &claims);
    crate::support::User::new(&server, "ann", token).get("/tasks").await.expect(200);
}

async fn a_small_cache_forgets_nobody(store: Store) {
    const ROUNDS: usize = 4;
    const EACH: usize = 5;
    // One MiB holds the tasks of a few of these users only: they push one another out all the time.
    let server = Server::with(&store, &[("CACHE_MAX_BYTES", "1048576")]);
    let description = "x".repeat(2000);
    let users = (0..60).map(|number| {
        let (user, description) = (server.user(&format!("user {number}")), &description);
        async move {
            for round in 1..=ROUNDS {
                for number in 0..EACH {
                    let body = json!({"title": format!("{round}.{number}"), "description": description});
                    let made = user.post(&body).await.expect(201);
                    assert_eq!(made.seq(), i64::try_from((round - 1) * EACH + number + 1).unwrap());
                }
                assert_eq!(user.list().await.len(), EACH * round);
            }
            user
        }
    });
    let users: Vec<_> = stream::iter(users).buffer_unordered(24).collect().await;
    // Some have been dropped indeed, or nothing is proved.
    let lanes = lanes_in_memory(&server).await;
    assert!(lanes < 60, "{lanes} users are in memory");
    for user in users {
        assert_eq!((user.list().await.len(), user.seq().await), (ROUNDS * EACH, 20));
    }
}

async fn lanes_in_memory(server: &Server) -> u32 {
    let metrics = server.get("/metrics").await.expect(200).text();
    let lanes = metrics.lines().find_map(|line| line.strip_prefix("tasklane_lanes "));
    lanes.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}

#[tokio::test]
async fn the_default_store_is_a_file_in_the_data_folder_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::launch(dir.path(), &[], &[("PORT", "0"), ("BETTER_AUTH_SECRET", tokens::SECRET)]);
    server.user("ann").create("a").await;
    server.stop();
    assert!(dir.path().join("data/tasklane.db").is_file());
}

#[tokio::test]
async fn a_second_process_on_one_file_is_refused_on_sqlite() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    server.user("ann").create("a").await;
    let variables = [("PORT", "0"), ("DATABASE_URL", store.url()), ("BETTER_AUTH_SECRET", tokens::SECRET)];
    let second = run(store.dir(), &[], &variables);
    assert_ne!(second.code, 0, "{second:?}");
    assert!(second.stderr.contains("process") || second.stderr.contains("lock"), "{second:?}");
    // The first one never noticed.
    assert_eq!(server.user("ann").list().await.len(), 1);
    server.user("ann").create("b").await;
    server.stop();
    Server::start(&store).stop();
}
