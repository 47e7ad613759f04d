//! What makes an acknowledgement durable: on SQLite, the syncs between a request and its 201, seen by strace;
//! on PostgreSQL, the server's settings, which the start checks.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::cluster::Cluster;
use crate::support::command::{Process, run};
use crate::support::{Kind, Server, Store, tokens};

/// Writes that are traced.
const WRITES: usize = 20;

/// The server's system calls, in order, while it handles some writes one after the other. With `no_sync`, a
/// preloaded library turns every sync into a no-op.
async fn trace(no_sync: bool) -> String {
    let store = Store::new(Kind::Sqlite).await;
    let file = store.dir().join("trace");
    let calls =
        "trace=fsync,fdatasync,sync_file_range,read,recvfrom,readv,recvmsg,write,writev,sendto,sendmsg";
    let file_name = file.to_str().unwrap();
    // -D: the server stays the process that was started.
    let mut runner = vec!["strace", "-D", "-f", "-qq", "-y", "-s", "200", "-e", calls, "-o", file_name];
    if no_sync {
        runner.extend(["-E", "LD_PRELOAD=libeatmydata.so"]);
    }
    let path = std::env::var("PATH").unwrap();
    let variables = [
        ("PATH", path.as_str()),
        ("PORT", "0"),
        ("DATABASE_URL", store.url()),
        ("BETTER_AUTH_SECRET", tokens::SECRET),
    ];
    let server = Server::of(Process::start_under(&runner, store.dir(), &[], &variables));
    let ann = server.user("ann");
    for number in 0..WRITES {
        ann.post(&json!({"title": number.to_string()})).await.expect(201);
    }
    server.stop();
    fs::read_to_string(Path::new(&file)).unwrap()
}

/// For each write: whether the write-ahead log was synced after the request came and before its answer left.
fn synced(trace: &str) -> Vec<bool> {
    let lines: Vec<_> = trace.lines().collect();
    let is_sync = |line: &str| {
        // A call that another thread's interrupted takes two lines; the second has no path.
        let whole = line.contains("fdatasync(") || line.contains("fsync(");
        let ends = line.contains("fdatasync resumed") || line.contains("fsync resumed");
        (whole && line.contains("tasklane.db-wal>") || ends) && line.trim_end().ends_with("= 0")
    };
    let came: Vec<_> = (0..lines.len()).filter(|at| lines[*at].contains("POST /api/")).collect();
    came.into_iter()
        .map(|from| {
            let answer = (from..lines.len()).find(|at| lines[*at].contains("HTTP/1.1 201")).unwrap();
            lines[from..answer].iter().any(|line| is_sync(line))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_write_is_synced_before_its_answer_on_sqlite() {
    needs!(Strace);
    let trace = trace(false).await;
    assert_eq!(synced(&trace), [true; WRITES], "{trace}");
}

/// Shows that the test above can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_syncs_is_detected_on_sqlite() {
    needs!(Strace, Eatmydata);
    let trace = trace(true).await;
    assert_eq!(synced(&trace), [false; WRITES], "{trace}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_durable_commits_is_refused_in_production_and_warned_of_in_development_on_postgres()
 {
    needs!(Postgres);
    for setting in ["fsync", "full_page_writes"] {
        let off = format!("{setting}=off");
        let cluster = Cluster::with(&[&off]);
        let store = Store::at(&cluster.url);
        let variables = |more: &[(&'static str, &'static str)]| {
            let url = store.url().to_owned();
            let secret = tokens::SECRET.to_owned();
            let mut all =
                vec![("PORT", "0".to_owned()), ("DATABASE_URL", url), ("BETTER_AUTH_SECRET", secret)];
            all.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
            all
        };
        let production = variables(&[("ENVIRONMENT", "production")]);
        let production: Vec<_> = production.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let refused = run(store.dir(), &[], &production);
        assert_ne!(refused.code, 0, "{setting}");
        assert!(refused.stderr.contains(&format!("{setting} = off")), "{refused:?}");
        assert!(refused.stderr.contains("ALLOW_UNSAFE_STORE"), "{refused:?}");
        for settings in [
            &[("ENVIRONMENT", "production"), ("ALLOW_UNSAFE_STORE", "true")][..],
            &[("ENVIRONMENT", "development")],
        ] {
            let server = Server::with(&store, settings);
            server.log_line(&[&format!("{setting} = off"), "WARN"]);
            server.user("ann").create("kept as well as it goes").await;
            server.stop();
        }
    }
}

/// The commit connection turns `synchronous_commit` on even if the server, database or role has it off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_are_synchronous_whatever_the_servers_default_on_postgres() {
    needs!(Postgres);
    let cluster = Cluster::with(&["synchronous_commit=off", "wal_writer_delay=10s"]);
    let store = Store::at(&cluster.url);
    let server = Server::with(&store, &[("ENVIRONMENT", "production")]);
    server.user("ann").create("kept").await;
    cluster.kill();
    cluster.restart();
    let after = Server::start(&store);
    assert_eq!(after.user("ann").list().await.len(), 1);
    server.stop();
}
