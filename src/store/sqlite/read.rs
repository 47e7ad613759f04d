//! The reads, each in one transaction and so as of one instant.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::task_row::{task_id, tasks};
use crate::domain::{Seq, Timestamp, UserId};
use crate::store::{KeyRecord, Recalled, StoredUser};

/// Ends a query of users: without those whose first batch is still being written.
macro_rules! wrote {
    () => {
        " AND (seq > 0 OR last_batch IS NOT NULL)"
    };
}
pub(super) use wrote;

pub(super) fn load(connection: &mut Connection, user: UserId) -> Result<Option<StoredUser>> {
    let transaction = connection.transaction()?;
    let key = user.as_uuid().into_bytes();
    let found = transaction
        .prepare_cached(concat!(
            "SELECT subject, email, seq, horizon, erased, key_bytes, unswept IS NULL FROM users WHERE id = ?1",
            wrote!()
        ))?
        .query_row(params![key], |row| {
            let (seq, horizon) = (Seq::new(row.get(2)?), Seq::new(row.get(3)?));
            let (tasks, tombstones) = (Vec::new(), Vec::new());
            let (subject, email) = (row.get(0)?, row.get(1)?);
            let key_bytes = usize::try_from(row.get::<_, i64>(5)?).unwrap_or_default();
            let user = StoredUser { subject, email, seq, horizon, key_bytes, tasks, tombstones };
            // Only while a batch is being written may there be tasks that are not shown yet.
            let newest = if row.get(6)? { Seq::new(i64::MAX) } else { seq };
            Ok((user, Seq::new(row.get(4)?), newest))
        })
        .optional()?;
    let Some((mut found, erased, newest)) = found else { return Ok(None) };
    found.tasks = tasks(&transaction, user, erased, newest)?;
    found.tombstones = transaction
        .prepare_cached("SELECT id, seq FROM tombstones WHERE user_id = ?1 AND seq > ?2")?
        .query_map(params![key, found.horizon.get()], |row| Ok((Seq::new(row.get(1)?), task_id(row)?)))?
        .collect::<Result<_>>()?;
    Ok(Some(found))
}

pub(super) fn seqs(connection: &mut Connection, users: &[UserId]) -> Result<Vec<(UserId, Seq)>> {
    let transaction = connection.transaction()?;
    let mut statement =
        transaction.prepare_cached(concat!("SELECT seq FROM users WHERE id = ?1", wrote!()))?;
    let mut seqs = Vec::with_capacity(users.len());
    for user in users {
        let key = user.as_uuid().into_bytes();
        let seq = statement.query_row(params![key], |row| row.get(0)).optional()?;
        seqs.extend(seq.map(|seq| (*user, Seq::new(seq))));
    }
    Ok(seqs)
}

pub(super) fn recall(connection: &mut Connection, user: UserId, key: &str) -> Result<Recalled> {
    let found = connection
        .prepare_cached(
            "SELECT u.seq, k.fingerprint, k.answer, k.kept_at FROM users u
             LEFT JOIN idempotency_keys k ON k.user_id = u.id AND k.key = ?2 AND k.seq > u.erased
             WHERE u.id = ?1",
        )?
        .query_row(params![user.as_uuid().into_bytes(), key], |row| {
            Ok(Recalled { seq: Seq::new(row.get(0)?), record: key_record(key.into(), row)? })
        })
        .optional()?;
    Ok(found.unwrap_or(Recalled { seq: Seq::ZERO, record: None }))
}

/// Reads fingerprint, reply and time from columns 1 to 3; `None` if they are NULL.
pub(super) fn key_record(key: Arc<str>, row: &Row<'_>) -> Result<Option<KeyRecord>> {
    let Some(fingerprint) = row.get(1)? else { return Ok(None) };
    let (answer, at) = (row.get::<_, String>(2)?.into(), Timestamp::from_micros(row.get(3)?));
    Ok(Some(KeyRecord { key, fingerprint, answer, at }))
}
