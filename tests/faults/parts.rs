//! What asks for several things at once, taken apart: a batch and an import are so many writes in a row of seqs, of
//! which nobody ever sees a part; an export is a list.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::history::Outcome;
use crate::record::{Record, Told, What};

/// The records, each of one write or one read.
///
/// # Errors
/// An answer that cannot be true in itself, or a state between two writes of one batch that somebody saw.
pub fn take_apart(records: &[Record]) -> Result<Vec<Record>, String> {
    let mut apart = Vec::with_capacity(records.len());
    // Seqs that were never anybody's newest.
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
            inside.extend(first.told.seq.unwrap_or(0)..last.told.seq.unwrap_or(0));
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
    if record.told.status == 200 && record.told.json()["seq"].as_i64() != record.told.seq {
        return Err(format!("an export of another seq than its answer's: {record:?}"));
    }
    Ok(Record { what: What::List, ..record.clone() })
}

fn parts(record: &Record, writes: &[What]) -> Result<Vec<Record>, String> {
    let part = |place: usize, told: Told| {
        let key = record.key.as_ref().map(|key| format!("{key}.{place}"));
        Record { what: writes[place].clone(), key, told, ..record.clone() }
    };
    let body = record.told.json();
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
            let told = |(seq, result): (i64, &Value)| Told {
                status: result["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(0),
                seq: Some(seq),
                body: result.get("task").map(|task| task.to_string().into_bytes()).unwrap_or_default(),
                ..record.told.clone()
            };
            Ok(numbered.map(told).enumerate().map(|(place, told)| part(place, told)).collect())
        }
        // They are about different tasks: what one rests on is not changed by those before it.
        Outcome::Refused(_) => {
            let details = &body["error"]["details"];
            let place = details["operation"].as_u64().and_then(|place| usize::try_from(place).ok());
            let place = place.filter(|place| *place < writes.len());
            let place = place.ok_or_else(|| format!("refused for which write? {record:?}"))?;
            let body = json!({"error": {"details": details["task"]}}).to_string().into_bytes();
            Ok(vec![Record { key: None, ..part(place, Told { body, ..record.told.clone() }) }])
        }
        _ => Ok((0..writes.len()).map(|place| part(place, record.told.clone())).collect()),
    }
}
