//! A log that nobody reads, or that cannot be written, is nobody's trouble but its reader's.

use std::fs::{File, OpenOptions};
use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;

use crate::support::command::{Line, PATIENCE, Process};
use crate::support::{Kind, Server, Store, tokens};

/// Starts a server whose shell first redirects its output.
fn redirected(store: &Store, redirection: &str, settings: &[(&str, &str)]) -> Server {
    let script = format!("exec \"$@\" {redirection}");
    Server::under(&["sh", "-c", &script, "sh"], store, settings)
}

/// A pipe named `log` in the store's folder, with a reader that reads nothing.
fn pipe(store: &Store) -> File {
    let path = store.dir().join("log");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Opened for reading alone it would wait for the writer.
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

/// How many log lines the server says were dropped.
async fn dropped(server: &Server) -> u64 {
    let text = server.get("/metrics").await.expect(200).text();
    let mut lines = text.lines();
    let count = lines.find_map(|line| line.strip_prefix("tasklane_log_lines_dropped_total ")).unwrap();
    count.parse().unwrap()
}

/// Waits until the server has dropped a line.
async fn wait_for_a_dropped_line(server: &Server) {
    for _ in 0..600 {
        if dropped(server).await > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no dropped line is counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_holds_up_no_request_and_no_stop() {
    let store = Store::new(Kind::Sqlite).await;
    let unread = pipe(&store);
    let server = redirected(&store, "2>log", &[]);
    let ann = server.user("ann");
    // Their lines are several times what the pipe holds.
    for _ in 0..20 {
        for answer in join_all((0..100).map(|_| ann.get("/tasks"))).await {
            answer.expect(200);
        }
    }
    server.stop();
    drop(unread);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_reader_has_gone_is_dropped_and_counted() {
    let store = Store::new(Kind::Sqlite).await;
    let reader = pipe(&store);
    let server = redirected(&store, "2>log", &[]);
    drop(reader);
    server.user("ann").create("a").await;
    wait_for_a_dropped_line(&server).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_on_a_full_disk_or_a_closed_stderr_ends_nothing() {
    let store = Store::new(Kind::Sqlite).await;
    let server = redirected(&store, "2>/dev/full", &[]);
    server.user("ann").create("a").await;
    wait_for_a_dropped_line(&server).await;
    server.stop();
    let server = redirected(&store, "2>&-", &[]);
    server.user("ann").create("a").await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_greeting_that_cannot_be_printed_ends_nothing() {
    let store = Store::new(Kind::Sqlite).await;
    for redirection in [">/dev/full", ">&-"] {
        let script = format!("exec \"$@\" {redirection}");
        let settings = [("PORT", "0"), ("DATABASE_URL", store.url()), ("BETTER_AUTH_SECRET", tokens::SECRET)];
        let mut process = Process::start_under(&["sh", "-c", &script, "sh"], store.dir(), &[], &settings);
        let logged = process.output.wait_for(PATIENCE, |line| match line {
            Line::Err(text) => text.split("http://").nth(1).map(str::to_owned),
            Line::Out(_) => None,
        });
        let address = logged.unwrap_or_else(|| panic!("no address: {:#?}", process.output.lines()));
        let address = address.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').next().unwrap();
        let health = reqwest::Client::builder().no_proxy().build().unwrap();
        let health = health.get(format!("http://{address}/health")).send().await.unwrap();
        assert_eq!(health.status().as_u16(), 200);
        process.signal("TERM");
        let status = process.wait();
        assert!(status.success(), "{status}: {:#?}", process.output.lines());
    }
}
