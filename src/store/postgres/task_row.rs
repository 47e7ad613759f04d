//! A task as a row: the one place that knows the columns of `tasks`, their order and their types.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};
use uuid::Uuid;

use super::rows::Unreadable;
use crate::domain::{
    Description, DueDate, Position, Priority, Seq, Task, TaskContent, TaskId, Timestamp, Title,
};
use crate::store::tags::{json_of_tags, tags_of_json};

/// The columns after the user's, in the order used everywhere below: name, type as sent and read, type as
/// stored.
const COLUMNS: [(&str, &str, &str); 12] = [
    ("id", "uuid", "uuid"),
    ("title", "text", "text"),
    ("description", "text", "text"),
    ("completed", "boolean", "boolean"),
    ("created_at", "timestamptz", "timestamptz"),
    ("updated_at", "timestamptz", "timestamptz"),
    ("version", "bigint", "bigint"),
    ("priority", "text", "text"),
    ("tags", "text", "jsonb"),
    ("due_date", "text", "text"),
    ("completed_at", "timestamptz", "timestamptz"),
    ("position", "text", "text"),
];

/// Column indexes for rows of other tables that one statement reads together with tasks: the user's subject
/// is in the title's column, and so on. Values that fit no column of a task come after them.
pub(super) const ID: usize = 0;
pub(super) const TITLE: usize = 1;
pub(super) const DESCRIPTION: usize = 2;
pub(super) const CREATED_AT: usize = 4;
pub(super) const VERSION: usize = 6;
pub(super) const AFTER: usize = COLUMNS.len();

/// Replaces the words in braces in a statement:
/// - `{insert_tasks}`: inserts the tasks of [`TaskColumns::params`], from parameter `first` on
/// - `{replace_tasks}`: replaces those that exist already
/// - `{task}`: the columns that [`task`] reads
/// - `{unset}`: NULLs for the columns after the version
pub(super) fn fill(sql: &str, first: usize) -> String {
    let each = |column: fn(&(&str, &str, &str)) -> String| COLUMNS.iter().map(column).collect::<Vec<_>>();
    let names = each(|(name, ..)| (*name).to_owned()).join(", ");
    let values = each(|(name, _, stored)| format!("t.{name}::{stored}"));
    let read = each(|(name, sent, _)| format!("{name}::{sent}"));
    let unset = each(|(_, sent, _)| format!("NULL::{sent}"));
    let new = each(|(name, ..)| format!("{name} = excluded.{name}"));
    let arrays = (first + 1..).zip(&COLUMNS).map(|(number, (_, sent, _))| format!("${number}::{sent}[]"));
    let insert = format!(
        "INSERT INTO tasks (user_id, {names}) SELECT t.user_id, {} FROM unnest(${first}::uuid[], {})
        AS t (user_id, {names})",
        values.join(", "),
        arrays.collect::<Vec<_>>().join(", ")
    );
    let replace = format!("ON CONFLICT (user_id, id) DO UPDATE SET {}", new[TITLE..].join(", "));
    sql.replace("{insert_tasks}", &insert)
        .replace("{replace_tasks}", &replace)
        .replace("{task}", &read.join(", "))
        .replace("{unset}", &unset[VERSION + 1..].join(", "))
}

/// Tasks as one array per column.
#[derive(Default)]
pub(super) struct TaskColumns<'a> {
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
    pub(super) fn push(&mut self, user: Uuid, task: &'a Task) {
        let content = &task.content;
        self.users.push(user);
        self.ids.push(task.id.as_uuid());
        self.titles.push(content.title.as_str());
        self.descriptions.push(content.description.as_ref().map(Description::as_str));
        self.completed.push(content.completed);
        self.created.push(task.created_at.to_datetime());
        self.updated.push(task.updated_at.to_datetime());
        self.versions.push(task.version.get());
        self.priorities.push(content.priority.map(Priority::as_str));
        self.tags.push(json_of_tags(&content.tags));
        self.due_dates.push(content.due_date.as_ref().map(DueDate::as_str));
        self.completed_at.push(task.completed_at.map(Timestamp::to_datetime));
        self.positions.push(content.position.as_ref().map(Position::as_str));
    }

    /// The users, then [`COLUMNS`].
    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 1 + COLUMNS.len()] {
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

/// Reads a task; `None` if the row has no title and so is a tombstone.
pub(super) fn task(row: &Row) -> Result<Option<Task>, Unreadable> {
    let row = &mut PostgresRowReader { row, column: 0 };
    let id = TaskId::from_uuid(row.next()?);
    let Some(title) = row.next::<Option<String>>()?.map(Title::from_store) else { return Ok(None) };
    let description = row.next::<Option<String>>()?.map(Description::from_store);
    let completed = row.next()?;
    let created_at = row.next::<DateTime<Utc>>()?.into();
    let updated_at = row.next::<DateTime<Utc>>()?.into();
    let version = Seq::new(row.next()?);
    let priority = row.parsed(Priority::parse)?;
    let tags = row.parsed(tags_of_json)?.unwrap_or_default();
    let due_date = row.parsed(DueDate::from_store)?;
    let completed_at = row.next::<Option<DateTime<Utc>>>()?.map(Timestamp::from);
    let position = row.parsed(Position::parse)?;
    let content = TaskContent { title, description, completed, priority, tags, due_date, position };
    // A process of the first version, running beside this one, only sets `completed`.
    let completed_at = completed.then(|| completed_at.unwrap_or(updated_at));
    Ok(Some(Task { id, content, completed_at, created_at, updated_at, version }))
}

/// Reads a row's values in order.
struct PostgresRowReader<'r> {
    row: &'r Row,
    column: usize,
}

impl<'r> PostgresRowReader<'r> {
    fn next<T: FromSql<'r>>(&mut self) -> Result<T, Unreadable> {
        self.column += 1;
        Ok(self.row.try_get(self.column - 1)?)
    }

    /// A value stored as text.
    fn parsed<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Unreadable> {
        let column = self.column;
        let text: Option<&str> = self.next()?;
        text.map(|text| parse(text).ok_or_else(|| Unreadable(format!("column {column}")))).transpose()
    }
}
