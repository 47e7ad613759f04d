//! The reads, each within one transaction and so as of one instant.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use uuid::Uuid;

use crate::domain::{Change, Description, Seq, Task, TaskId, Timestamp, Title, UserId};
use crate::store::{Changes, StoredUser};

pub(super) fn load(connection: &mut Connection, user: UserId) -> Result<Option<StoredUser>> {
    let transaction = connection.transaction()?;
    let key = user.as_uuid().into_bytes();
    let found = transaction
        .prepare_cached("SELECT subject, email, seq FROM users WHERE id = ?1")?
        .query_row(params![key], |row| {
            let seq = Seq::new(row.get(2)?);
            Ok(StoredUser { subject: row.get(0)?, email: row.get(1)?, seq, tasks: Vec::new() })
        })
        .optional()?;
    let Some(mut found) = found else { return Ok(None) };
    found.tasks = transaction
        .prepare_cached(
            "SELECT id, title, description, completed, created_at, updated_at, version
             FROM tasks WHERE user_id = ?1",
        )?
        .query_map(params![key], task)?
        .collect::<Result<_>>()?;
    Ok(Some(found))
}

pub(super) fn changes_since(
    connection: &mut Connection,
    user: UserId,
    since: Seq,
    limit: usize,
) -> Result<Changes> {
    let transaction = connection.transaction()?;
    let key = user.as_uuid().into_bytes();
    let seq = transaction
        .prepare_cached("SELECT seq FROM users WHERE id = ?1")?
        .query_row(params![key], |row| row.get(0))
        .optional()?
        .map_or(Seq::ZERO, Seq::new);
    // A tombstone of a task that was made again tells of a state long gone.
    let changes = transaction
        .prepare_cached(
            "SELECT id, title, description, completed, created_at, updated_at, version
             FROM tasks WHERE user_id = ?1 AND version > ?2
             UNION ALL
             SELECT s.id, NULL, NULL, NULL, NULL, s.deleted_at, s.seq FROM tombstones s
             WHERE s.user_id = ?1 AND s.seq > ?2
                AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.user_id = s.user_id AND t.id = s.id)
             ORDER BY 7 LIMIT ?3",
        )?
        .query_map(params![key, since.get(), i64::try_from(limit).unwrap_or(i64::MAX)], change)?
        .collect::<Result<_>>()?;
    Ok(Changes { changes, seq })
}

fn change(row: &Row<'_>) -> Result<Change<Task>> {
    // Only a deletion has no title.
    if row.get::<_, Option<String>>(1)?.is_some() {
        return task(row).map(Change::Put);
    }
    Ok(Change::Delete {
        id: task_id(row)?,
        seq: Seq::new(row.get(6)?),
        at: Timestamp::from_micros(row.get(5)?),
    })
}

fn task(row: &Row<'_>) -> Result<Task> {
    Ok(Task {
        id: task_id(row)?,
        title: Title::from_store(row.get(1)?),
        description: row.get::<_, Option<String>>(2)?.map(Description::from_store),
        completed: row.get(3)?,
        created_at: Timestamp::from_micros(row.get(4)?),
        updated_at: Timestamp::from_micros(row.get(5)?),
        version: Seq::new(row.get(6)?),
    })
}

fn task_id(row: &Row<'_>) -> Result<TaskId> {
    row.get(0).map(|id| TaskId::from_uuid(Uuid::from_bytes(id)))
}
