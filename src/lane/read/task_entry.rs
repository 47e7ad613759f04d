//! A task as a snapshot keeps it: the task, and its JSON rendered once.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;
use equivalent::{Comparable, Equivalent};

use super::task_json::render;
use crate::domain::{Seq, Task, TaskContent, TaskId, Timestamp};

/// A task and its JSON, as every answer shows it.
#[derive(Debug)]
pub struct TaskEntry {
    /// The task.
    pub task: Arc<Task>,
    /// Its JSON object; after a load, a slice of the list's body.
    pub json: Bytes,
}

/// Orders the list, oldest first.
pub(crate) type Age = (Timestamp, TaskId);

/// An entry in a set with this order. A set takes eight bytes an entry; a map would keep each key a second time.
macro_rules! ordered {
    ($(#[$doc:meta])* $name:ident by $key:ty: $of:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name(pub(crate) Arc<TaskEntry>);

        impl $name {
            fn key(&self) -> $key {
                let of: fn(&TaskEntry) -> $key = $of;
                of(&self.0)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.key() == other.key()
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.key().cmp(&other.key())
            }
        }

        impl Equivalent<$name> for $key {
            fn equivalent(&self, other: &$name) -> bool {
                *self == other.key()
            }
        }

        impl Comparable<$name> for $key {
            fn compare(&self, other: &$name) -> Ordering {
                self.cmp(&other.key())
            }
        }
    };
}

ordered! {
    /// By its id.
    ById by TaskId: |entry| entry.task.id
}
ordered! {
    /// By its age: the list's order.
    ByAge by Age: TaskEntry::age
}
ordered! {
    /// By its version: the change feed's order.
    ByVersion by Seq: |entry| entry.task.version
}

impl TaskEntry {
    /// Renders `task`, owned by `subject`.
    #[must_use]
    pub fn new(task: Task, subject: &str) -> Self {
        Self::of(&Arc::new(task), subject)
    }

    /// As [`TaskEntry::new`], of a task that others hold as well.
    pub(crate) fn of(task: &Arc<Task>, subject: &str) -> Self {
        // About what it will be: an allocation that shrinks by less than half keeps its size.
        let mut json = Vec::with_capacity(NAMES + subject.len() + task.content.text_bytes());
        render(&mut json, task, subject);
        json.shrink_to_fit();
        Self { task: Arc::clone(task), json: json.into() }
    }

    pub(crate) fn age(&self) -> Age {
        (self.task.created_at, self.task.id)
    }

    /// What a response shows of it.
    pub(crate) fn shown(&self) -> ShownTask {
        ShownTask { id: self.task.id, version: self.task.version, json: Some(self.json.clone()) }
    }

    /// Its approximate bytes in memory.
    pub(crate) fn weight(&self) -> usize {
        ENTRY + self.task.content.text_bytes() + self.json.len()
    }

    /// The weight that a task with this content will have, about: its JSON holds its texts, names and instants.
    pub(crate) fn weight_of(content: &TaskContent) -> usize {
        ENTRY + NAMES + 2 * content.text_bytes()
    }
}

/// Bytes of a task's JSON beside its texts: names, id, instants.
const NAMES: usize = 320;

/// An entry's bytes beside texts and JSON: itself, its task, and three sets of pointers, whose nodes are half empty at
/// the worst, and their inner nodes.
pub(super) const ENTRY: usize =
    size_of::<TaskEntry>() + size_of::<Task>() + 4 * size_of::<usize>() + 3 * 5 * size_of::<usize>();

/// A task in a response: its JSON, and what the headers need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownTask {
    /// Which task.
    pub id: TaskId,
    /// Its version.
    pub version: Seq,
    /// Its JSON object; `None` for a task that has gone since the write that is replayed.
    pub json: Option<Bytes>,
}
