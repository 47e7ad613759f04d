//! A follower of a user's event stream throughout all faults: after a lost connection it resumes at any
//! server from its last event.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::driver::ask;
use crate::support::{Event, Events, User};

/// How long a stream may be silent before the follower leaves it for another.
const QUIET: Duration = Duration::from_secs(2);

/// Connections of one follower, at most.
const MOST: usize = 20_000;

/// What one follower has.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// The last seq it received.
    pub seq: i64,
    /// Its list, by id.
    pub tasks: HashMap<String, Value>,
    /// Every change it received, in this order.
    pub changes: Vec<Value>,
    /// How often it had to reload the list.
    pub resyncs: usize,
    /// A violation by a stream, if there was one.
    pub lie: Option<String>,
}

/// A running follower.
pub struct Follower {
    task: JoinHandle<Followed>,
    /// The seq it has to reach.
    target: Arc<AtomicI64>,
}

impl Follower {
    /// Follows a user, who is listed once for each server.
    pub fn start(doors: Vec<User>, seed: u64) -> Self {
        let target = Arc::new(AtomicI64::new(i64::MAX));
        let reached = Arc::clone(&target);
        let mut random = StdRng::seed_from_u64(seed);
        let task = tokio::spawn(async move {
            let mut followed = Followed::default();
            for _ in 0..MOST {
                if followed.seq >= reached.load(Ordering::Relaxed) {
                    break;
                }
                let user = &doors[random.random_range(0..doors.len())];
                followed.listen(user, &mut random, &reached).await;
                sleep(Duration::from_millis(random.random_range(10..200))).await;
            }
            followed
        });
        Self { task, target }
    }

    /// Waits until it reaches the last seq, which it must within a minute.
    pub async fn finish(self, seq: i64) -> Followed {
        self.target.store(seq, Ordering::Relaxed);
        let came = timeout(Duration::from_mins(1), self.task).await;
        came.unwrap_or_else(|_| panic!("a follower does not reach seq {seq}")).unwrap()
    }
}

impl Followed {
    /// Reads one connection, from the last event on.
    async fn listen(&mut self, user: &User, random: &mut StdRng, target: &AtomicI64) {
        let request = user.request(Method::GET, "/events").header("last-event-id", self.seq);
        let Ok(Ok(response)) = timeout(QUIET, request.send()).await else { return };
        if response.status() != 200 {
            return;
        }
        let mut events = Events::of_response(response);
        while self.seq < target.load(Ordering::Relaxed) {
            let Ok(Some(event)) = timeout(QUIET, events.next()).await else { return };
            if event.name == "resync" {
                return self.reload(user).await;
            }
            self.take(&event);
            // Now and then it disconnects for no reason.
            if random.random_ratio(1, 40) {
                return;
            }
        }
    }

    /// Applies one event.
    pub fn take(&mut self, event: &Event) {
        let goes_on = if event.name == "hello" { event.id == self.seq } else { event.id > self.seq };
        if !goes_on || event.data["seq"] != event.id {
            self.lie.get_or_insert_with(|| format!("a stream goes on from {} with {event:?}", self.seq));
        }
        if event.name == "hello" {
            return;
        }
        self.seq = event.id;
        let deleted = event.data["deleted"] == true;
        let task = if deleted { &event.data } else { &event.data["task"] };
        let id = task["id"].as_str().unwrap_or_default().to_owned();
        if deleted {
            self.tasks.remove(&id);
        } else {
            self.tasks.insert(id, task.clone());
        }
        self.changes.push(event.data.clone());
    }

    async fn reload(&mut self, user: &User) {
        self.resyncs += 1;
        let list = ask(user.request(Method::GET, "/tasks")).await;
        if let (200, Some(seq)) = (list.status, list.seq) {
            let body = list.json();
            let tasks = body["tasks"].as_array().into_iter().flatten();
            let tasks = tasks.map(|task| (task["id"].as_str().unwrap_or_default().to_owned(), task.clone()));
            (self.seq, self.tasks) = (seq, tasks.collect());
        }
    }
}
