//! A task, and what may be asked of one.

use super::{Description, Seq, TaskId, Timestamp, Title};

/// One task in one state. Its owner is known from where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Unique among its owner's tasks.
    pub id: TaskId,
    /// What is to be done.
    pub title: Title,
    /// More about it; an empty text and none at all differ.
    pub description: Option<Description>,
    /// Whether it is done.
    pub completed: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The owner's seq at its last change.
    pub version: Seq,
}

/// What a client says of a task to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// The id: the client's choice, or one made for it at the edge, so that a re-run of the same
    /// command makes the same task.
    pub id: TaskId,
    /// What is to be done.
    pub title: Title,
    /// More about it.
    pub description: Option<Description>,
    /// Whether it is done already.
    pub completed: bool,
}

/// What a client wants changed; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// A new title.
    pub title: Option<Title>,
    /// A new description, or `Some(None)` to clear it.
    pub description: Option<Option<Description>>,
    /// Done or not.
    pub completed: Option<bool>,
}

/// The outcome of one accepted write, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// The task is now this.
    Put(T),
    /// The task is gone; `seq` is the deletion's own.
    Delete {
        /// Which task.
        id: TaskId,
        /// The owner's seq at the deletion.
        seq: Seq,
        /// When it was deleted.
        at: Timestamp,
    },
}
