//! The load: clients that work like real ones and record every answer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::history::Outcome;
use crate::record::{Book, Record, Reply, What};
use crate::support::User;

/// Users; a third of all requests are the first one's.
pub const USERS: usize = 8;

/// This user is erased now and then. That forgets keys, so this user's writes have none.
const ERASED: usize = USERS - 1;

const CLIENTS: usize = 24;

/// Requests of one client, at most.
const MOST: usize = 50_000;

/// From this number of tasks on, a user deletes more than they create, so that lists stay short.
const MANY: usize = 24;

/// How often a write with a key is sent until its outcome is known.
const TRIES: usize = 8;

/// How long an impatient client waits before it goes to another server.
const SHORT: Duration = Duration::from_millis(700);

/// The server and user of a request, and how long its answer is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub server: usize,
    pub user: usize,
    /// At most this long; `None`: the usual time.
    pub patience: Option<Duration>,
}

/// A load on one or several servers, which may be restarted meanwhile.
pub struct Load {
    pub book: Book,
    /// Every user, at every server.
    doors: Vec<Vec<User>>,
    stop: AtomicBool,
    /// The known tasks of each user, with their newest known version.
    known: Vec<Mutex<VecDeque<(String, i64)>>>,
}

impl Load {
    /// Clients for these users, who are listed once for each server. Every request goes to any of the
    /// servers.
    pub fn new(doors: Vec<Vec<User>>) -> Arc<Self> {
        let known = doors[0].iter().map(|_| Mutex::default()).collect();
        Arc::new(Self { book: Book::default(), doors, stop: AtomicBool::new(false), known })
    }

    /// How many servers there are.
    pub fn servers(&self) -> usize {
        self.doors.len()
    }

    /// Starts all clients.
    pub fn start(self: &Arc<Self>, seed: u64) -> Vec<tokio::task::JoinHandle<()>> {
        let client = |number: usize| {
            let load = Arc::clone(self);
            let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number as u64));
            // When one of several servers is paused, most clients go to another; some wait for its answer.
            let hurries = self.servers() > 1 && !number.is_multiple_of(4);
            let patience = hurries.then_some(SHORT);
            tokio::spawn(async move {
                for round in 0..MOST {
                    if load.stop.load(Ordering::Relaxed) {
                        break;
                    }
                    load.step(&mut random, patience, &format!("{number}.{round}")).await;
                    tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
                }
            })
        };
        (0..CLIENTS).map(client).collect()
    }

    /// Lets every client finish its current operation, and stops.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// One operation of one client, with its retries.
    async fn step(&self, random: &mut StdRng, patience: Option<Duration>, name: &str) {
        let user = if random.random_ratio(1, 3) { 0 } else { random.random_range(0..USERS) };
        let what = self.choose(random, user, name);
        let way =
            |random: &mut StdRng| Way { server: random.random_range(0..self.servers()), user, patience };
        if what.reads() {
            // The book says what it means.
            self.send(way(random), &what, None).await.ok();
            return;
        }
        let key = (user != ERASED && random.random_bool(0.4)).then(|| format!("key {name}"));
        // A create with a chosen id may be sent again without a key.
        let again =
            key.is_some() || (matches!(what, What::Create { id: Some(_), .. }) && random.random_bool(0.5));
        for _ in 0..TRIES {
            let outcome = self.send(way(random), &what, key.as_deref()).await;
            if matches!(outcome, Ok(Outcome::Done(_) | Outcome::Refused(_)) | Err(_)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(10..150))).await;
            if !again {
                return;
            }
        }
        // Sent once more though it succeeded: the answer must be the first one.
        if key.is_some() && random.random_bool(0.2) {
            self.send(way(random), &what, key.as_deref()).await.ok();
        }
    }

    fn choose(&self, random: &mut StdRng, user: usize, name: &str) -> What {
        let id = |random: &mut StdRng| Uuid::from_u128(random.random()).to_string();
        match random.random_range(0..40) {
            0..3 => {
                let count = random.random_range(1..5);
                let mut writes: Vec<What> = Vec::new();
                for place in 0..count {
                    let write = self.choose_one(random, user, &format!("{name}.{place}"));
                    // Writes to different tasks, no reads.
                    let apart = |other: &What| other.task().is_none() || other.task() != write.task();
                    if !write.reads() && writes.iter().all(apart) {
                        writes.push(write);
                    }
                }
                if !writes.is_empty() {
                    return What::Batch(writes);
                }
            }
            3 => {
                let count = random.random_range(1..4);
                return What::Import((0..count).map(|n| (id(random), format!("task {name}.{n}"))).collect());
            }
            4 => return What::Export,
            5 if user == ERASED => return What::Erase,
            _ => {}
        }
        self.choose_one(random, user, name)
    }

    fn choose_one(&self, random: &mut StdRng, user: usize, name: &str) -> What {
        let mut known = self.known[user].lock().unwrap();
        let place = (!known.is_empty()).then(|| random.random_range(0..known.len()));
        let fate = random.random_range(0..100_usize);
        let Some(place) = place.filter(|_| fate >= 20 || known.len() > MANY) else {
            let id = random.random_bool(0.5).then(|| Uuid::from_u128(random.random()).to_string());
            return What::Create { id, title: format!("task {name}") };
        };
        let (id, version) = known[place].clone();
        let if_match = random.random_bool(0.3).then_some(version);
        match fate {
            ..20 => {
                known.remove(place);
                What::Delete { id, if_match: None }
            }
            20..35 => {
                if if_match.is_none() {
                    known.remove(place);
                }
                What::Delete { id, if_match }
            }
            35..55 => What::Describe { id, text: format!("text {name}"), if_match },
            55..75 => What::Complete { id, completed: [None, None, Some(true), Some(false)][fate % 4] },
            75..88 => What::List,
            _ => What::Task { id },
        }
    }

    /// Sends one request and records its answer.
    pub async fn send(&self, way: Way, what: &What, key: Option<&str>) -> Result<Outcome, String> {
        let Way { server, user, patience } = way;
        let mut request = request(&self.doors[server][user], what);
        if let Some(key) = key {
            request = request.header("idempotency-key", format!("\"{key}\""));
        }
        if let Some(patience) = patience {
            request = request.timeout(patience);
        }
        let invoked = self.book.tick();
        let reply = ask(request).await;
        let returned = self.book.tick();
        let (what, key) = (what.clone(), key.map(str::to_owned));
        let record = Record { server, user, what, key, invoked, returned, reply };
        self.learn(&record);
        let outcome = record.outcome();
        self.book.add(record);
        outcome
    }

    /// Remembers the versions in an answer.
    fn learn(&self, record: &Record) {
        let body = match record.reply.status {
            200 | 201 => record.reply.json(),
            _ => return,
        };
        let mut known = self.known[record.user].lock().unwrap();
        if record.what == What::List {
            let tasks = body["tasks"].as_array().cloned().unwrap_or_default();
            *known = tasks.iter().filter_map(known_as).collect();
            return;
        }
        let results = body["results"].as_array();
        let shown =
            results.map_or(vec![&body], |results| results.iter().map(|result| &result["task"]).collect());
        for (id, version) in shown.into_iter().filter_map(known_as) {
            match known.iter_mut().find(|(other, _)| *other == id) {
                Some((_, newest)) => *newest = version.max(*newest),
                None if matches!(record.what, What::Create { .. } | What::Batch(_)) => {
                    known.push_back((id, version));
                }
                None => {}
            }
        }
    }
}

fn known_as(task: &Value) -> Option<(String, i64)> {
    Some((task["id"].as_str()?.to_owned(), task["version"].as_i64()?))
}

fn request(user: &User, what: &What) -> RequestBuilder {
    let on = |method: Method, id: &str| user.request(method, &format!("/tasks/{id}"));
    let matching = |request: RequestBuilder, version: Option<i64>| match version {
        Some(version) => request.header("if-match", format!("\"{version}\"")),
        None => request,
    };
    match what {
        What::Create { id, title } => user.request(Method::POST, "/tasks").json(&made(id.as_ref(), title)),
        What::Describe { id, text, if_match } => {
            matching(on(Method::PATCH, id).json(&json!({"description": text})), *if_match)
        }
        What::Complete { id, completed } => {
            let request = user.request(Method::PATCH, &format!("/tasks/{id}/complete"));
            match completed {
                Some(completed) => request.json(&json!({"completed": completed})),
                None => request,
            }
        }
        What::Delete { id, if_match } => matching(on(Method::DELETE, id), *if_match),
        What::List => user.request(Method::GET, "/tasks"),
        What::Task { id } => on(Method::GET, id),
        What::Batch(writes) => {
            let operations: Vec<Value> = writes.iter().map(operation).collect();
            user.request(Method::POST, "/batch").json(&json!({"operations": operations}))
        }
        What::Import(tasks) => {
            let at = "2026-01-01T00:00:00Z";
            let task = |(id, title): &(String, String)| json!({"id": id, "title": title, "created_at": at, "updated_at": at});
            user.request(Method::POST, "/import")
                .json(&json!({"tasks": tasks.iter().map(task).collect::<Vec<_>>()}))
        }
        What::Export => user.request(Method::GET, "/export"),
        What::Erase => user.request(Method::DELETE, "").header("x-confirm-delete", &user.subject),
    }
}

fn made(id: Option<&String>, title: &str) -> Value {
    id.map_or_else(|| json!({"title": title}), |id| json!({"id": id, "title": title}))
}

/// A write as an operation of a batch.
fn operation(write: &What) -> Value {
    let mut operation = match write {
        What::Create { id, title } => json!({"op": "create", "task": made(id.as_ref(), title)}),
        What::Describe { id, text, .. } => json!({"op": "update", "id": id, "task": {"description": text}}),
        What::Complete { id, completed } => match completed {
            Some(completed) => json!({"op": "complete", "id": id, "completed": completed}),
            None => json!({"op": "complete", "id": id}),
        },
        What::Delete { id, .. } => json!({"op": "delete", "id": id}),
        other => unreachable!("not a write of a batch: {other:?}"),
    };
    if let What::Describe { if_match: Some(version), .. } | What::Delete { if_match: Some(version), .. } =
        write
    {
        operation["if_match"] = json!(version);
    }
    operation
}

/// Sends a request and returns its answer or failure.
pub async fn ask(request: RequestBuilder) -> Reply {
    let nothing = |error: &reqwest::Error| Reply {
        status: 0,
        seq: None,
        replayed: false,
        body: format!("{error:?}").into_bytes(),
        unsent: error.is_connect(),
    };
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return nothing(&error),
    };
    let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
    let (seq, replayed) = (header("x-tasklane-seq"), header("idempotent-replayed").is_some());
    let (status, seq) = (response.status().as_u16(), seq.and_then(|seq| seq.parse().ok()));
    match response.bytes().await {
        Ok(body) => Reply { status, seq, replayed, body: body.to_vec(), unsent: false },
        Err(error) => nothing(&error),
    }
}
