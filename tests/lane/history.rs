//! What clients did and were told, and whether it can be true. The checker takes time linear in the
//! length of the history (but for one sort).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tasklane::domain::{Task, TaskId};

/// One operation of one client on one user.
#[derive(Clone, Debug)]
pub struct Operation {
    pub action: Action,
    /// The client's name for it, if it gave one.
    pub key: Option<String>,
    /// When it was asked for and when it was answered, in one count for the whole history.
    pub invoked: u64,
    pub returned: u64,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Create(TaskId),
    Flip(TaskId),
    Delete(TaskId),
    Read,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Carried out, or read, at this seq.
    Done(i64),
    /// Refused by a rule, at this seq.
    Refused(i64),
    /// Not applied, and never will be.
    NotApplied,
    /// Applied or not.
    Unknown,
}

/// What is in the store in the end, with what other processes did.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    pub seq: i64,
    pub tasks: BTreeMap<TaskId, Task>,
    pub deleted: BTreeSet<TaskId>,
    /// The seqs another process took.
    pub foreign: BTreeSet<i64>,
    /// How often it turned over each task.
    pub turned: BTreeMap<TaskId, usize>,
}

/// Checks one user's history.
///
/// # Errors
/// What cannot be true.
pub fn check(history: &[Operation], ending: &Ending) -> Result<(), String> {
    let written = check_order(history, ending)?;
    check_fates(history, ending)?;
    check_flips(history, ending, &written)
}

/// Checks the seqs alone: of the ending, no more than the seq and what others took is looked at. Gives
/// the acknowledged writes by their seqs.
///
/// # Errors
/// What cannot be true.
pub fn check_order(history: &[Operation], ending: &Ending) -> Result<BTreeMap<i64, Operation>, String> {
    let written = check_seqs(history, ending)?;
    check_real_time(history)?;
    Ok(written)
}

/// Acknowledged seqs are of one write each and leave no hole but for what is unknown. Gives those writes by their
/// seqs.
///
/// # Errors
/// What cannot be true.
pub fn check_seqs(history: &[Operation], ending: &Ending) -> Result<BTreeMap<i64, Operation>, String> {
    let mut written: BTreeMap<i64, Operation> = BTreeMap::new();
    let mut keys: HashMap<&str, i64> = HashMap::new();
    let mut unknown = 0_i64;
    for operation in history.iter().filter(|operation| operation.action != Action::Read) {
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
        if seq < 1 || seq > ending.seq || ending.foreign.contains(&seq) {
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

/// What was answered before something was asked is not newer than it.
///
/// # Errors
/// What cannot be true.
pub fn check_real_time(history: &[Operation]) -> Result<(), String> {
    let mut keys: HashSet<&str> = HashSet::new();
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (place, operation) in history.iter().enumerate() {
        events.push((operation.invoked, false, place));
        events.push((operation.returned, true, place));
    }
    events.sort_unstable();
    let (mut newest, mut floor) = (0, vec![0; history.len()]);
    for (_, returned, place) in events {
        let operation = &history[place];
        if !returned {
            floor[place] = newest;
            continue;
        }
        // A replayed answer is an old one, by design.
        let replay = operation.key.as_deref().is_some_and(|key| !keys.insert(key));
        match operation.outcome {
            Outcome::Done(seq) | Outcome::Refused(seq) if !replay => {
                let writes =
                    operation.action != Action::Read && matches!(operation.outcome, Outcome::Done(_));
                if seq < floor[place] || (writes && seq == floor[place]) {
                    return Err(format!("seq {} was known before {operation:?} was asked for", floor[place]));
                }
                newest = newest.max(seq);
            }
            _ => {}
        }
    }
    Ok(())
}

/// What was acknowledged is there; what was said not to be applied is not.
fn check_fates(history: &[Operation], ending: &Ending) -> Result<(), String> {
    let mut may_be_gone = BTreeSet::new();
    let mut sent_again = BTreeSet::new();
    for operation in history {
        match (operation.action, operation.outcome) {
            (Action::Delete(id), Outcome::Done(_)) => {
                if ending.tasks.contains_key(&id) {
                    return Err(format!("the deleted task of {operation:?} is still there"));
                }
                may_be_gone.insert(id);
            }
            (Action::Delete(id), Outcome::Unknown) => {
                may_be_gone.insert(id);
            }
            // The same create may have had another answer the next time.
            (Action::Create(id), Outcome::Done(_) | Outcome::Unknown) => {
                sent_again.insert(id);
            }
            _ => {}
        }
    }
    for operation in history {
        let Action::Create(id) = operation.action else { continue };
        let there = ending.tasks.contains_key(&id);
        match operation.outcome {
            Outcome::Done(_) if !there && !may_be_gone.contains(&id) => {
                return Err(format!("the acknowledged {operation:?} is lost"));
            }
            Outcome::NotApplied if !sent_again.contains(&id) && (there || ending.deleted.contains(&id)) => {
                return Err(format!("{operation:?} was applied all the same"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every acknowledged flip, and every foreign one, turned its task over exactly once.
fn check_flips(
    history: &[Operation],
    ending: &Ending,
    written: &BTreeMap<i64, Operation>,
) -> Result<(), String> {
    let unsure: BTreeSet<TaskId> = (history.iter())
        .filter(|operation| operation.outcome == Outcome::Unknown)
        .filter_map(|operation| match operation.action {
            Action::Create(id) | Action::Flip(id) | Action::Delete(id) => Some(id),
            Action::Read => None,
        })
        .collect();
    let mut turned: BTreeMap<TaskId, usize> = BTreeMap::new();
    for operation in written.values() {
        match operation.action {
            Action::Create(id) => {
                turned.insert(id, 0);
            }
            Action::Flip(id) => {
                if let Some(flips) = turned.get_mut(&id) {
                    *flips += 1;
                }
            }
            _ => {}
        }
    }
    for (id, flips) in turned {
        let Some(task) = ending.tasks.get(&id).filter(|_| !unsure.contains(&id)) else { continue };
        let foreign = ending.turned.get(&id).copied().unwrap_or(0);
        if task.content.completed != ((flips + foreign) % 2 == 1) {
            return Err(format!(
                "{id:?} was turned over {flips} times by us, {foreign} times by others: {task:?}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tasklane::domain::{NewTask, Seq, Timestamp, Title};

    fn done(action: Action, span: (u64, u64), seq: i64) -> Operation {
        Operation { action, key: None, invoked: span.0, returned: span.1, outcome: Outcome::Done(seq) }
    }

    /// Two tasks, one flipped, one deleted, and a read.
    fn truth() -> (Vec<Operation>, Ending, TaskId, TaskId) {
        let (one, two) = (TaskId::generate(), TaskId::generate());
        let mut task = NewTask::titled(one, Title::parse("one").unwrap()).make(Timestamp::now(), Seq::new(3));
        task.content.completed = true;
        let history = vec![
            done(Action::Create(one), (1, 2), 1),
            done(Action::Create(two), (3, 6), 2),
            done(Action::Flip(one), (4, 7), 3),
            done(Action::Delete(two), (8, 9), 4),
            done(Action::Read, (10, 11), 4),
        ];
        let ending =
            Ending { seq: 4, tasks: [(one, task)].into(), deleted: [two].into(), ..Ending::default() };
        (history, ending, one, two)
    }

    fn complaint(change: impl FnOnce(&mut Vec<Operation>, &mut Ending, TaskId, TaskId)) -> String {
        let (mut history, mut ending, one, two) = truth();
        change(&mut history, &mut ending, one, two);
        check(&history, &ending).expect_err("a violation of this kind must be found")
    }

    #[test]
    fn the_checker_believes_the_truth() {
        let (history, ending, ..) = truth();
        assert_eq!(check(&history, &ending), Ok(()));
    }

    #[test]
    fn the_checker_finds_a_violation_of_each_kind() {
        assert!(complaint(|history, _, _, _| history[2].outcome = Outcome::Done(2)).contains("two writes"));
        assert!(complaint(|_, ending, _, _| ending.seq = 5).contains("belong to nobody"));
        assert!(complaint(|history, _, _, _| history[3].outcome = Outcome::Done(9)).contains("can have seq"));
        assert!(
            complaint(|history, _, _, _| history[4].outcome = Outcome::Done(3)).contains("was known before")
        );
        assert!(
            complaint(|history, _, _, _| (history[3].outcome, history[2].outcome) =
                (Outcome::Done(3), Outcome::Done(4)))
            .contains("was known before")
        );
        assert!(complaint(|_, ending, one, _| drop(ending.tasks.remove(&one))).contains("is lost"));
        assert!(
            complaint(|_, ending, one, two| {
                let task = ending.tasks[&one].clone();
                ending.tasks.insert(two, task);
            })
            .contains("still there")
        );
        assert!(
            complaint(|_, ending, one, _| ending.tasks.get_mut(&one).unwrap().content.completed = false)
                .contains("turned over")
        );
        assert!(
            complaint(|history, ending, _, _| {
                let lost = TaskId::generate();
                history.push(Operation {
                    outcome: Outcome::NotApplied,
                    ..done(Action::Create(lost), (12, 13), 0)
                });
                let task = ending.tasks.values().next().unwrap().clone();
                ending.tasks.insert(lost, task);
            })
            .contains("applied all the same")
        );
        assert!(
            complaint(|history, ending, one, _| {
                history[2].key = Some("k".into());
                let again = Operation { key: Some("k".into()), ..done(Action::Flip(one), (12, 13), 5) };
                history.push(again);
                ending.seq = 5;
            })
            .contains("was carried out at")
        );
    }
}
