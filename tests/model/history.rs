//! A history of what clients did and were answered, and the check whether it can be true. Except for one
//! sort, the check takes time linear in the history's length.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::model::{Task, Write};
use crate::possible::Possible;

/// One operation of one client on one user.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The task and the write to it; `None`: a read.
    pub write: Option<(String, Write)>,
    /// Its idempotency key, if any.
    pub key: Option<String>,
    /// When it was sent and when it was answered, by the history's logical clock.
    pub invoked: u64,
    pub returned: u64,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Carried out, or read, at this seq.
    Done(i64),
    /// Refused by a rule, at this seq.
    Refused(i64),
    /// Not applied, and it never will be.
    NotApplied,
    /// Applied or not: unknown.
    Unknown,
}

/// What the store has in the end, with what other processes did.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    pub seq: i64,
    pub tasks: BTreeMap<String, Task>,
    /// The remembered deletions, by seq.
    pub deleted: BTreeMap<i64, String>,
    /// The seqs that another process used, and its visible changes.
    pub foreign: BTreeMap<i64, Option<(String, Write)>>,
}

/// Checks one user's history: the seqs, and that the writes in their order lead to the final state.
///
/// # Errors
/// What cannot be true.
pub fn check(history: &[Operation], ending: &Ending) -> Result<(), String> {
    let written = check_order(history, ending)?;
    let unknown: Vec<_> = history
        .iter()
        .zip(floors(history))
        .filter(|(operation, _)| operation.outcome == Outcome::Unknown)
        .filter_map(|(operation, floor)| operation.write.as_ref().map(|write| (write, floor)))
        .collect();
    let shown = |seq| {
        let there = ending.tasks.iter().find(|(_, task)| task.version == seq);
        let there = there.map(|(id, task)| (id.clone(), Some(task.clone())));
        there.or_else(|| ending.deleted.get(&seq).map(|id| (id.clone(), None)))
    };
    let mut tasks = Possible::default();
    for seq in 1..=ending.seq {
        let ours = written.get(&seq).map(|operation| operation.write.as_ref());
        if let Some(write) = ours.or_else(|| ending.foreign.get(&seq).map(Option::as_ref)) {
            if let Some((id, write)) = write {
                tasks.write((id, write), seq, None, &format!("{write:?}"))?;
            }
            continue;
        }
        let before = unknown.iter().filter(|(_, floor)| *floor < seq);
        tasks.hole(seq, before.map(|((id, write), _)| (&**id, write)), shown(seq))?;
    }
    tasks.list(&ending.tasks, "the final state")
}

/// Checks the seqs alone: of the ending it uses the seq and the seqs of other processes. Returns the
/// acknowledged writes by seq.
///
/// # Errors
/// What cannot be true.
pub fn check_order(history: &[Operation], ending: &Ending) -> Result<BTreeMap<i64, Operation>, String> {
    let written = check_seqs(history, ending)?;
    check_real_time(history)?;
    Ok(written)
}

/// Each acknowledged seq belongs to one write, and gaps are explained by unknown outcomes. Returns those
/// writes by seq.
///
/// # Errors
/// What cannot be true.
pub fn check_seqs(history: &[Operation], ending: &Ending) -> Result<BTreeMap<i64, Operation>, String> {
    let mut written: BTreeMap<i64, Operation> = BTreeMap::new();
    let mut keys: HashMap<&str, i64> = HashMap::new();
    let mut unknown = 0_i64;
    for operation in history.iter().filter(|operation| operation.write.is_some()) {
        let seq = match operation.outcome {
            Outcome::Done(seq) => seq,
            Outcome::Unknown => {
                unknown += 1;
                continue;
            }
            _ => continue,
        };
        if let Some(key) = &operation.key
            && let Some(before) = keys.insert(key, seq)
        {
            if before != seq {
                return Err(format!("key {key} was carried out at {before} and at {seq}"));
            }
            continue;
        }
        if seq < 1 || seq > ending.seq || ending.foreign.contains_key(&seq) {
            return Err(format!("nothing of ours can have seq {seq}: {operation:?}"));
        }
        if let Some(other) = written.insert(seq, operation.clone()) {
            return Err(format!("two writes have seq {seq}: {other:?} and {operation:?}"));
        }
    }
    let known = written.len() + ending.foreign.len();
    let holes = ending.seq - i64::try_from(known).map_err(|error| error.to_string())?;
    if holes > unknown {
        return Err(format!("{holes} seqs belong to nobody, but only {unknown} outcomes are unknown"));
    }
    Ok(written)
}

/// No answer is older than one that was given before its request.
///
/// # Errors
/// What cannot be true.
pub fn check_real_time(history: &[Operation]) -> Result<(), String> {
    let mut keys: HashSet<&str> = HashSet::new();
    let mut answered: Vec<_> = history.iter().zip(floors(history)).collect();
    answered.sort_by_key(|(operation, _)| operation.returned);
    for (operation, floor) in answered {
        // A replayed answer is an old one by design.
        let replay = operation.key.as_deref().is_some_and(|key| !keys.insert(key));
        let stale = match operation.outcome {
            Outcome::Done(seq) if operation.write.is_some() => seq <= floor,
            Outcome::Done(seq) | Outcome::Refused(seq) => seq < floor,
            Outcome::NotApplied | Outcome::Unknown => false,
        };
        if stale && !replay {
            return Err(format!("seq {floor} was known before {operation:?} was asked for"));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn done(write: Option<(&str, Write)>, span: (u64, u64), seq: i64) -> Operation {
        let write = write.map(|(id, write)| (id.to_owned(), write));
        Operation { write, key: None, invoked: span.0, returned: span.1, outcome: Outcome::Done(seq) }
    }

    const FLIP: Write = Write::Complete(None);

    /// Two tasks, one flipped, one deleted, and a read.
    fn truth() -> (Vec<Operation>, Ending) {
        let task = Task { title: "one".into(), description: None, completed: true, version: 3 };
        let history = vec![
            done(Some(("one", Write::create("one"))), (1, 2), 1),
            done(Some(("two", Write::create("two"))), (3, 6), 2),
            done(Some(("one", FLIP)), (4, 7), 3),
            done(Some(("two", Write::Delete { if_match: None })), (8, 9), 4),
            done(None, (10, 11), 4),
        ];
        let (tasks, deleted) = ([("one".into(), task)].into(), [(4, "two".into())].into());
        (history, Ending { seq: 4, tasks, deleted, foreign: BTreeMap::new() })
    }

    #[track_caller]
    fn found(part: &str, lie: impl FnOnce(&mut Vec<Operation>, &mut Ending)) {
        let (mut history, mut ending) = truth();
        lie(&mut history, &mut ending);
        let complaint = check(&history, &ending).expect_err("a violation of this kind must be found");
        assert!(complaint.contains(part), "another complaint: {complaint}");
    }

    #[test]
    fn the_checker_accepts_a_true_history_whether_an_unknown_write_was_carried_out_or_not() {
        let (mut history, mut ending) = truth();
        assert_eq!(check(&history, &ending), Ok(()));
        history.push(Operation { outcome: Outcome::Unknown, ..done(Some(("one", FLIP)), (12, 13), 0) });
        assert_eq!(check(&history, &ending), Ok(()));
        let flipped = Task { completed: false, version: 5, ..ending.tasks["one"].clone() };
        (ending.seq, ending.tasks) = (5, [("one".into(), flipped)].into());
        assert_eq!(check(&history, &ending), Ok(()));
    }

    #[test]
    fn the_checker_finds_a_violation_of_each_kind() {
        found("two writes", |history, _| history[2].outcome = Outcome::Done(2));
        found("belong to nobody", |_, ending| ending.seq = 5);
        found("can have seq", |history, _| history[3].outcome = Outcome::Done(9));
        found("was known before", |history, _| history[4].outcome = Outcome::Done(3));
        found("was known before", |history, _| {
            (history[3].outcome, history[2].outcome) = (Outcome::Done(3), Outcome::Done(4));
        });
        // An acknowledged task is lost; a deleted one exists; a flip had no effect, or has another write's
        // seq.
        found("task one can only be in", |_, ending| drop(ending.tasks.remove("one")));
        found("task two can only be in", |_, ending| {
            drop(ending.tasks.insert("two".into(), ending.tasks["one"].clone()));
        });
        found("task one can only be in", |_, ending| ending.tasks.get_mut("one").unwrap().completed = false);
        found("task one can only be in", |_, ending| ending.tasks.get_mut("one").unwrap().version = 1);
        // Another process's changes count.
        found("task one can only be in", |_, ending| {
            ending.seq = 5;
            ending.foreign.insert(5, Some(("one".into(), FLIP)));
        });
        // An acknowledged write to a deleted task.
        found("no state of", |history, ending| {
            history.push(done(Some(("two", FLIP)), (12, 13), 5));
            ending.seq = 5;
        });
        // A write that was reported as not applied was applied.
        found("task lost can only be in", |history, ending| {
            let lost = done(Some(("lost", Write::create("lost"))), (12, 13), 0);
            history.push(Operation { outcome: Outcome::NotApplied, ..lost });
            drop(ending.tasks.insert("lost".into(), ending.tasks["one"].clone()));
        });
        found("was carried out at", |history, ending| {
            history[2].key = Some("k".into());
            history.push(Operation { key: Some("k".into()), ..done(Some(("one", FLIP)), (12, 13), 5) });
            ending.seq = 5;
        });
    }
}
