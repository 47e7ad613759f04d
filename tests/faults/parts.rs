//! Splits requests that do several things: a batch or an import is several writes with consecutive seqs, of
//! which nobody may ever see a part; an export is a list.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::history::Outcome;
use crate::record::{Record, Reply, What};

/// The records, each of one write or one read.
///
/// # Errors
/// An answer that contradicts itself, or a read between two writes of one batch.
pub fn take_apart(records: &[Record]) -> Result<Vec<Record>, String> {
    let mut apart = Vec::with_capacity(records.len());
    // Seqs that were never the newest one.
    let mut inside: HashSet<i64> = HashSet::new();
    for record in records {
        let parts = match &record.what {
            What::Export => vec![list(record)?],
            What::Batch(writes) => parts(record, writes)?,
            What::Import(tasks) => {
                let make = |(id, title): &(String, String)| What::Create {
                    id: Some(id.clone()),
                    title: title.clone(),
                };
                parts(record, &tasks.iter().map(make).collect::<Vec<_>>())?
            }
            _ => vec![record.clone()],
        };
        if let (Outcome::Done(_), [first, .., last]) = (record.outcome()?, &*parts) {
            inside.extend(first.reply.seq.unwrap_or(0)..last.reply.seq.unwrap_or(0));
        }
        apart.extend(parts);
    }
    for record in records {
        if let Outcome::Done(seq) | Outcome::Refused(seq) = record.outcome()?
            && inside.contains(&seq)
        {
            return Err(format!("half of a batch was seen: {record:?}"));
        }
    }
    Ok(apart)
}

fn list(record: &Record) -> Result<Record, String> {
    if record.reply.status == 200 && record.reply.json()["seq"].as_i64() != record.reply.seq {
        return Err(format!("an export of another seq than its answer's: {record:?}"));
    }
    Ok(Record { what: What::List, ..record.clone() })
}

fn parts(record: &Record, writes: &[What]) -> Result<Vec<Record>, String> {
    let part = |place: usize, reply: Reply| {
        let key = record.key.as_ref().map(|key| format!("{key}.{place}"));
        Record { what: writes[place].clone(), key, reply, ..record.clone() }
    };
    let body = record.reply.json();
    match record.outcome()? {
        Outcome::Done(seq) => {
            let results = match &record.what {
                What::Import(tasks) if body["imported"] == tasks.len() && body["unchanged"] == 0 => {
                    vec![json!({"status": 201}); tasks.len()]
                }
                _ => body["results"].as_array().cloned().unwrap_or_default(),
            };
            if results.len() != writes.len() || body["seq"].as_i64() != Some(seq) {
                return Err(format!("not what was asked for: {record:?}"));
            }
            let numbered = (seq - i64::try_from(writes.len()).expect("it is small") + 1..).zip(&results);
            let reply = |(seq, result): (i64, &Value)| Reply {
                status: result["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(0),
                seq: Some(seq),
                body: result.get("task").map(|task| task.to_string().into_bytes()).unwrap_or_default(),
                ..record.reply.clone()
            };
            Ok(numbered.map(reply).enumerate().map(|(place, reply)| part(place, reply)).collect())
        }
        // They are about different tasks: none depends on those before it.
        Outcome::Refused(_) => {
            let details = &body["error"]["details"];
            let place = details["operation"].as_u64().and_then(|place| usize::try_from(place).ok());
            let place = place.filter(|place| *place < writes.len());
            let place = place.ok_or_else(|| format!("it is not said which write was refused: {record:?}"))?;
            let body = json!({"error": {"details": details["task"]}}).to_string().into_bytes();
            Ok(vec![Record { key: None, ..part(place, Reply { body, ..record.reply.clone() }) }])
        }
        _ => Ok((0..writes.len()).map(|place| part(place, record.reply.clone())).collect()),
    }
}
