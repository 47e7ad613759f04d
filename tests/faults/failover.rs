//! Failovers of real PostgreSQL servers under Patroni and etcd, with two replicas of the service under load:
//! the primary is killed; is paused until it has been replaced, then resumes; or is replaced by a switchover.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::{JoinHandle, JoinSet, block_in_place};
use tokio::time::sleep;

use crate::checker::check;
use crate::driver::{Load, USERS, Way};
use crate::history::Outcome;
use crate::parts::take_apart;
use crate::record::{Record, What};
use crate::support::{Server, Store, User};
use crate::trial::{Figures, ending, figures, part, recover, unanswered_seqs, until_answered};

/// What happens to the primary.
#[derive(Clone, Copy, Debug)]
enum End {
    /// kill -9 of PostgreSQL and Patroni; both are restarted once another server has taken over.
    Lost,
    /// Both are paused for this many seconds, longer than the lease: another server has taken over when they
    /// resume.
    Frozen(u64),
    /// `patronictl switchover`.
    Switched,
}

const ENDS: [End; 7] =
    [End::Lost, End::Frozen(12), End::Lost, End::Switched, End::Lost, End::Frozen(25), End::Lost];

/// The servers of `tests/cluster/patroni`.
struct Patroni {
    dir: TempDir,
    url: String,
}

impl Patroni {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // PostgreSQL runs as another user, who must be able to enter its folder.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut patroni = Self { dir, url: String::new() };
        patroni.url = patroni.run("start", None);
        patroni
    }

    fn run(&self, command: &str, node: Option<&str>) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/patroni");
        let output = Command::new(path).arg(command).arg(self.dir.path().join("patroni")).args(node).output();
        let output = output.expect("tests/cluster/patroni runs");
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "patroni {command}: {stdout}{stderr}");
        stdout.trim().to_owned()
    }

    /// Waits until there are a primary, a synchronous standby and another one; returns the primary and its
    /// timeline.
    fn settle(&self) -> (String, u64) {
        let state: Value = serde_json::from_str(&self.run("settle", None)).unwrap();
        (state["primary"].as_str().unwrap().to_owned(), state["timeline"].as_u64().unwrap())
    }

    /// Inflicts this on the primary.
    async fn inflict(&self, end: End, primary: &str) {
        match end {
            End::Lost => {
                block_in_place(|| self.run("crash", Some(primary)));
                block_in_place(|| self.run("replaced", Some(primary)));
                // It was gone for a while.
                sleep(Duration::from_secs(3)).await;
                block_in_place(|| self.run("back", Some(primary)));
            }
            End::Frozen(seconds) => {
                block_in_place(|| self.run("freeze", Some(primary)));
                sleep(Duration::from_secs(seconds)).await;
                block_in_place(|| self.run("replaced", Some(primary)));
                block_in_place(|| self.run("thaw", Some(primary)));
            }
            End::Switched => drop(block_in_place(|| self.run("switchover", None))),
        }
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        self.run("stop", None);
    }
}

/// Writes for every user five times a second, without waiting for answers, and notes when each is
/// acknowledged.
struct Probe {
    acknowledged: Arc<Mutex<Vec<(usize, Instant)>>>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Probe {
    fn start(load: &Arc<Load>) -> Self {
        let (load, stop) = (Arc::clone(load), Arc::new(AtomicBool::new(false)));
        let acknowledged: Arc<Mutex<Vec<_>>> = Arc::default();
        let (stopped, notes) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let task = tokio::spawn(async move {
            let mut writes = JoinSet::new();
            for round in 0..2_000 {
                for user in 0..USERS {
                    let (load, notes) = (Arc::clone(&load), Arc::clone(&notes));
                    writes.spawn(async move {
                        let title = format!("task probe{round}.{}", uuid::Uuid::new_v4().simple());
                        let way = Way { server: round % load.servers(), user, patience: None };
                        let outcome = load.send(way, &What::Create { id: None, title }, None).await;
                        if matches!(outcome, Ok(Outcome::Done(_))) {
                            notes.lock().unwrap().push((user, Instant::now()));
                        }
                    });
                }
                while writes.try_join_next().is_some() {}
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                sleep(Duration::from_millis(200)).await;
            }
            writes.join_all().await;
        });
        Self { acknowledged, stop, task }
    }

    /// Waits until every user has had a write acknowledged since then.
    async fn all_since(&self, since: Instant) {
        for _ in 0..3_000 {
            let found = self.acknowledged.lock().unwrap().clone();
            if (0..USERS).all(|user| found.iter().any(|(of, at)| *of == user && *at > since)) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("after minutes not every user can write");
    }

    /// Ends it; returns the longest time without an acknowledged write: for all users together, and for a
    /// single user.
    async fn end(self, since: Instant) -> (Duration, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        let mut found = self.acknowledged.lock().unwrap().clone();
        found.sort_by_key(|(_, at)| *at);
        let longest = |of: Option<usize>| {
            let acknowledged = found.iter().filter(|(user, _)| of.is_none_or(|of| of == *user));
            let mut last = since;
            let mut longest = Duration::ZERO;
            for (_, at) in acknowledged.filter(|(_, at)| *at > since) {
                longest = longest.max(*at - last);
                last = *at;
            }
            longest
        };
        (longest(None), (0..USERS).map(|user| longest(Some(user))).max().unwrap_or_default())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "five minutes, and packages of Debian: started by tests/cluster/run"]
async fn failover_after_failover_loses_nothing_and_shows_nothing_old() {
    let seed = std::env::var("SEED").map_or(1, |seed| seed.parse().expect("SEED is a number"));
    let patroni = block_in_place(Patroni::start);
    let store = Store::at(&patroni.url);
    let servers =
        [Server::with(&store, &[("MODE", "cluster")]), Server::with(&store, &[("MODE", "cluster")])];
    let name = |user: usize| format!("user {user}");
    let door = |server: &Server| (0..USERS).map(|user| server.user(&name(user))).collect();
    let load = Load::new(servers.iter().map(door).collect());
    let clients = load.start(seed);
    until_answered(&load, 300).await;

    let mut table = String::new();
    for (number, end) in (1..).zip(ENDS) {
        let (primary, timeline) = block_in_place(|| patroni.settle());
        let probe = Probe::start(&load);
        sleep(Duration::from_secs(1)).await;
        let since = Instant::now();
        patroni.inflict(end, &primary).await;
        let inflicted = Instant::now();
        let (new, next) = block_in_place(|| patroni.settle());
        assert!(new != primary && next > timeline, "{end:?}: {primary} on {timeline}, then {new} on {next}");
        probe.all_since(inflicted).await;
        let (all, one) = probe.end(since).await;
        let row = format!(
            "{number:>8}  {:<11} {:>6.1} s {:>9.1} s  {primary} -> {new}  {next:>8}\n",
            format!("{end:?}"),
            all.as_secs_f64(),
            one.as_secs_f64()
        );
        eprint!("{row}");
        table.push_str(&row);
    }
    load.stop();
    for client in clients {
        client.await.unwrap();
    }
    recover(&load, seed).await;
    servers.into_iter().for_each(Server::stop);
    let figures = judge(&load.book.close(), &Server::start(&store), name).await;
    println!("failover  kind        no write  for one user  primary   timeline\n{table}");
    println!(
        "{} operations, {} acknowledged writes, {} refused, {} unknown, of which {} were carried out; violations: 0",
        figures.operations, figures.acknowledged, figures.refused, figures.unknown, figures.unanswered
    );
}

/// Compares the clients' answers with what a fresh server has.
async fn judge(records: &[Record], server: &Server, name: impl Fn(usize) -> String) -> Figures {
    let mut unanswered = 0;
    for number in 0..USERS {
        let of_user: Vec<Record> = records.iter().filter(|record| record.user == number).cloned().collect();
        let user: User = server.user(&name(number));
        let end = ending(&user).await;
        if let Err(complaint) = check(&of_user, &end) {
            panic!("user {number}: {complaint}\n\nthe part of the history:\n{}", part(&of_user, &complaint));
        }
        unanswered += unanswered_seqs(&take_apart(&of_user).expect("it was checked"), &end);
    }
    Figures { unanswered, ..figures(records, std::collections::BTreeMap::new()) }
}
