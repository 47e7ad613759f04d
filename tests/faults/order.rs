//! The records of one user as the checker of seqs wants them, and what keys promise of them.

use std::collections::{HashMap, HashSet};

use tasklane::domain::TaskId;

use crate::history::{Action, Operation, Outcome};
use crate::record::{Record, What};

/// The records as the checker of seqs wants them. A repetition that was answered with what an earlier
/// request did settles that request: it happened between the first sending and now.
pub fn history(records: &[Record], outcomes: &[Outcome]) -> Vec<Operation> {
    let mut first: HashMap<&str, u64> = HashMap::new();
    let mut done: HashMap<&str, usize> = HashMap::new();
    for (place, (record, outcome)) in records.iter().zip(outcomes).enumerate() {
        let Some(key) = record.key.as_deref() else { continue };
        first.entry(key).or_insert(record.invoked);
        if matches!(outcome, Outcome::Done(_)) || record.told.replayed {
            done.insert(key, place);
        }
    }
    let operation = |(place, (record, outcome)): (usize, (&Record, &Outcome))| {
        let key = record.key.as_deref();
        let settled = key.and_then(|key| done.get(key)).is_some_and(|done| *done > place);
        let outcome = if settled && *outcome == Outcome::Unknown { Outcome::NotApplied } else { *outcome };
        let id = record.what.task().and_then(TaskId::parse);
        let id = id.unwrap_or_else(TaskId::generate);
        Operation {
            action: match record.what {
                What::Create { .. } => Action::Create(id),
                // Of which kind a change is does not matter to the order.
                What::Describe { .. }
                | What::Complete { .. }
                | What::Batch(_)
                | What::Import(_)
                | What::Erase => Action::Flip(id),
                What::Delete { .. } => Action::Delete(id),
                What::List | What::Task { .. } | What::Export => Action::Read,
            },
            // Only answers that name a seq are compared with one another.
            key: key.filter(|_| matches!(outcome, Outcome::Done(_))).map(str::to_owned),
            invoked: key.filter(|_| record.told.replayed).map_or(record.invoked, |key| first[key]),
            returned: record.returned,
            outcome,
        }
    };
    records.iter().zip(outcomes).enumerate().map(operation).collect()
}

/// For each operation, the newest seq that was known when it was sent.
pub fn floors(history: &[Operation]) -> Vec<i64> {
    let mut returns: Vec<(u64, i64)> = Vec::new();
    for operation in history {
        if let Outcome::Done(seq) | Outcome::Refused(seq) = operation.outcome {
            returns.push((operation.returned, seq));
        }
    }
    returns.sort_unstable();
    let mut newest = 0;
    for (_, seq) in &mut returns {
        newest = newest.max(*seq);
        *seq = newest;
    }
    let before = |at: u64| match returns.partition_point(|(returned, _)| *returned < at) {
        0 => 0,
        count => returns[count - 1].1,
    };
    history.iter().map(|operation| before(operation.invoked)).collect()
}

/// Every answer under one key that tells of its execution is the same, and the first of them is a
/// repetition only where an earlier request may have been carried out.
pub fn check_replays(records: &[Record]) -> Result<(), String> {
    let mut answers: HashMap<&str, &Record> = HashMap::new();
    let mut unsure: HashSet<&str> = HashSet::new();
    for record in records {
        let Some(key) = record.key.as_deref() else { continue };
        if !matches!(record.told.status, 200 | 201 | 204) {
            if record.outcome()? == Outcome::Unknown {
                unsure.insert(key);
            }
            continue;
        }
        match answers.get(key) {
            Some(first)
                if (first.told.status, &first.told.body, first.told.seq)
                    != (record.told.status, &record.told.body, record.told.seq) =>
            {
                return Err(format!("two answers under one key: {first:?} and {record:?}"));
            }
            Some(_) => {
                if !record.told.replayed {
                    return Err(format!("carried out anew, though done before: {record:?}"));
                }
            }
            None if record.told.replayed && !unsure.contains(key) => {
                return Err(format!("replayed, though never carried out: {record:?}"));
            }
            None => drop(answers.insert(key, record)),
        }
    }
    Ok(())
}
