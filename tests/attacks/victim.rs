//! Who must not notice an attack: a user with a usual list, who asks for one thing after the other, and a probe
//! of `/health`. Both come from an address of their own and work on a thread of their own, so that the attackers'
//! work delays them as little as if they were on another machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tasklane_load::http1::Connection;
use tokio::time::{sleep, timeout};

use crate::material::{batch, create, delete, described, flip, id, imports};
use crate::site::Site;
use crate::wire::{connect, get, post, request};

/// Tasks in the usual list.
const USUAL: usize = 50;

/// The first task of its import of 25 KB.
const LONG: usize = 2_000_000;

/// How long the victim waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The probe's request.
pub const PROBE: &str = "/health";

const ADDRESS: &str = "127.0.0.2";

/// The phases of one attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    WarmUp,
    Quiet,
    Attack,
    Recovery,
}

/// One request of the victim or the probe.
#[derive(Clone, Debug)]
pub struct Sample {
    pub phase: Phase,
    /// Which request it was; the probe's is `PROBE`.
    pub what: &'static str,
    pub ended: Instant,
    pub took: Duration,
    /// What went wrong.
    pub failure: Option<String>,
}

/// The victim and the probe at work.
pub struct Victim {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    address: SocketAddr,
    phase: AtomicUsize,
    stop: AtomicBool,
    samples: Mutex<Vec<Sample>>,
}

impl Victim {
    pub fn start(address: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            address,
            phase: AtomicUsize::new(Phase::WarmUp as usize),
            stop: AtomicBool::new(false),
            samples: Mutex::default(),
        });
        let working = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            come_first();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::join!(work(&working), probe(&working));
            });
        });
        Self { shared, thread: Some(thread) }
    }

    pub fn enter(&self, phase: Phase) {
        self.shared.phase.store(phase as usize, Ordering::Relaxed);
    }

    /// The requests of one phase so far.
    pub fn seen(&self, phase: Phase) -> Vec<Sample> {
        let samples = self.shared.samples.lock().unwrap();
        samples.iter().filter(|sample| sample.phase == phase).cloned().collect()
    }

    /// Ends its work, with the request that is being made.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the victim panicked");
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn phase(&self) -> Phase {
        let phase = self.phase.load(Ordering::Relaxed);
        [Phase::WarmUp, Phase::Quiet, Phase::Attack, Phase::Recovery][phase]
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Makes one request and notes how it went. A connection that the server closed between two requests is no
    /// failure: clients open another.
    async fn ask(&self, wire: &mut Option<Connection>, what: &'static str, request: &[u8]) {
        let (phase, began) = (self.phase(), Instant::now());
        let kept = wire.is_some();
        let mut outcome = timeout(PATIENCE, self.exchange(wire, request)).await;
        if kept && matches!(outcome, Ok(Err(_))) {
            *wire = None;
            outcome = timeout(PATIENCE, self.exchange(wire, request)).await;
        }
        let failure = match outcome {
            Ok(Ok(200..300)) => None,
            Ok(Ok(status)) => Some(status.to_string()),
            Ok(Err(error)) => Some(format!("{:?}", error.kind())),
            Err(_) => Some("no answer in 10 s".to_owned()),
        };
        if failure.is_some() {
            *wire = None;
        }
        let sample = Sample { phase, what, ended: Instant::now(), took: began.elapsed(), failure };
        self.samples.lock().unwrap().push(sample);
    }

    async fn exchange(&self, wire: &mut Option<Connection>, request: &[u8]) -> std::io::Result<u16> {
        let connection = match wire {
            Some(connection) => connection,
            None => wire.insert(Connection::over(connect(ADDRESS, self.address, None).await?)),
        };
        let answer = connection.exchange(request).await?;
        if answer.close {
            *wire = None;
        }
        Ok(answer.status)
    }
}

/// Lets this thread run before the attackers', as if it were on another machine, where that is allowed.
fn come_first() {
    let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    let Some(id) = thread.file_name() else { return };
    let _ = std::process::Command::new("renice").args(["-n", "-10", "-p"]).arg(id).output();
}

/// The victim's closed loop.
async fn work(shared: &Shared) {
    let token = Site::token("victim");
    let tasks: Vec<String> = (0..USUAL).map(|number| create(number, &described(number, 100))).collect();
    // An import that is read on the threads of heavy work, and changes nothing after the first time.
    let long = imports(LONG..LONG + 12, |number| described(number, 2_000)).remove(0);
    let long = post("/import", &token, &long);
    let mut wire = None;
    shared.ask(&mut wire, "batch", &post("/batch", &token, &batch(&tasks))).await;
    for round in 0..1_000_000 {
        if round % 10 == 9 {
            // As a browser does after a pause.
            wire = None;
        }
        for (what, request) in one_round(&token, round) {
            if shared.stopped() {
                return;
            }
            shared.ask(&mut wire, what, &request).await;
            sleep(Duration::from_millis(1)).await;
        }
        // More often than once in a hundred requests, so that the p99 shows it.
        if round % 4 == 3 {
            shared.ask(&mut wire, "long import", &long).await;
        }
    }
}

fn one_round(token: &str, round: usize) -> Vec<(&'static str, Bytes)> {
    let (task, list) = (USUAL + round, get("/tasks", token));
    let path = format!("/tasks/{}", id(task));
    let body = format!(r#"{{"id":"{}",{}}}"#, id(task), described(task, 100));
    let mut requests = vec![
        ("create", post("/tasks", token, &body)),
        ("list", list.clone()),
        ("read", get(&path, token)),
        ("update", request("PATCH", &path, token, &[], r#"{"title":"changed"}"#)),
        ("list", list.clone()),
        ("flip", flip(token, task)),
        ("delete", request("DELETE", &path, token, &[], "")),
        ("list", list),
    ];
    if round % 10 == 5 {
        let other = 1_000_000 + round;
        let operations = [create(other, &described(other, 100)), delete(other)];
        requests.push(("batch", post("/batch", token, &batch(&operations))));
        let imported = imports(other..other + 1, |number| described(number, 100)).remove(0);
        requests.push(("import", post("/import", token, &imported)));
    }
    requests
}

/// Asks for `/health` as a supervisor does: on a new connection each time.
async fn probe(shared: &Shared) {
    let health = get("//health", "");
    while !shared.stopped() {
        shared.ask(&mut None, PROBE, &health).await;
        sleep(Duration::from_millis(20)).await;
    }
}

/// Figures of one phase.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub requests: usize,
    pub p50: Duration,
    pub p99: Duration,
    /// The slowest request, and which it was.
    pub max: Duration,
    pub slowest: &'static str,
    pub failures: BTreeMap<String, usize>,
    /// The probe's slowest answer, and how often it got none.
    pub health: Duration,
    pub health_failures: usize,
}

impl Figures {
    pub fn of(samples: &[Sample]) -> Self {
        let (probes, requests): (Vec<_>, Vec<_>) = samples.iter().partition(|sample| sample.what == PROBE);
        let mut took: Vec<Duration> = requests.iter().map(|sample| sample.took).collect();
        took.sort_unstable();
        let at = |part: usize| took.get((took.len() * part).div_ceil(100).saturating_sub(1)).copied();
        let mut failures = BTreeMap::new();
        for failure in requests.iter().filter_map(|sample| sample.failure.clone()) {
            *failures.entry(failure).or_default() += 1;
        }
        Self {
            requests: took.len(),
            p50: at(50).unwrap_or_default(),
            p99: at(99).unwrap_or_default(),
            max: took.last().copied().unwrap_or_default(),
            slowest: requests.iter().max_by_key(|sample| sample.took).map_or("", |sample| sample.what),
            failures,
            health: probes.iter().map(|sample| sample.took).max().unwrap_or_default(),
            health_failures: probes.iter().filter(|sample| sample.failure.is_some()).count(),
        }
    }
}
