//! The book of one run: what each client asked for and was answered.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::driver::Way;
use crate::history::Outcome;
use crate::model::{Fields, Write};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Create a task, with a unique title.
    Create { id: Option<String>, title: String },
    /// Set a unique description.
    Describe { id: String, text: String, if_match: Option<i64> },
    /// Complete, reopen, or flip.
    Complete { id: String, completed: Option<bool> },
    /// Remove a task.
    Delete { id: String, if_match: Option<i64> },
    /// Read the list.
    List,
    /// Read one task.
    Task { id: String },
    /// Several writes to different tasks, all or none.
    Batch(Vec<What>),
    /// Import tasks, by id and title, each of them unique.
    Import(Vec<(String, String)>),
    /// Export.
    Export,
    /// Erase the user.
    Erase,
}

impl What {
    /// Whether it changes nothing.
    pub fn reads(&self) -> bool {
        matches!(self, Self::List | Self::Task { .. } | Self::Export)
    }

    /// What it does to a task, or to all; `None`: it reads, or has several parts.
    pub fn write(&self) -> Option<Write> {
        Some(match self.clone() {
            Self::Create { title, .. } => Write::create(&title),
            Self::Describe { text, if_match, .. } => Write::Update {
                fields: Fields { description: Some(Some(text)), ..Fields::default() },
                if_match,
            },
            Self::Complete { completed, .. } => Write::Complete(completed),
            Self::Delete { if_match, .. } => Write::Delete { if_match },
            Self::Erase => Write::Erase,
            Self::List | Self::Task { .. } | Self::Batch(_) | Self::Import(_) | Self::Export => return None,
        })
    }

    /// The task it names.
    pub fn task(&self) -> Option<&str> {
        match self {
            Self::Create { id, .. } => id.as_deref(),
            Self::Describe { id, .. }
            | Self::Complete { id, .. }
            | Self::Delete { id, .. }
            | Self::Task { id } => Some(id),
            Self::List | Self::Batch(_) | Self::Import(_) | Self::Export | Self::Erase => None,
        }
    }
}

/// The answer to one request.
#[derive(Clone)]
pub struct Reply {
    /// The status, or 0 without an answer.
    pub status: u16,
    /// `X-Tasklane-Seq`.
    pub seq: Option<i64>,
    /// `Idempotent-Replayed`.
    pub replayed: bool,
    /// The body, or why there is none.
    pub body: Vec<u8>,
    /// Whether the request certainly never reached the server.
    pub unsent: bool,
}

impl Reply {
    /// The body, if it is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// One request.
#[derive(Clone)]
pub struct Record {
    /// Which server was asked.
    pub server: usize,
    /// Which user's tasks.
    pub user: usize,
    /// What was asked for.
    pub what: What,
    /// `Idempotency-Key`: all requests under one key ask for the same.
    pub key: Option<String>,
    /// When it was sent and when it was answered, by the run's logical clock.
    pub invoked: u64,
    /// See `invoked`.
    pub returned: u64,
    /// The answer.
    pub reply: Reply,
}

impl Record {
    /// What the answer means, by the contract.
    ///
    /// # Errors
    /// An answer that the contract does not know.
    pub fn outcome(&self) -> Result<Outcome, String> {
        let reply = &self.reply;
        let seq = || reply.seq.ok_or_else(|| format!("no X-Tasklane-Seq: {self:?}"));
        Ok(match (reply.status, &self.what) {
            (0, _) if reply.unsent => Outcome::NotApplied,
            (0, _) => Outcome::Unknown,
            // It did not arrive in time: a paused server resumed too late and never looked at it.
            (408, _) => Outcome::NotApplied,
            (200, What::Create { .. })
            | (409, What::Create { id: Some(_), .. })
            | (404 | 412, What::Batch(_)) => Outcome::Refused(seq()?),
            (201, What::Create { .. })
            | (
                200,
                What::Describe { .. }
                | What::Complete { .. }
                | What::List
                | What::Task { .. }
                | What::Batch(_)
                | What::Import(_)
                | What::Export,
            )
            | (204, What::Delete { .. } | What::Erase) => Outcome::Done(seq()?),
            (
                404,
                What::Describe { .. } | What::Complete { .. } | What::Delete { .. } | What::Task { .. },
            )
            | (412, What::Describe { if_match: Some(_), .. } | What::Delete { if_match: Some(_), .. }) => {
                Outcome::Refused(seq()?)
            }
            (503, _) => match reply.json()["error"]["code"].as_str() {
                Some("OUTCOME_UNKNOWN") => Outcome::Unknown,
                Some("STORE_UNAVAILABLE" | "OVERLOADED") => Outcome::NotApplied,
                _ => return Err(format!("a 503 of no known kind: {self:?}")),
            },
            _ => return Err(format!("an answer that this request cannot have: {self:?}")),
        })
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reply { status, seq, replayed, body, .. } = &self.reply;
        let body: String = String::from_utf8_lossy(body).chars().take(400).collect();
        write!(f, "[{}, {}] server {} user {} ", self.invoked, self.returned, self.server, self.user)?;
        write!(f, "{:?} key {:?} -> {status} seq {seq:?} replayed {replayed} {body}", self.what, self.key)
    }
}

/// The records of a run, by all clients.
#[derive(Default)]
pub struct Book {
    clock: AtomicU64,
    records: Mutex<Vec<Record>>,
}

impl Book {
    /// The next instant.
    pub fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Adds one.
    pub fn add(&self, record: Record) {
        self.records.lock().unwrap().push(record);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.lock().unwrap().len()
    }

    /// A user's newest record at a server.
    pub fn last_of(&self, way: Way) -> Option<Record> {
        let records = self.records.lock().unwrap();
        records.iter().rfind(|record| (record.server, record.user) == (way.server, way.user)).cloned()
    }

    /// All of them, in the order of sending.
    pub fn close(&self) -> Vec<Record> {
        let mut records = std::mem::take(&mut *self.records.lock().unwrap());
        records.sort_by_key(|record| record.invoked);
        records
    }
}
