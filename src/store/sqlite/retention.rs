//! Purges old tombstones and keys, a bounded number in each transaction, and empties the write-ahead log.

use std::time::Duration;

use rusqlite::{Connection, Result, TransactionBehavior, params};

use crate::domain::{Seq, Timestamp, UserId};
use crate::store::batch::KEY_ROW;

/// Rows in one transaction: a commit waits for at most these.
const CHUNK: u32 = 500;

/// How long other users' commits may wait for a reader that keeps the log from being emptied.
const PATIENCE: Duration = Duration::from_millis(100);

/// Copies the write-ahead log into the file and empties it, so that it holds no text that was erased. Where a
/// reader is in the way for longer than [`PATIENCE`], it is left to the next time.
///
/// # Errors
/// SQLite's.
pub(super) fn empty_log(connection: &mut Connection) -> Result<()> {
    let usual: u32 = connection.query_row("PRAGMA busy_timeout", [], |row| row.get(0))?;
    connection.busy_timeout(PATIENCE)?;
    let emptied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.busy_timeout(Duration::from_millis(usual.into()))?;
    emptied
}

/// Purges at most [`CHUNK`] tombstones made before `before`, and moves the horizons past them. Returns how
/// many were removed.
pub(super) fn tombstones(connection: &mut Connection, before: Timestamp) -> Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let old: Vec<([u8; 16], [u8; 16], i64)> = transaction
        .prepare_cached(
            "SELECT user_id, id, seq FROM tombstones WHERE deleted_at < ?1 ORDER BY deleted_at LIMIT ?2",
        )?
        .query_map(params![before.as_micros(), CHUNK], |row| row.try_into())?
        .collect::<Result<_>>()?;
    for (user, id, seq) in &old {
        transaction
            .prepare_cached("UPDATE users SET horizon = ?2 WHERE id = ?1 AND horizon < ?2")?
            .execute(params![user, seq])?;
        transaction
            .prepare_cached("DELETE FROM tombstones WHERE user_id = ?1 AND id = ?2")?
            .execute(params![user, id])?;
    }
    transaction.commit().map(|()| old.len() as u64)
}

/// Purges at most [`CHUNK`] keys stored before `before`, and lowers their users' sums. Returns how many were
/// removed.
pub(super) fn keys(connection: &mut Connection, before: Timestamp) -> Result<u64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let old: Vec<([u8; 16], String, i64, i64)> = transaction
        .prepare_cached(
            "SELECT user_id, key, seq, ?3 + octet_length(key) + octet_length(answer) FROM idempotency_keys
             WHERE kept_at < ?1 ORDER BY kept_at LIMIT ?2",
        )?
        .query_map(params![before.as_micros(), CHUNK, KEY_ROW], |row| row.try_into())?
        .collect::<Result<_>>()?;
    for (user, key, seq, bytes) in &old {
        // Erased keys that are still there are not counted any more.
        transaction
            .prepare_cached(
                "UPDATE users SET key_bytes = max(0, key_bytes - ?2) WHERE id = ?1 AND erased < ?3",
            )?
            .execute(params![user, bytes, seq])?;
        transaction
            .prepare_cached("DELETE FROM idempotency_keys WHERE user_id = ?1 AND key = ?2")?
            .execute(params![user, key])?;
    }
    transaction.commit().map(|()| old.len() as u64)
}

/// Moves the user's horizon up to `before`, at most to the user's seq.
pub(super) fn move_horizon(connection: &mut Connection, user: UserId, before: Seq) -> Result<()> {
    connection
        .prepare_cached("UPDATE users SET horizon = min(?2, seq) WHERE id = ?1 AND horizon < min(?2, seq)")?
        .execute(params![user.as_uuid().into_bytes(), before.get()])
        .map(drop)
}

/// Removes at most [`CHUNK`] of the user's tombstones up to `before`, where the horizon has passed them.
/// Returns how many were removed.
pub(super) fn forget(connection: &mut Connection, user: UserId, before: Seq) -> Result<u64> {
    connection
        .prepare_cached(
            "DELETE FROM tombstones WHERE (user_id, id) IN
                (SELECT t.user_id, t.id FROM users u JOIN tombstones t ON t.user_id = u.id
                 WHERE u.id = ?1 AND t.seq <= min(?2, u.horizon) LIMIT ?3)",
        )?
        .execute(params![user.as_uuid().into_bytes(), before.get(), CHUNK])
        .map(|removed| removed as u64)
}
