//! Rows as the columns that a statement takes apart with unnest. All columns of one unnest are of one
//! length: it would fill up a shorter one with NULL.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::domain::{Description, DueDate, Position, Priority, Seq, Task, TaskId, Timestamp};
use crate::store::{KeyRecord, json_of_tags};

/// Rows of tasks.
#[derive(Default)]
pub(crate) struct TaskColumns<'a> {
    users: Vec<Uuid>,
    ids: Vec<Uuid>,
    titles: Vec<&'a str>,
    descriptions: Vec<Option<&'a str>>,
    completed: Vec<bool>,
    created: Vec<DateTime<Utc>>,
    updated: Vec<DateTime<Utc>>,
    versions: Vec<i64>,
    priorities: Vec<Option<&'static str>>,
    tags: Vec<Option<String>>,
    due_dates: Vec<Option<&'a str>>,
    completed_at: Vec<Option<DateTime<Utc>>>,
    positions: Vec<Option<&'a str>>,
}

impl<'a> TaskColumns<'a> {
    pub(crate) fn push(&mut self, user: Uuid, task: &'a Task) {
        self.users.push(user);
        self.ids.push(task.id.as_uuid());
        self.titles.push(task.content.title.as_str());
        self.descriptions.push(task.content.description.as_ref().map(Description::as_str));
        self.completed.push(task.content.completed);
        self.created.push(task.created_at.to_datetime());
        self.updated.push(task.updated_at.to_datetime());
        self.versions.push(task.version.get());
        self.priorities.push(task.content.priority.map(Priority::as_str));
        self.tags.push(json_of_tags(&task.content.tags));
        self.due_dates.push(task.content.due_date.as_ref().map(DueDate::as_str));
        self.completed_at.push(task.completed_at.map(Timestamp::to_datetime));
        self.positions.push(task.content.position.as_ref().map(Position::as_str));
    }

    /// User, id, title, description, completed, `created_at`, `updated_at`, version, priority, tags (as
    /// text), `due_date`, `completed_at`, position.
    pub(crate) fn params(&self) -> [&(dyn ToSql + Sync); 13] {
        [
            &self.users,
            &self.ids,
            &self.titles,
            &self.descriptions,
            &self.completed,
            &self.created,
            &self.updated,
            &self.versions,
            &self.priorities,
            &self.tags,
            &self.due_dates,
            &self.completed_at,
            &self.positions,
        ]
    }
}

/// Rows of tombstones.
#[derive(Default)]
pub(crate) struct TombstoneColumns {
    users: Vec<Uuid>,
    ids: Vec<Uuid>,
    seqs: Vec<i64>,
    at: Vec<DateTime<Utc>>,
}

impl TombstoneColumns {
    pub(crate) fn push(&mut self, user: Uuid, id: TaskId, seq: Seq, at: Timestamp) {
        self.users.push(user);
        self.ids.push(id.as_uuid());
        self.seqs.push(seq.get());
        self.at.push(at.to_datetime());
    }

    /// User, id, seq, `deleted_at`.
    pub(crate) fn params(&self) -> [&(dyn ToSql + Sync); 4] {
        [&self.users, &self.ids, &self.seqs, &self.at]
    }
}

/// Rows of idempotency keys.
#[derive(Default)]
pub(crate) struct KeyColumns<'a> {
    users: Vec<Uuid>,
    names: Vec<&'a str>,
    fingerprints: Vec<&'a [u8]>,
    answers: Vec<Cow<'a, str>>,
    at: Vec<DateTime<Utc>>,
}

impl<'a> KeyColumns<'a> {
    pub(crate) fn push(&mut self, user: Uuid, record: &'a KeyRecord) {
        self.users.push(user);
        self.names.push(&record.key);
        self.fingerprints.push(&record.fingerprint);
        self.answers.push(String::from_utf8_lossy(&record.answer));
        self.at.push(record.at.to_datetime());
    }

    /// User, key, fingerprint, answer, `kept_at`.
    pub(crate) fn params(&self) -> [&(dyn ToSql + Sync); 5] {
        [&self.users, &self.names, &self.fingerprints, &self.answers, &self.at]
    }
}
