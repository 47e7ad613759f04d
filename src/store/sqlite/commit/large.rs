//! Large batches, a slice at a time: each is a short transaction and a job of its own, so that other users'
//! commits run in between.
//!
//! - An import's new tasks are written first, above the user's seq, where no read looks. The last transaction
//!   passes the fence and moves the seq: it shows them all at once. What changes existing rows is in that
//!   transaction, too. If it is not reached, or fails, the tasks are removed.
//! - An erasure moves the horizon first, and its rows are removed afterwards, before it is acknowledged.
//!
//! Each runs on a thread of its own, because a call that is dropped must not stop its commit.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, Result, Transaction, TransactionBehavior, params};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::group;
use super::sweep::{SLICE, sweep_all};
use crate::domain::{Change, Timestamp};
use crate::store::sqlite::retention::empty_log;
use crate::store::sqlite::task_row::insert;
use crate::store::sqlite::worker::{Lost, Worker};
use crate::store::{Batch, Outcome};

/// The pause before rows that could not be removed are tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether a batch takes more than one transaction.
pub(in crate::store::sqlite) fn is_sliced(batch: &Batch) -> bool {
    batch.erase || batch.changes.len() > 2 * SLICE
}

/// Commits a large batch.
pub(in crate::store::sqlite) async fn commit(writer: &Arc<Worker>, batch: &Arc<Batch>) -> Outcome {
    let (sender, outcome) = oneshot::channel();
    let (writer, batch) = (Arc::clone(writer), Arc::clone(batch));
    let started = Builder::new_current_thread().build().and_then(|runtime| {
        let work = move || run(&runtime, &writer, &batch, sender);
        thread::Builder::new().name("sqlite-large".to_owned()).spawn(work)
    });
    match started {
        Ok(_) => outcome.await.unwrap_or_else(|_| Outcome::Unknown(format!("SQLite: {}", Lost::NoAnswer))),
        Err(error) => Outcome::Unavailable(format!("SQLite: cannot start a thread: {error}")),
    }
}

fn run(runtime: &Runtime, writer: &Worker, batch: &Arc<Batch>, outcome: oneshot::Sender<Outcome>) {
    let (settled, leaves_rows) = runtime.block_on(async {
        if batch.erase {
            let settled = publish(writer, batch, None).await;
            let erased = settled == Outcome::Committed;
            return (settled, erased);
        }
        match stage(writer, batch).await {
            Ok(rest) => {
                let settled = publish(writer, batch, Some(rest)).await;
                let in_vain = settled != Outcome::Committed;
                (settled, in_vain)
            }
            Err(Unstaged { settled, began }) => (settled, began),
        }
    });
    let sweep = || {
        let (user, batch) = (batch.user.as_uuid().into_bytes(), batch.id.into_bytes());
        runtime.block_on(sweep_all(writer, user, batch))
    };
    let mut swept = !leaves_rows || sweep();
    if swept
        && batch.erase
        && let Ok(Err(error)) = runtime.block_on(writer.run(empty_log))
    {
        tracing::warn!(%error, "SQLite: the write-ahead log cannot be emptied yet");
    }
    // The caller may have stopped waiting.
    let _ = outcome.send(settled);
    while !swept {
        thread::sleep(PAUSE);
        swept = sweep();
    }
}

/// Why a batch was not staged, and whether some of its rows may be there.
struct Unstaged {
    settled: Outcome,
    began: bool,
}

/// Writes the new tasks, above the user's seq. Returns the indexes of the changes that are left.
async fn stage(writer: &Worker, batch: &Arc<Batch>) -> Result<Vec<usize>, Unstaged> {
    let mut rest = Vec::new();
    for start in (0..batch.changes.len()).step_by(SLICE) {
        let began = start > 0;
        let slice = Arc::clone(batch);
        let staged = writer.run(move |connection| stage_slice(connection, &slice, start)).await;
        match staged {
            Ok(Ok(Ok(left))) => rest.extend(left),
            Ok(Ok(Err(settled))) => return Err(Unstaged { settled, began }),
            Ok(Err(error)) => return Err(Unstaged { settled: group::failed(&error), began }),
            // Whatever it did was rolled back.
            Err(lost) => {
                return Err(Unstaged { settled: Outcome::Unavailable(format!("SQLite: {lost}")), began });
            }
        }
    }
    Ok(rest)
}

/// Writes the new tasks of one slice. The first one checks the fence and takes the user.
fn stage_slice(
    connection: &mut Connection,
    batch: &Batch,
    start: usize,
) -> Result<Result<Vec<usize>, Outcome>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let refusal = if start == 0 { begin(&transaction, batch)? } else { None };
    if let Some(refusal) = refusal {
        return Ok(Err(refusal));
    }
    let mut left = Vec::new();
    for (index, change) in batch.changes.iter().enumerate().skip(start).take(SLICE) {
        match change {
            Change::Put(task) if insert(&transaction, batch.user, task)? => {}
            _ => left.push(index),
        }
    }
    transaction.commit()?;
    Ok(Ok(left))
}

/// Marks the user as being written to by this batch; or says why not.
fn begin(transaction: &Transaction<'_>, batch: &Batch) -> Result<Option<Outcome>> {
    let (user, id) = (batch.user.as_uuid().into_bytes(), batch.id.into_bytes());
    let taken = transaction
        .prepare_cached(
            "UPDATE users SET unswept = ?3
             WHERE id = ?1 AND seq = ?2 AND last_batch IS NOT ?3 AND unswept IS NULL",
        )?
        .execute(params![user, batch.expected.get(), id])?;
    if taken == 1 {
        return Ok(None);
    }
    if let Some(refusal) = group::refusal(transaction, batch)? {
        return Ok(Some(refusal));
    }
    // A row for the tasks to refer to. Nobody sees it before it has a last batch.
    transaction
        .prepare_cached(
            "INSERT INTO users (id, subject, seq, created_at, unswept) VALUES (?1, ?2, 0, ?3, ?4)",
        )?
        .execute(params![user, &*batch.subject, Timestamp::now().as_micros(), id])?;
    Ok(None)
}

/// Applies the batch: of one that was staged, the changes with these indexes.
async fn publish(writer: &Worker, batch: &Arc<Batch>, staged: Option<Vec<usize>>) -> Outcome {
    let batches = [Arc::clone(batch)];
    let work = move |connection: &mut Connection| match staged {
        None => group::commit(connection, &batches),
        Some(rest) => group::commit_by(connection, &batches, &|connection, batch| {
            group::apply_changes(connection, batch, true, rest.iter().map(|index| &batch.changes[*index]))
        }),
    };
    match writer.run(work).await {
        Ok(outcomes) => outcomes.into_iter().next().unwrap_or(Outcome::Unknown(String::new())),
        Err(lost @ Lost::NeverRan) => Outcome::Unavailable(format!("SQLite: {lost}")),
        Err(lost @ Lost::NoAnswer) => Outcome::Unknown(format!("SQLite: {lost}")),
    }
}
