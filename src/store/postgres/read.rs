//! The reads, each in one statement and so as of one instant.

use std::sync::LazyLock;

use tokio_postgres::Row;
use uuid::Uuid;

use super::rows::{Unreadable, instant, key_record};
use super::task_row::{self, AFTER, DESCRIPTION, ID, TITLE, VERSION};
use crate::domain::{Seq, TaskId, UserId};
use crate::store::{Recalled, StoredUser};

/// Reads a user, or the changes since a seq.
pub(super) static LOAD: LazyLock<String> = LazyLock::new(|| task_row::fill(include_str!("sql/load.sql"), 1));

/// Looks up a key.
pub(super) const RECALL: &str = "SELECT u.seq, k.fingerprint, k.answer, k.kept_at FROM users u
    LEFT JOIN idempotency_keys k ON k.user_id = u.id AND k.key = $2
    WHERE u.id = $1";

/// Reads the newest seq of users.
pub(super) const SEQS: &str = include_str!("sql/seqs.sql");

/// Decodes the rows of [`SEQS`].
pub(super) fn seqs(rows: &[Row]) -> Result<Vec<(UserId, Seq)>, Unreadable> {
    let seq = |row: &Row| Ok((UserId::from_uuid(row.try_get(0)?), Seq::new(row.try_get(1)?)));
    rows.iter().map(seq).collect()
}

/// Decodes the rows of [`LOAD`]. Each row is dropped when it is decoded: a big user is not in memory twice.
pub(super) fn stored_user(rows: Vec<Row>) -> Result<Option<StoredUser>, Unreadable> {
    let mut stored = None;
    let mut tasks = Vec::with_capacity(rows.len());
    let mut tombstones = Vec::new();
    for row in rows {
        let Some(id) = row.try_get::<_, Option<Uuid>>(ID)? else {
            let [horizon, key_bytes] = <[i64; 2]>::try_from(row.try_get::<_, Vec<i64>>(AFTER)?)
                .map_err(|_| Unreadable("horizon".to_owned()))?;
            let (seq, horizon) = (Seq::new(row.try_get(VERSION)?), Seq::new(horizon));
            let key_bytes = usize::try_from(key_bytes).unwrap_or_default();
            stored = Some((row.try_get(TITLE)?, row.try_get(DESCRIPTION)?, seq, horizon, key_bytes));
            continue;
        };
        match task_row::task(&row)? {
            Some(task) => tasks.push(task),
            None => tombstones.push((Seq::new(row.try_get(VERSION)?), TaskId::from_uuid(id))),
        }
    }
    let user = |(subject, email, seq, horizon, key_bytes)| {
        tombstones.retain(|(seq, _)| *seq > horizon);
        StoredUser { subject, email, seq, horizon, key_bytes, tasks, tombstones }
    };
    Ok(stored.map(user))
}

/// Decodes the row of [`RECALL`].
pub(super) fn recalled(rows: &[Row], key: &str) -> Result<Recalled, Unreadable> {
    let Some(row) = rows.first() else { return Ok(Recalled { seq: Seq::ZERO, record: None }) };
    let record = |fingerprint| key_record(key, fingerprint, row.try_get(2)?, instant(row, 3)?);
    let record = row.try_get::<_, Option<&[u8]>>(1)?.map(record).transpose()?;
    Ok(Recalled { seq: Seq::new(row.try_get(0)?), record })
}
