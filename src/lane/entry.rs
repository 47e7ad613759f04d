//! A task as a snapshot keeps it: the task, and its JSON rendered once.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::snapshot::Event;
use crate::domain::{Description, DueDate, Position, Priority, Seq, Task, TaskId, Timestamp};

/// A task and its JSON, as every answer shows it.
#[derive(Debug)]
pub struct Entry {
    /// The task.
    pub task: Arc<Task>,
    /// Its JSON object.
    pub json: Bytes,
}

/// The list's order, oldest first.
pub(super) type Age = (Timestamp, TaskId);

/// A task's JSON form. The one place that fixes its field names and their order.
#[derive(Serialize)]
struct TaskJson<'a> {
    id: uuid::Uuid,
    user_id: &'a str,
    title: &'a str,
    description: Option<&'a str>,
    completed: bool,
    priority: Option<&'a str>,
    tags: &'a [Box<str>],
    due_date: Option<&'a str>,
    completed_at: Option<String>,
    position: Option<&'a str>,
    created_at: String,
    updated_at: String,
    version: i64,
}

impl Entry {
    /// Renders `task`, owned by `subject`.
    ///
    /// # Panics
    /// Never: plain strings and numbers are always valid JSON.
    #[must_use]
    pub fn new(task: Task, subject: &str) -> Self {
        let form = TaskJson {
            id: task.id.as_uuid(),
            user_id: subject,
            title: task.title.as_str(),
            description: task.description.as_ref().map(Description::as_str),
            completed: task.completed,
            priority: task.priority.map(Priority::as_str),
            tags: task.tags.as_slice(),
            due_date: task.due_date.as_ref().map(DueDate::as_str),
            completed_at: task.completed_at.map(Timestamp::to_rfc3339),
            position: task.position.as_ref().map(Position::as_str),
            created_at: task.created_at.to_rfc3339(),
            updated_at: task.updated_at.to_rfc3339(),
            version: task.version.get(),
        };
        let mut json = Vec::with_capacity(512);
        serde_json::to_writer(&mut json, &form).expect("a task is always valid JSON");
        json.shrink_to_fit();
        Self { task: Arc::new(task), json: json.into() }
    }

    pub(super) fn age(&self) -> Age {
        (self.task.created_at, self.task.id)
    }

    /// What an answer shows of it.
    pub(super) fn shown(&self) -> Shown {
        Shown { id: self.task.id, version: self.task.version, json: self.json.clone() }
    }

    /// What it weighs in memory, in bytes, nearly; its place in the list's body included.
    pub(super) fn weight(&self) -> usize {
        const FIXED: usize = size_of::<Entry>() + size_of::<Task>() + 4 * size_of::<usize>();
        const IN_MAPS: usize =
            size_of::<(TaskId, usize)>() + size_of::<(Age, usize)>() + size_of::<(Seq, Event)>();
        let task = &self.task;
        let text = task.title.as_str().len()
            + task.description.as_ref().map_or(0, |text| text.as_str().len())
            + task.tags.as_slice().iter().map(|tag| size_of::<Box<str>>() + tag.len()).sum::<usize>()
            + task.due_date.as_ref().map_or(0, |due| due.as_str().len())
            + task.position.as_ref().map_or(0, |position| position.as_str().len());
        FIXED + IN_MAPS * 3 / 2 + text + 2 * self.json.len()
    }
}

/// A task in an answer: its JSON, with what the answer's headers say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Which task.
    pub id: TaskId,
    /// Its version.
    pub version: Seq,
    /// Its JSON object.
    pub json: Bytes,
}
