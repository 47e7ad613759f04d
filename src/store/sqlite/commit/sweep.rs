//! Removes rows that count for nothing: those of a large batch that was not applied, and those erased.
//!
//! Reads leave them out: tasks above their user's seq, and everything up to `users.erased`. As long as a user
//! may have any, `users.unswept` names the batch that left them, and no other batch of the user is applied.

use rusqlite::{Connection, Result, TransactionBehavior, params};

use crate::store::sqlite::worker::{Lost, Worker};

/// Rows of one transaction. Other users' commits wait for at most one.
pub(super) const SLICE: usize = 500;

/// A user's id, as stored.
pub(super) type UserKey = [u8; 16];

/// The rows to remove, of each table.
const SWEEPS: [&str; 3] = [
    "DELETE FROM tasks WHERE (user_id, id) IN (SELECT t.user_id, t.id FROM users u JOIN tasks t ON t.user_id = u.id
        WHERE u.id = ?1 AND (t.version <= u.erased OR t.version > u.seq) LIMIT ?2)",
    "DELETE FROM tombstones WHERE (user_id, id) IN (SELECT t.user_id, t.id FROM users u
        JOIN tombstones t ON t.user_id = u.id WHERE u.id = ?1 AND t.seq <= u.erased LIMIT ?2)",
    "DELETE FROM idempotency_keys WHERE (user_id, key) IN (SELECT k.user_id, k.key FROM users u
        JOIN idempotency_keys k ON k.user_id = u.id WHERE u.id = ?1 AND k.seq <= u.erased LIMIT ?2)",
];

/// Removes at most [`SLICE`] such rows of the user, as a part of a transaction. Returns whether none is left.
pub(super) fn sweep(connection: &Connection, user: &UserKey) -> Result<bool> {
    let mut room = SLICE;
    for sql in SWEEPS {
        room -= connection.prepare_cached(sql)?.execute(params![user, i64::try_from(room).unwrap_or(0)])?;
    }
    if room == 0 {
        return Ok(false);
    }
    // A new user, whose first batch was not applied.
    let never_wrote = "DELETE FROM users WHERE id = ?1 AND seq = 0 AND last_batch IS NULL";
    connection.prepare_cached(never_wrote)?.execute(params![user])?;
    connection.prepare_cached("UPDATE users SET unswept = NULL WHERE id = ?1")?.execute(params![user])?;
    Ok(true)
}

/// The same, in a transaction of its own, if the user's rows are still this batch's.
fn sweep_slice(connection: &mut Connection, user: &UserKey, batch: &UserKey) -> Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mine = "SELECT EXISTS (SELECT 1 FROM users WHERE id = ?1 AND unswept = ?2)";
    let mine: bool = transaction.prepare_cached(mine)?.query_row(params![user, batch], |row| row.get(0))?;
    let done = !mine || sweep(&transaction, user)?;
    transaction.commit().map(|()| done)
}

/// Removes all that a batch left, a job for each slice. Returns whether there is nothing more to do.
pub(super) async fn sweep_all(writer: &Worker, user: UserKey, batch: UserKey) -> bool {
    loop {
        match writer.run(move |connection| sweep_slice(connection, &user, &batch)).await {
            Ok(Ok(false)) => {}
            // Once the store is closed, the next start goes on.
            Ok(Ok(true)) | Err(Lost::NeverRan) => return true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "SQLite: rows of no use cannot be removed yet");
                return false;
            }
            Err(Lost::NoAnswer) => return false,
        }
    }
}

/// Removes what a killed process left.
///
/// # Errors
/// SQLite's. What is left is not shown, but its user cannot write.
pub(in crate::store::sqlite) fn sweep_leftovers(connection: &mut Connection) -> Result<()> {
    let left: Vec<(UserKey, UserKey)> = connection
        .prepare("SELECT id, unswept FROM users WHERE unswept IS NOT NULL")?
        .query_map([], |row| row.try_into())?
        .collect::<Result<_>>()?;
    for (user, batch) in left {
        tracing::info!("SQLite: removing what an import or an erasure that was cut off has left");
        while !sweep_slice(connection, &user, &batch)? {}
    }
    Ok(())
}
