//! Where settings come from, that each works, and that a wrong one stops the start with one line that names
//! it and says what is allowed.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::support::command::{Finished, run};
use crate::support::{Kind, Server, Store, on_both_stores, tokens};

on_both_stores!(
    flags_win_over_the_environment_over_the_env_file,
    serve_is_the_default_command,
    production_starts_with_a_secret_and_says_where_it_listens,
    a_variable_set_to_nothing_counts_as_not_set,
    the_secret_is_the_one_that_was_set,
    a_small_cache_forgets_nobody,
);

/// How many tasks a user may create, found by trying; at most five.
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
    // `Server::with` waits for the address.
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
    // One MiB holds the tasks of only a few of these users: they evict each other all the time.
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
    // Some users were evicted indeed; otherwise this proves nothing.
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
    // The first one is not affected.
    assert_eq!(server.user("ann").list().await.len(), 1);
    server.user("ann").create("b").await;
    server.stop();
    Server::start(&store).stop();
}

/// Wrong values, and a word of the message that says what is allowed.
const WRONG: [(&str, &str, &str); 51] = [
    ("HOST", "not a host", "address"),
    ("HOST", "300.1.1.1", "address"),
    ("PORT", "70000", "65535"),
    ("PORT", "-1", "65535"),
    ("PORT", "http", "65535"),
    ("PORT", "80.5", "65535"),
    ("DATABASE_URL", "mysql://ann:hunter2@db/tasks", "sqlite://"),
    ("DATABASE_URL", "hunter2", "sqlite://"),
    ("DATABASE_URL", "sqlite://", "sqlite://"),
    ("DATABASE_URL", "postgres://ann:hunter2@db:none/tasks", "port"),
    ("DATABASE_URL", "postgres://ann:hunter2@db/tasks?sslmode=hunter2", "verify-full"),
    ("BETTER_AUTH_SECRET", "hunter2", "32"),
    ("BETTER_AUTH_SECRET", "hunter2-is-31-bytes-long-xxxxxx", "32"),
    ("JWKS_URL", "hunter2", "https"),
    ("JWKS_URL", "http://keys.example/jwks", "https"),
    ("ALLOWED_ORIGINS", "localhost:3000", "origin"),
    ("ALLOWED_ORIGINS", "http://localhost:3000,app.example", "origin"),
    ("ALLOWED_ORIGINS", "https://app.example/path", "origin"),
    ("ALLOWED_ORIGINS", "ftp://app.example", "origin"),
    ("ALLOWED_ORIGINS", "https://*.example", "origin"),
    ("ENVIRONMENT", "prod", "production"),
    ("ENVIRONMENT", "Production!", "production"),
    ("MODE", "both", "cluster"),
    ("MODE", "cluster", "PostgreSQL"),
    ("READ_MAX_STALENESS", "1s", "MODE=cluster"),
    ("DB_POOL_SIZE", "0", "from"),
    ("DB_POOL_SIZE", "ten", "from"),
    ("CACHE_MAX_BYTES", "-1", "from"),
    ("CACHE_MAX_BYTES", "1e9", "from"),
    ("CACHE_MAX_BYTES", "99999999999999999999999", "from"),
    ("MAX_TASKS_PER_USER", "0", "from"),
    ("MAX_TASKS_PER_USER", "many", "from"),
    ("MAX_EVENT_STREAMS", "9", "from"),
    ("MAX_EVENT_STREAMS", "all", "from"),
    ("MAX_BODY_BYTES", "0", "from"),
    ("MAX_BODY_BYTES", "64 KiB!", "from"),
    ("RATE_LIMIT_PER_USER", "0", "per second"),
    ("RATE_LIMIT_PER_USER", "10 per minute", "per second"),
    ("AUTH_FAILURES_PER_ADDRESS", "10:0", "off"),
    ("MAX_CONNECTIONS", "0", "from"),
    ("MAX_CONNECTIONS_PER_ADDRESS", "0", "from"),
    ("TRUSTED_PROXIES", "proxy.example", "10.0.0.0/8"),
    ("TLS_CERT", "cert.pem", "TLS_KEY"),
    ("TLS_KEY", "key.pem", "TLS_CERT"),
    ("SHUTDOWN_TIMEOUT", "-5", "from"),
    ("SHUTDOWN_TIMEOUT", "soon", "from"),
    ("DRAIN_TIME", "-1", "from"),
    ("LOG_REQUESTS", "some", "all"),
    ("METRICS_LISTEN", "9000", "127.0.0.1:9000"),
    ("ALLOW_UNSAFE_STORE", "yes", "true"),
    ("METRICS_LISTEN", "nowhere:x", "127.0.0.1:9000"),
];

fn start(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Finished {
    let mut all = vec![("PORT", "0"), ("BETTER_AUTH_SECRET", tokens::SECRET)];
    all.retain(|(name, _)| !variables.iter().any(|(other, _)| other == name));
    all.extend_from_slice(variables);
    run(dir, arguments, &all)
}

/// What is wrong with a refusal to start: it must be one line that contains all of `parts`.
fn complaint(finished: &Finished, parts: &[&str]) -> Option<String> {
    let lines: Vec<_> = finished.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let said = format!("{}{}", finished.stderr, finished.stdout);
    let missing = parts.iter().find(|part| !finished.stderr.contains(**part));
    let problem = match missing {
        _ if finished.code == 0 => "it started".to_owned(),
        _ if said.contains("hunter2") || said.contains(tokens::SECRET) => "it shows a secret".to_owned(),
        _ if lines.len() != 1 => format!("it says {} lines", lines.len()),
        Some(part) => format!("it does not name {part}"),
        None => return None,
    };
    Some(format!("{problem}: {finished:?}"))
}

#[track_caller]
fn assert_refused(finished: &Finished, parts: &[&str]) {
    assert_eq!(complaint(finished, parts), None);
}

#[test]
fn a_wrong_variable_is_named_with_what_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let complaints = WRONG.iter().filter_map(|(name, value, allowed)| {
        let complaint = complaint(&start(dir.path(), &[], &[(name, value)]), &[name, allowed])?;
        Some(format!("{name}={value}: {complaint}"))
    });
    assert_eq!(complaints.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_wrong_flag_is_refused_like_its_variable() {
    let dir = tempfile::tempdir().unwrap();
    let complaints = WRONG.iter().flat_map(|(name, value, allowed)| {
        let flag = format!("--{}={value}", name.to_lowercase().replace('_', "-"));
        let starts = [start(dir.path(), &[&flag], &[]), start(dir.path(), &["serve", &flag], &[])];
        starts.map(|finished| Some(format!("{flag}: {}", complaint(&finished, &[name, allowed])?)))
    });
    assert_eq!(complaints.flatten().collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_wrong_line_of_the_env_file_is_refused_like_its_variable() {
    for (name, value, allowed) in
        [("MAX_BODY_BYTES", "lots", "from"), ("BETTER_AUTH_SECRET", "hunter2", "32")]
    {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".env"), format!("{name}={value}\n")).unwrap();
        assert_refused(&run(dir.path(), &[], &[("PORT", "0")]), &[name, allowed]);
    }
}

#[test]
fn an_env_file_that_cannot_be_read_is_named_and_not_shown() {
    for text in
        ["BETTER_AUTH_SECRET=\"hunter2\n", "hunter2 hunter2\n", "BETTER_AUTH_SECRET=hunter2 hunter2 $\n"]
    {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".env"), text).unwrap();
        assert_refused(&run(dir.path(), &[], &[("PORT", "0")]), &[".env"]);
    }
}

#[test]
fn a_refused_start_creates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert_refused(&run(dir.path(), &[], &[("PORT", "x")]), &["PORT"]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn production_needs_a_strong_secret() {
    let dir = tempfile::tempdir().unwrap();
    let production = [("PORT", "0"), ("ENVIRONMENT", "production")];
    assert_refused(&run(dir.path(), &[], &production), &["BETTER_AUTH_SECRET"]);
    for secret in
        ["", "   ", "hunter2", "hunter2-is-31-bytes-long-xxxxxx", "better-auth-secret-123456789012345"]
    {
        let finished =
            start(dir.path(), &[], &[("ENVIRONMENT", "production"), ("BETTER_AUTH_SECRET", secret)]);
        assert_refused(&finished, &["BETTER_AUTH_SECRET", "32"]);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "no secret is made in production");
}

#[test]
fn production_refuses_the_wildcard_origin() {
    let dir = tempfile::tempdir().unwrap();
    for origins in ["*", "https://app.example,*", "*,https://app.example"] {
        let finished = start(dir.path(), &[], &[("ENVIRONMENT", "production"), ("ALLOWED_ORIGINS", origins)]);
        assert_refused(&finished, &["ALLOWED_ORIGINS"]);
    }
}

#[test]
fn a_store_out_of_reach_is_named_without_its_password() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing listens there: the port was just released.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://ann:hunter2@{free}/tasks");
    // In parallel, since each waits a while for the database.
    let both = std::thread::scope(|scope| {
        let start = |command: &'static [&str]| start(dir.path(), command, &[("DATABASE_URL", &url)]);
        [&[][..], &["migrate"]]
            .map(|command| scope.spawn(move || start(command)))
            .map(|one| one.join().unwrap())
    });
    for finished in both {
        assert_ne!(finished.code, 0, "{finished:?}");
        assert!(!format!("{finished:?}").contains("hunter2"), "{finished:?}");
        assert!(!finished.stderr.is_empty());
    }
    std::fs::write(dir.path().join("a file"), "").unwrap();
    let inside = format!("sqlite://{}", dir.path().join("a file/tasklane.db").display());
    let finished = start(dir.path(), &[], &[("DATABASE_URL", &inside)]);
    assert_ne!(finished.code, 0, "{finished:?}");
    assert!(!finished.stderr.is_empty());
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    let port = server.address().rsplit(':').next().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let finished = start(dir.path(), &[], &[("PORT", port)]);
    assert_ne!(finished.code, 0, "{finished:?}");
    assert!(finished.stderr.contains(port), "{finished:?}");
}
