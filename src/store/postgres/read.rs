//! The reads, each of them one statement and so as of one instant.

use chrono::{DateTime, Utc};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::PostgresInner;
use super::connection::error;
use crate::domain::{
    Description, DueDate, Position, Priority, Seq, Task, TaskContent, TaskId, Timestamp, Title, UserId,
};
use crate::store::{KeyRecord, Recalled, StoreError, StoredUser, tags_of_json};

/// Reads a user, or what changed since a seq.
pub(super) const LOAD: &str = include_str!("sql/load.sql");

/// Looks a key up.
pub(super) const RECALL: &str = "SELECT u.seq, k.fingerprint, k.answer, k.kept_at FROM users u
    LEFT JOIN idempotency_keys k ON k.user_id = u.id AND k.key = $2
    WHERE u.id = $1";

/// Reads how far users have come.
const SEQS: &str = include_str!("sql/seqs.sql");

/// Why a stored row cannot be read.
pub(super) struct Unreadable(pub(super) String);

impl From<Error> for Unreadable {
    fn from(error: Error) -> Self {
        Self(error::describe(&error))
    }
}

impl From<Unreadable> for StoreError {
    fn from(Unreadable(reason): Unreadable) -> Self {
        Self(format!("PostgreSQL: a stored row cannot be read: {reason}"))
    }
}

impl PostgresInner {
    pub(super) async fn seqs(&self, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError> {
        let users: Vec<_> = users.iter().map(|user| user.as_uuid()).collect();
        let rows = self.query(SEQS, &[&users]).await?;
        let seq = |row: &Row| Ok((UserId::from_uuid(row.try_get(0)?), Seq::new(row.try_get(1)?)));
        Ok(rows.iter().map(seq).collect::<Result<_, Unreadable>>()?)
    }
}

/// A user whose rows these are, by [`LOAD`].
pub(super) fn stored_user(rows: &[Row]) -> Result<Option<StoredUser>, Unreadable> {
    let mut stored = None;
    let mut tasks = Vec::with_capacity(rows.len());
    let mut tombstones = Vec::new();
    for row in rows {
        let seq = Seq::new(row.try_get(6)?);
        let Some(id) = row.try_get(0)? else {
            stored = Some((row.try_get(1)?, row.try_get(2)?, seq, Seq::new(row.try_get(12)?)));
            continue;
        };
        match row.try_get(1)? {
            Some(title) => tasks.push(task(id, title, seq, row)?),
            None => tombstones.push((seq, TaskId::from_uuid(id))),
        }
    }
    let user = |(subject, email, seq, horizon)| {
        tombstones.retain(|(seq, _)| *seq > horizon);
        StoredUser { subject, email, seq, horizon, tasks, tombstones }
    };
    Ok(stored.map(user))
}

pub(super) fn task(id: Uuid, title: String, version: Seq, row: &Row) -> Result<Task, Unreadable> {
    let (completed, updated_at) = (row.try_get(3)?, instant(row, 5)?);
    let completed_at = row.try_get::<_, Option<DateTime<Utc>>>(10)?.map(Timestamp::from);
    let content = TaskContent {
        title: Title::from_store(title),
        description: row.try_get::<_, Option<String>>(2)?.map(Description::from_store),
        completed,
        priority: parsed(row, 7, Priority::parse)?,
        tags: parsed(row, 8, tags_of_json)?.unwrap_or_default(),
        due_date: parsed(row, 9, DueDate::parse)?,
        position: parsed(row, 11, Position::parse)?,
    };
    Ok(Task {
        id: TaskId::from_uuid(id),
        content,
        // A process of the first version, beside this one, changes `completed` alone.
        completed_at: completed.then(|| completed_at.unwrap_or(updated_at)),
        created_at: instant(row, 4)?,
        updated_at,
        version,
    })
}

/// What is known of a key, by [`RECALL`].
pub(super) fn recalled(rows: &[Row], key: &str) -> Result<Recalled, Unreadable> {
    let Some(row) = rows.first() else { return Ok(Recalled { seq: Seq::ZERO, record: None }) };
    let record = |fingerprint| key_record(key, fingerprint, row.try_get(2)?, instant(row, 3)?);
    let record = row.try_get::<_, Option<&[u8]>>(1)?.map(record).transpose()?;
    Ok(Recalled { seq: Seq::new(row.try_get(0)?), record })
}

pub(super) fn key_record(
    key: &str,
    fingerprint: &[u8],
    answer: String,
    at: Timestamp,
) -> Result<KeyRecord, Unreadable> {
    let fingerprint = fingerprint.try_into().map_err(|_| Unreadable("column fingerprint".to_owned()))?;
    Ok(KeyRecord { key: key.into(), fingerprint, answer: answer.into(), at })
}

pub(super) fn instant(row: &Row, column: usize) -> Result<Timestamp, Error> {
    row.try_get::<_, DateTime<Utc>>(column).map(Into::into)
}

/// A text that only has a meaning when it is read again.
fn parsed<T>(
    row: &Row,
    column: usize,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Unreadable> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| parse(text).ok_or_else(|| Unreadable(format!("column {column}")))).transpose()
}
