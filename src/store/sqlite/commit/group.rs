//! Applies a group of batches in one transaction. Only if a batch makes that fail does each get a savepoint
//! of its own. A batch that needs a damaged page is left out.

use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Result, Transaction, TransactionBehavior, params};

use super::sweep::sweep;
use crate::domain::{Change, Seq, Task, TaskId, Timestamp, UserId};
use crate::store::sqlite::task_row::put;
use crate::store::{Batch, KeyRecord, Outcome};

/// Applies the batches and returns their outcomes in the same order.
pub(in crate::store::sqlite) fn commit(connection: &Connection, batches: &[Arc<Batch>]) -> Vec<Outcome> {
    commit_by(connection, batches, &|connection, batch| {
        apply_changes(connection, batch, false, batch.changes.iter())
    })
}

/// The same, where `apply` applies one batch.
pub(super) fn commit_by(
    connection: &Connection,
    batches: &[Arc<Batch>],
    apply: ApplyBatch<'_>,
) -> Vec<Outcome> {
    let mut damaged: Vec<Option<Outcome>> = vec![None; batches.len()];
    let mut alone = false;
    // Every attempt but the last either excludes one batch or turns savepoints on.
    let applied = loop {
        let step: &dyn Fn(&mut Transaction<'_>, &Batch) -> Result<Outcome> = if alone {
            &|transaction, batch| apply_alone(transaction, batch, apply)
        } else {
            &|transaction, batch| apply(transaction, batch)
        };
        match apply_all(connection, batches, &damaged, step) {
            // Other users' rows are on other pages. A savepoint does not help: SQLite fails everything
            // after it.
            Err((Some(index), error)) if is_damage(&error) => damaged[index] = Some(unavailable(&error)),
            Err((_, error)) if !alone && (is_about_the_data(&error) || is_taken(&error)) => alone = true,
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
pub(in crate::store::sqlite) const INSERT_USER: &str =
    "INSERT INTO users (id, subject, email, seq, last_batch, created_at, horizon, key_bytes)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// How one batch is applied.
type ApplyBatch<'a> = &'a dyn Fn(&Connection, &Batch) -> Result<Outcome>;

/// Applies, by `step`, the batches without a known outcome, and leaves the transaction open. An error, with
/// the index of the batch that met it, rolls all of them back.
fn apply_all<'c>(
    connection: &'c Connection,
    batches: &[Arc<Batch>],
    known: &[Option<Outcome>],
    step: &dyn Fn(&mut Transaction<'_>, &Batch) -> Result<Outcome>,
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
fn apply_alone(transaction: &mut Transaction<'_>, batch: &Batch, apply: ApplyBatch<'_>) -> Result<Outcome> {
    let savepoint = transaction.savepoint()?;
    match apply(&savepoint, batch) {
        Ok(outcome) => savepoint.commit().map(|()| outcome),
        Err(error) if is_taken(&error) || is_about_the_data(&error) => {
            savepoint.finish().map(|()| failed(&error))
        }
        Err(error) => Err(error),
    }
}

/// The outcome of a batch that met this error alone.
pub(super) fn failed(error: &rusqlite::Error) -> Outcome {
    match error {
        error if is_taken(error) => Outcome::Conflict,
        // SQLite's messages name constraints and columns, never values.
        error if is_about_the_data(error) => Outcome::Rejected(format!("SQLite: {error}")),
        error => unavailable(error),
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

/// Applies a batch of which these changes are still to be made: of one that was `staged`, the new tasks are
/// there.
pub(super) fn apply_changes<'b>(
    connection: &Connection,
    batch: &Batch,
    staged: bool,
    changes: impl Iterator<Item = &'b Change<Arc<Task>>>,
) -> Result<Outcome> {
    if let Some(outcome) = pass_fence(connection, batch, staged)? {
        return Ok(outcome);
    }
    let user = batch.user.as_uuid().into_bytes();
    if staged {
        connection.prepare_cached("UPDATE users SET unswept = NULL WHERE id = ?1")?.execute(params![user])?;
    }
    if batch.erase {
        // Everything at once, if that is little.
        connection
            .prepare_cached("UPDATE users SET erased = ?2, unswept = ?3 WHERE id = ?1")?
            .execute(params![user, batch.expected.get(), batch.id.into_bytes()])?;
        sweep(connection, &user)?;
    }
    // Keys up to this seq have been erased, though they may still be there.
    let erased = if batch.erase { batch.expected } else { NEVER };
    for key in &batch.keys {
        put_key(connection, batch.user, key, batch.reached, erased)?;
    }
    for change in changes {
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

/// Before every seq: nothing was erased.
pub(in crate::store::sqlite) const NEVER: Seq = Seq::new(-1);

/// Stores a reply under its key, at the user's seq `seq`. It replaces one that was erased.
pub(in crate::store::sqlite) fn put_key(
    connection: &Connection,
    user: UserId,
    record: &KeyRecord,
    seq: Seq,
    erased: Seq,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO idempotency_keys (user_id, key, fingerprint, answer, kept_at, seq)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint,
                answer = excluded.answer, kept_at = excluded.kept_at, seq = excluded.seq
                WHERE seq <= ?7",
        )?
        .insert(params![
            user.as_uuid().into_bytes(),
            &*record.key,
            record.fingerprint,
            String::from_utf8_lossy(&record.answer),
            record.at.as_micros(),
            seq.get(),
            erased.get()
        ])
        .map(drop)
}

/// Stores a tombstone.
pub(in crate::store::sqlite) fn put_tombstone(
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
/// outcome. Of a batch that was `staged`, rows are there already.
fn pass_fence(connection: &Connection, batch: &Batch, staged: bool) -> Result<Option<Outcome>> {
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
                horizon = CASE WHEN ?6 THEN ?3 ELSE horizon END,
                key_bytes = CASE WHEN ?6 THEN ?8 ELSE key_bytes + ?8 END
             WHERE id = ?1 AND seq = ?2 AND last_batch IS NOT ?4 AND unswept IS ?7",
        )?
        .execute(params![
            user,
            batch.expected.get(),
            batch.reached.get(),
            batch_id,
            email,
            batch.erase,
            staged.then_some(batch_id),
            batch.key_bytes()
        ])?;
    if passed == 1 {
        return Ok(None);
    }
    if let Some(refusal) = refusal(connection, batch)? {
        return Ok(Some(refusal));
    }
    connection.prepare_cached(INSERT_USER)?.execute(params![
        user,
        &*batch.subject,
        email,
        batch.reached.get(),
        batch_id,
        Timestamp::now().as_micros(),
        if batch.erase { batch.reached.get() } else { 0 },
        batch.key_bytes(),
    ])?;
    Ok(None)
}

/// The outcome of a batch that did not pass the fence; `None` if it is the first of a new user.
pub(super) fn refusal(connection: &Connection, batch: &Batch) -> Result<Option<Outcome>> {
    let batch_id = Some(batch.id.into_bytes());
    let found = connection
        .prepare_cached("SELECT last_batch, seq, unswept FROM users WHERE id = ?1")?
        .query_row(params![batch.user.as_uuid().into_bytes()], |row| {
            let (last, seq, unswept): (Option<[u8; 16]>, i64, Option<[u8; 16]>) = row.try_into()?;
            Ok((last, Seq::new(seq), unswept))
        })
        .optional()?;
    Ok(match found {
        None if batch.expected == Seq::ZERO => None,
        Some((last, ..)) if last == batch_id => Some(Outcome::Committed),
        Some((_, seq, unswept)) if seq == batch.expected && unswept.is_some() => {
            Some(if unswept == batch_id {
                Outcome::Unknown("SQLite: this batch is being written".to_owned())
            } else {
                Outcome::Unavailable("SQLite: rows of an earlier batch are still to be removed".to_owned())
            })
        }
        _ => Some(Outcome::Conflict),
    })
}
