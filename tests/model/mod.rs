//! The one model of a user's tasks that every suite compares with: what a write does to a task, or why it is
//! refused.
//!
//! What rests on it:
//!
//! - `possible.rs`: a user's tasks where outcomes are unknown: every state that each of them can be in
//! - `history.rs`: whether clients' answers can be true, over a store that fails on command (`tests/lane`)
//! - `tests/faults/checker.rs`: the same over HTTP, with everything that an answer contains
//! - `tests/api/tasks/sequences.rs`: each answer to a sequence of calls
//!
//! `stored.rs` is the other half: what any batch does to a store.

use serde_json::Value;

/// A task, as far as writes determine it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub title: String,
    pub description: Option<String>,
    pub completed: bool,
    /// The seq of the write that made this state.
    pub version: i64,
}

impl Task {
    /// The task in an answer.
    pub fn of(json: &Value) -> Option<Self> {
        Some(Self {
            title: json["title"].as_str()?.to_owned(),
            description: json["description"].as_str().map(str::to_owned),
            completed: json["completed"].as_bool()?,
            version: json["version"].as_i64()?,
        })
    }
}

/// The fields of an update; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    pub title: Option<String>,
    #[allow(clippy::option_option, reason = "kept, cleared, or given")]
    pub description: Option<Option<String>>,
    pub completed: Option<bool>,
}

/// A write to one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Create {
        title: String,
        description: Option<String>,
        completed: bool,
    },
    Update {
        fields: Fields,
        if_match: Option<i64>,
    },
    /// Complete, reopen, or flip.
    Complete(Option<bool>),
    Delete {
        if_match: Option<i64>,
    },
    /// Erases all tasks.
    Erase,
}

/// Why a write changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such task.
    Missing,
    /// The same task exists already.
    Same,
    /// Another task has the id.
    Taken,
    /// Its version is not the one that was named.
    Stale,
}

impl Write {
    /// A new task with nothing but a title.
    pub fn create(title: &str) -> Self {
        Self::Create { title: title.to_owned(), description: None, completed: false }
    }

    /// The task after this write, which has this seq.
    ///
    /// # Errors
    /// Why it changes nothing, and takes no seq.
    pub fn apply(&self, before: Option<&Task>, seq: i64) -> Result<Option<Task>, Refusal> {
        match (self, before) {
            (Self::Erase, _) => Ok(None),
            (Self::Create { title, description, completed }, before) => {
                let (title, description) = (title.clone(), description.clone());
                let task = Task { title, description, completed: *completed, version: seq };
                match before {
                    None => Ok(Some(task)),
                    Some(before) if *before == (Task { version: before.version, ..task }) => {
                        Err(Refusal::Same)
                    }
                    Some(_) => Err(Refusal::Taken),
                }
            }
            (_, None) => Err(Refusal::Missing),
            (
                Self::Update { if_match: Some(tag), .. } | Self::Delete { if_match: Some(tag) },
                Some(before),
            ) if *tag != before.version => Err(Refusal::Stale),
            (Self::Update { fields, .. }, Some(before)) => Ok(Some(Task {
                title: fields.title.as_ref().unwrap_or(&before.title).clone(),
                description: fields.description.as_ref().unwrap_or(&before.description).clone(),
                completed: fields.completed.unwrap_or(before.completed),
                version: seq,
            })),
            (Self::Complete(completed), Some(before)) => {
                let completed = completed.unwrap_or(!before.completed);
                Ok(Some(Task { completed, version: seq, ..before.clone() }))
            }
            (Self::Delete { .. }, Some(_)) => Ok(None),
        }
    }
}
