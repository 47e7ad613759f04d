//! A task as a row: the one place that knows the columns of `tasks`, their order and their types.

use std::sync::LazyLock;

use rusqlite::types::{FromSql, Type};
use rusqlite::{Connection, Error, Result, Row, params};
use uuid::Uuid;

use crate::domain::{
    Description, DueDate, Position, Priority, Seq, Task, TaskContent, TaskId, Timestamp, Title, UserId,
};
use crate::store::tags::{json_of_tags, tags_of_json};

/// The columns after the user's, in the order in which [`put`] writes and [`task`] reads them.
const COLUMNS: [&str; 12] = [
    "id",
    "title",
    "description",
    "completed",
    "created_at",
    "updated_at",
    "version",
    "priority",
    "tags",
    "due_date",
    "completed_at",
    "position",
];

/// Reads a user's tasks of some versions.
static READ: LazyLock<String> = LazyLock::new(|| {
    format!("SELECT {} FROM tasks WHERE user_id = ?1 AND version > ?2 AND version <= ?3", COLUMNS.join(", "))
});

/// Inserts a task, unless it is there.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    let numbers: Vec<_> = (1..=COLUMNS.len() + 1).map(|number| format!("?{number}")).collect();
    format!(
        "INSERT INTO tasks (user_id, {}) VALUES ({}) ON CONFLICT (user_id, id) DO NOTHING",
        COLUMNS.join(", "),
        numbers.join(", ")
    )
});

/// Inserts or replaces a task.
pub(super) static PUT: LazyLock<String> = LazyLock::new(|| {
    let new: Vec<_> = COLUMNS[1..].iter().map(|name| format!("{name} = excluded.{name}")).collect();
    INSERT.replace("DO NOTHING", &format!("DO UPDATE SET {}", new.join(", ")))
});

/// Stores a task's new state.
pub(super) fn put(connection: &Connection, user: UserId, task: &Task) -> Result<()> {
    write(connection, &PUT, user, task).map(drop)
}

/// Stores a new task; `false` if there is one with its id.
pub(super) fn insert(connection: &Connection, user: UserId, task: &Task) -> Result<bool> {
    write(connection, &INSERT, user, task).map(|written| written > 0)
}

fn write(connection: &Connection, sql: &str, user: UserId, task: &Task) -> Result<usize> {
    let content = &task.content;
    connection.prepare_cached(sql)?.execute(params![
        user.as_uuid().into_bytes(),
        task.id.as_uuid().into_bytes(),
        content.title.as_str(),
        content.description.as_ref().map(Description::as_str),
        content.completed,
        task.created_at.as_micros(),
        task.updated_at.as_micros(),
        task.version.get(),
        content.priority.map(Priority::as_str),
        json_of_tags(&content.tags),
        content.due_date.as_ref().map(DueDate::as_str),
        task.completed_at.map(Timestamp::as_micros),
        content.position.as_ref().map(Position::as_str),
    ])
}

/// Every task of a user above the seq `erased`, up to `seq`: others are not shown yet, or no more.
pub(super) fn tasks(connection: &Connection, user: UserId, erased: Seq, newest: Seq) -> Result<Vec<Task>> {
    let user = user.as_uuid().into_bytes();
    connection.prepare_cached(&READ)?.query_map(params![user, erased.get(), newest.get()], task)?.collect()
}

fn task(row: &Row<'_>) -> Result<Task> {
    let row = &mut SqliteRowReader { row, column: 0 };
    let id = TaskId::from_uuid(Uuid::from_bytes(row.next()?));
    let title = Title::from_store(row.next()?);
    let description = row.next::<Option<String>>()?.map(Description::from_store);
    let completed = row.next()?;
    let created_at = Timestamp::from_micros(row.next()?);
    let updated_at = Timestamp::from_micros(row.next()?);
    let version = Seq::new(row.next()?);
    let priority = row.parsed(Priority::parse)?;
    let tags = row.parsed(tags_of_json)?.unwrap_or_default();
    let due_date = row.parsed(DueDate::from_store)?;
    let completed_at = row.next::<Option<i64>>()?.map(Timestamp::from_micros);
    let position = row.parsed(Position::parse)?;
    let content = TaskContent { title, description, completed, priority, tags, due_date, position };
    Ok(Task { id, content, completed_at, created_at, updated_at, version })
}

/// A task's id, from the first column.
pub(super) fn task_id(row: &Row<'_>) -> Result<TaskId> {
    row.get(0).map(|id| TaskId::from_uuid(Uuid::from_bytes(id)))
}

/// Reads a row's values in order.
struct SqliteRowReader<'r, 's> {
    row: &'r Row<'s>,
    column: usize,
}

impl SqliteRowReader<'_, '_> {
    fn next<T: FromSql>(&mut self) -> Result<T> {
        self.column += 1;
        self.row.get(self.column - 1)
    }

    /// A value stored as text.
    fn parsed<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>> {
        let (row, column) = (self.row, self.column);
        self.column += 1;
        let unreadable = || {
            let name = row.as_ref().column_name(column).unwrap_or_default().to_owned();
            Error::InvalidColumnType(column, name, Type::Text)
        };
        let text = row.get_ref(column)?.as_str_or_null().map_err(|_| unreadable())?;
        text.map(|text| parse(text).ok_or_else(unreadable)).transpose()
    }
}
