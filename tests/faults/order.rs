//! One user's records as input for the checker of seqs, and the check of idempotency keys.

use std::collections::{HashMap, HashSet};

use crate::history::{Operation, Outcome};
use crate::record::Record;

/// The records as input for the checker of seqs. A retry that gets a replayed answer settles the earlier
/// request: that happened between the first sending and now.
pub fn history(records: &[Record], outcomes: &[Outcome]) -> Vec<Operation> {
    let mut first: HashMap<&str, u64> = HashMap::new();
    let mut done: HashMap<&str, usize> = HashMap::new();
    for (place, (record, outcome)) in records.iter().zip(outcomes).enumerate() {
        let Some(key) = record.key.as_deref() else { continue };
        first.entry(key).or_insert(record.invoked);
        if matches!(outcome, Outcome::Done(_)) || record.reply.replayed {
            done.insert(key, place);
        }
    }
    let operation = |(place, (record, outcome)): (usize, (&Record, &Outcome))| {
        let key = record.key.as_deref();
        let settled = key.and_then(|key| done.get(key)).is_some_and(|done| *done > place);
        let outcome = if settled && *outcome == Outcome::Unknown { Outcome::NotApplied } else { *outcome };
        let id = record.what.task().unwrap_or_default().to_owned();
        Operation {
            write: record.what.write().map(|write| (id, write)),
            // Only answers with a seq are compared with each other.
            key: key.filter(|_| matches!(outcome, Outcome::Done(_))).map(str::to_owned),
            invoked: key.filter(|_| record.reply.replayed).map_or(record.invoked, |key| first[key]),
            returned: record.returned,
            outcome,
        }
    };
    records.iter().zip(outcomes).enumerate().map(operation).collect()
}

/// Every answer under one key to an executed write is the same, and the first of them is a replay only if an
/// earlier request may have been carried out.
pub fn check_replays(records: &[Record]) -> Result<(), String> {
    let mut answers: HashMap<&str, &Record> = HashMap::new();
    let mut unsure: HashSet<&str> = HashSet::new();
    for record in records {
        let Some(key) = record.key.as_deref() else { continue };
        if !matches!(record.reply.status, 200 | 201 | 204) {
            if record.outcome()? == Outcome::Unknown {
                unsure.insert(key);
            }
            continue;
        }
        match answers.get(key) {
            Some(first)
                if (first.reply.status, &first.reply.body, first.reply.seq)
                    != (record.reply.status, &record.reply.body, record.reply.seq) =>
            {
                return Err(format!("two answers under one key: {first:?} and {record:?}"));
            }
            Some(_) => {
                if !record.reply.replayed {
                    return Err(format!("carried out again, though done before: {record:?}"));
                }
            }
            None if record.reply.replayed && !unsure.contains(key) => {
                return Err(format!("replayed, though never carried out: {record:?}"));
            }
            None => drop(answers.insert(key, record)),
        }
    }
    Ok(())
}
