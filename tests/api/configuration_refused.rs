//! A wrong setting stops the start, with one line that says which one and what is allowed.

use std::net::TcpListener;
use std::path::Path;

use crate::support::command::{Finished, run};
use crate::support::{Kind, Server, Store, tokens};

/// Values that are wrong, and a word of what is allowed.
const WRONG: [(&str, &str, &str); 49] = [
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

/// What is wrong with the way a start was refused: it must be one line that holds all of `parts`.
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
fn nothing_is_made_by_a_start_that_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert_refused(&run(dir.path(), &[], &[("PORT", "x")]), &["PORT"]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn production_needs_a_secret_that_is_one() {
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
fn production_refuses_every_origin_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for origins in ["*", "https://app.example,*", "*,https://app.example"] {
        let finished = start(dir.path(), &[], &[("ENVIRONMENT", "production"), ("ALLOWED_ORIGINS", origins)]);
        assert_refused(&finished, &["ALLOWED_ORIGINS"]);
    }
}

#[test]
fn a_store_out_of_reach_is_named_without_its_password() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens there: the port was just given back.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://ann:hunter2@{free}/tasks");
    // At the same time, since each waits a while for the database to come.
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
