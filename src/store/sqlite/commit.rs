//! Applies a group of batches in one transaction. Only if a batch makes that fail does each get a savepoint
//! of its own. A batch that needs a damaged page is left out.

use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Result, Transaction, TransactionBehavior, params};

use super::task_row::put;
use crate::domain::{Change, Seq, TaskId, Timestamp, UserId};
use crate::store::{Batch, KeyRecord, Outcome};

/// Applies the batches and returns their outcomes in the same order.
pub(super) fn commit(connection: &Connection, batches: &[Arc<Batch>]) -> Vec<Outcome> {
    let mut damaged: Vec<Option<Outcome>> = vec![None; batches.len()];
    let mut step: ApplyBatch = |transaction, batch| apply(transaction, batch);
    let mut alone = false;
    // Every attempt but the last either excludes one batch or turns savepoints on.
    let applied = loop {
        match apply_all(connection, batches, &damaged, step) {
            // Other users' rows are on other pages. A savepoint does not help: SQLite fails everything
            // after it.
            Err((Some(index), error)) if is_damage(&error) => damaged[index] = Some(unavailable(&error)),
            Err((_, error)) if !alone && (is_about_the_data(&error) || is_taken(&error)) => {
                (alone, step) = (true, apply_alone);
            }
            applied => break applied,
        }
    };
    let (transaction, outcomes) = match applied {
        Ok(applied) => applied,
        // The fault is the file's or the disk's, not a batch's.
        Err((_, error)) => return vec![unavailable(&error); batches.len()],
    };
    match transaction.commit() {
        Ok(()) => outcomes,
        // A transaction that failed to commit is rolled back when dropped. Only after a failed write or
        // sync may its last record be in the log anyway, where a restart would find it.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
            let unknown = |outcome| match outcome {
                Outcome::Committed => Outcome::Unknown(format!("SQLite: the commit failed: {error}")),
                other => other,
            };
            outcomes.into_iter().map(unknown).collect()
        }
        Err(error) => vec![unavailable(&error); batches.len()],
    }
}

/// Inserts a user.
pub(super) const INSERT_USER: &str =
    "INSERT INTO users (id, subject, email, seq, last_batch, created_at, horizon)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// How one batch is applied.
type ApplyBatch = fn(&mut Transaction<'_>, &Batch) -> Result<Outcome>;

/// Applies, by `step`, the batches without a known outcome, and leaves the transaction open. An error, with
/// the index of the batch that met it, rolls all of them back.
fn apply_all<'c>(
    connection: &'c Connection,
    batches: &[Arc<Batch>],
    known: &[Option<Outcome>],
    step: ApplyBatch,
) -> Result<(Transaction<'c>, Vec<Outcome>), (Option<usize>, rusqlite::Error)> {
    let mut transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
        .map_err(|error| (None, error))?;
    let mut outcomes = Vec::with_capacity(batches.len());
    for (index, (batch, known)) in batches.iter().zip(known).enumerate() {
        outcomes.push(match known {
            Some(outcome) => outcome.clone(),
            None => step(&mut transaction, batch).map_err(|error| (Some(index), error))?,
        });
    }
    Ok((transaction, outcomes))
}

/// Applies one batch, or leaves no trace of it.
///
/// # Errors
/// Errors that are not the batch's own fault.
fn apply_alone(transaction: &mut Transaction<'_>, batch: &Batch) -> Result<Outcome> {
    let savepoint = transaction.savepoint()?;
    match apply(&savepoint, batch) {
        Ok(outcome) => savepoint.commit().map(|()| outcome),
        Err(error) if is_taken(&error) => savepoint.finish().map(|()| Outcome::Conflict),
        Err(error) if is_about_the_data(&error) => {
            // SQLite's messages name constraints and columns, never values.
            savepoint.finish().map(|()| Outcome::Rejected(format!("SQLite: {error}")))
        }
        Err(error) => Err(error),
    }
}

fn unavailable(error: &rusqlite::Error) -> Outcome {
    Outcome::Unavailable(format!("SQLite: {error}, nothing was written"))
}

/// Whether a page is damaged.
fn is_damage(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
}

/// Whether another batch has stored one of a batch's keys.
fn is_taken(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::StatementChangedRows(0))
}

fn is_about_the_data(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
    )
}

fn apply(connection: &Connection, batch: &Batch) -> Result<Outcome> {
    if let Some(outcome) = pass_fence(connection, batch)? {
        return Ok(outcome);
    }
    let user = batch.user.as_uuid().into_bytes();
    if batch.erase {
        for table in ["tasks", "tombstones", "idempotency_keys"] {
            connection.execute(&format!("DELETE FROM {table} WHERE user_id = ?1"), params![user])?;
        }
    }
    for key in &batch.keys {
        put_key(connection, batch.user, key)?;
    }
    for change in &batch.changes {
        match change {
            Change::Put(task) => put(connection, batch.user, task)?,
            Change::Delete { id, seq, at } => {
                connection
                    .prepare_cached("DELETE FROM tasks WHERE user_id = ?1 AND id = ?2")?
                    .execute(params![user, id.as_uuid().into_bytes()])?;
                put_tombstone(connection, batch.user, *id, *seq, *at)?;
            }
        }
    }
    Ok(Outcome::Committed)
}

/// Stores a reply under its key.
pub(super) fn put_key(connection: &Connection, user: UserId, record: &KeyRecord) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO idempotency_keys (user_id, key, fingerprint, answer, kept_at)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (user_id, key) DO NOTHING",
        )?
        .insert(params![
            user.as_uuid().into_bytes(),
            &*record.key,
            record.fingerprint,
            String::from_utf8_lossy(&record.answer),
            record.at.as_micros()
        ])
        .map(drop)
}

/// Stores a tombstone.
pub(super) fn put_tombstone(
    connection: &Connection,
    user: UserId,
    id: TaskId,
    seq: Seq,
    at: Timestamp,
) -> Result<()> {
    let (user, id) = (user.as_uuid().into_bytes(), id.as_uuid().into_bytes());
    connection
        .prepare_cached(
            "INSERT INTO tombstones (user_id, id, seq, deleted_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (user_id, id) DO UPDATE SET seq = excluded.seq,
                deleted_at = excluded.deleted_at",
        )?
        .execute(params![user, id, seq.get(), at.as_micros()])
        .map(drop)
}

/// Moves the user's seq from the expected to the reached one; if the fence refuses that, returns the
/// outcome.
fn pass_fence(connection: &Connection, batch: &Batch) -> Result<Option<Outcome>> {
    let user = batch.user.as_uuid().into_bytes();
    let batch_id = batch.id.into_bytes();
    let email = match batch.storable_email() {
        Some(email) => connection
            .prepare_cached("SELECT 1 FROM users WHERE email = ?1 AND id <> ?2")?
            .query_row(params![email, user], |_| Ok(()))
            .optional()?
            .map_or(Some(email), |()| None),
        None => None,
    };
    let passed = connection
        .prepare_cached(
            "UPDATE users SET seq = ?3, last_batch = ?4,
                email = CASE WHEN ?6 THEN ?5 ELSE coalesce(?5, email) END,
                horizon = CASE WHEN ?6 THEN ?3 ELSE horizon END
             WHERE id = ?1 AND seq = ?2 AND last_batch IS NOT ?4",
        )?
        .execute(params![user, batch.expected.get(), batch.reached.get(), batch_id, email, batch.erase])?;
    if passed == 1 {
        return Ok(None);
    }
    let last_batch: Option<Option<[u8; 16]>> = connection
        .prepare_cached("SELECT last_batch FROM users WHERE id = ?1")?
        .query_row(params![user], |row| row.get(0))
        .optional()?;
    match last_batch {
        Some(last) if last == Some(batch_id) => return Ok(Some(Outcome::Committed)),
        None if batch.expected.get() == 0 => {}
        _ => return Ok(Some(Outcome::Conflict)),
    }
    connection.prepare_cached(INSERT_USER)?.execute(params![
        user,
        &*batch.subject,
        email,
        batch.reached.get(),
        batch_id,
        Timestamp::now().as_micros(),
        if batch.erase { batch.reached.get() } else { 0 },
    ])?;
    Ok(None)
}
