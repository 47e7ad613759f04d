//! The place of one attack: a server on a store of its own, and what its attackers have done to it so far.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::support::{Server, Store, tokens};

/// A figure of one attack alone, and what it must stay below.
#[derive(Clone, Debug)]
pub struct Extra {
    pub name: &'static str,
    pub value: f64,
    pub bound: f64,
}

/// A server under attack.
pub struct Site {
    pub server: Server,
    pub store: Store,
    /// Whether this is the long form, in which counts are those of the table in docs/reliability.md.
    pub long: bool,
    /// Bytes that attackers have sent.
    sent: AtomicU64,
    over: AtomicBool,
    prepared: Notify,
    begun: Notify,
    /// The attackers' answers by status; 0 stands for none.
    answers: Mutex<BTreeMap<u16, u64>>,
    extras: Mutex<Vec<Extra>>,
}

impl Site {
    pub fn new(server: Server, store: Store, long: bool) -> Self {
        Self {
            server,
            store,
            long,
            sent: AtomicU64::new(0),
            over: AtomicBool::new(false),
            prepared: Notify::new(),
            begun: Notify::new(),
            answers: Mutex::default(),
            extras: Mutex::default(),
        }
    }

    /// The one of two counts that this form takes.
    pub fn pick<T>(&self, quick: T, long: T) -> T {
        if self.long { long } else { quick }
    }

    /// A token of this user.
    pub fn token(subject: &str) -> String {
        tokens::of(subject)
    }

    /// Called by an attack that is prepared: waits until it is to begin.
    pub async fn begin(&self) {
        self.prepared.notify_one();
        self.begun.notified().await;
    }

    /// Waits until the attack is prepared.
    pub async fn prepared(&self) {
        self.prepared.notified().await;
    }

    /// Lets the attack begin, from which on bytes and answers are counted.
    pub fn start(&self) {
        self.sent.store(0, Ordering::Relaxed);
        self.answers.lock().unwrap().clear();
        self.begun.notify_one();
    }

    /// Ends the attack.
    pub fn finish(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits for the end of the attack, while the caller holds what it has opened.
    pub async fn hold(&self) {
        while !self.is_over() {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Counts bytes that are sent.
    pub fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Counts an answer.
    pub fn count_answer(&self, status: u16) {
        *self.answers.lock().unwrap().entry(status).or_default() += 1;
    }

    pub fn answers(&self) -> BTreeMap<u16, u64> {
        self.answers.lock().unwrap().clone()
    }

    /// Adds a figure that only this attack has.
    pub fn note(&self, extra: Extra) {
        self.extras.lock().unwrap().push(extra);
    }

    pub fn extras(&self) -> Vec<Extra> {
        self.extras.lock().unwrap().clone()
    }
}
