//! Checks whether the answers to one user's clients can be true: compares them, in the order of their seqs,
//! with a model of the user's tasks. Where a write's outcome is unknown, the model keeps every possible state
//! until a read shows which it is.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::follower::Followed;
use crate::history::{Ending, Operation, Outcome, check_order, check_real_time, check_seqs, floors};
use crate::model::{Refusal, Task};
use crate::order::{check_replays, history};
use crate::parts::take_apart;
use crate::possible::Possible;
use crate::record::{Record, What};

/// What a freshly started server has of one user in the end.
pub struct Final {
    /// `X-Tasklane-Seq` of the list.
    pub seq: i64,
    /// The list's tasks.
    pub tasks: Vec<Value>,
    /// The seq from which the feed is complete: 0, or that of the commit with the last erasure.
    pub horizon: i64,
    /// The change feed from there.
    pub changes: Vec<Value>,
    /// Who followed the event stream throughout.
    pub followed: Option<Followed>,
}

/// With the title after it, this stands in for the id of a task nobody ever saw.
const UNSEEN: &str = "unseen: ";

/// A record with what earlier checks found out about it.
struct Entry<'a> {
    record: &'a Record,
    outcome: Outcome,
    /// The newest seq that any client knew when it was first sent.
    floor: i64,
    body: Value,
}

/// Checks one user's records, in the order of sending: whichever server was asked, it had to know everything
/// that any server had answered before.
///
/// # Errors
/// What cannot be true.
pub fn check(records: &[Record], end: &Final) -> Result<(), String> {
    judge(records, end, |_, history, ending| check_order(history, ending).map(drop))
}

/// The same for servers in `MODE=sole`: a read or refusal may be based on an older state than another server
/// has shown, but not on an older one than the same server has. Writes must follow everything that any server
/// has answered.
///
/// # Errors
/// What cannot be true.
pub fn check_of_servers_alone(records: &[Record], end: &Final) -> Result<(), String> {
    judge(records, end, |records, history, ending| {
        check_seqs(history, ending)?;
        for server in records.iter().map(|record| record.server).collect::<HashSet<_>>() {
            let asked = records.iter().zip(history).filter(|(record, _)| record.server == server);
            check_real_time(&asked.map(|(_, operation)| operation.clone()).collect::<Vec<_>>())?;
        }
        for ((record, operation), floor) in records.iter().zip(history).zip(floors(history)) {
            let writes = operation.write.is_some() && !record.reply.replayed;
            if writes && matches!(operation.outcome, Outcome::Done(seq) if seq <= floor) {
                return Err(format!("seq {floor} was known before this write was asked for: {record:?}"));
            }
        }
        Ok(())
    })
}

fn judge(
    records: &[Record],
    end: &Final,
    order: impl Fn(&[Record], &[Operation], &Ending) -> Result<(), String>,
) -> Result<(), String> {
    check_replays(records)?;
    let records = &*take_apart(records)?;
    let outcomes = records.iter().map(Record::outcome).collect::<Result<Vec<_>, _>>()?;
    let history = history(records, &outcomes);
    order(records, &history, &Ending { seq: end.seq, ..Ending::default() })?;
    let floors = floors(&history);
    let entries = records.iter().zip(&history).zip(floors).map(|((record, operation), floor)| Entry {
        record,
        outcome: operation.outcome,
        floor,
        body: record.reply.json(),
    });
    let entries: Vec<_> = entries.collect();
    Replay::new(&entries, end)?.run()
}

/// Replays the seqs from 0 to the last.
struct Replay<'a> {
    end: &'a Final,
    /// Acknowledged writes by seq.
    written: BTreeMap<i64, &'a Entry<'a>>,
    /// Reads and refusals by their seq.
    seen: BTreeMap<i64, Vec<&'a Entry<'a>>>,
    /// Writes with an unknown outcome, with their task.
    unknown: Vec<(&'a Entry<'a>, String)>,
    /// Every version of a task that any client saw.
    shown: BTreeMap<i64, Value>,
    /// Deletions in the feed.
    deletions: BTreeMap<i64, String>,
    tasks: Possible,
}

impl<'a> Replay<'a> {
    fn new(entries: &'a [Entry<'a>], end: &'a Final) -> Result<Self, String> {
        let mut replay = Self {
            end,
            written: BTreeMap::new(),
            seen: BTreeMap::new(),
            unknown: Vec::new(),
            shown: BTreeMap::new(),
            deletions: BTreeMap::new(),
            tasks: Possible::default(),
        };
        for entry in entries {
            for task in tasks_in(&entry.body) {
                replay.show(task).map_err(|error| format!("{error}, in {:?}", entry.record))?;
            }
            let reads = entry.record.what.reads();
            match entry.outcome {
                Outcome::Done(seq) | Outcome::Refused(seq) if seq > end.seq => {
                    return Err(format!(
                        "seq {seq} was shown, but the last is {}: {:?}",
                        end.seq, entry.record
                    ));
                }
                Outcome::Done(seq) if !reads => drop(replay.written.entry(seq).or_insert(entry)),
                Outcome::Done(seq) | Outcome::Refused(seq) => replay.seen.entry(seq).or_default().push(entry),
                Outcome::Unknown | Outcome::NotApplied => {}
            }
        }
        for change in &end.changes {
            let seq = change["seq"].as_i64().ok_or_else(|| format!("a change without a seq: {change}"))?;
            if change["deleted"] == true {
                let id = change["id"].as_str().unwrap_or_default().to_owned();
                replay.deletions.insert(seq, id);
            } else {
                replay.show(&change["task"]).map_err(|error| format!("{error}, in the change feed"))?;
            }
        }
        if let Some(followed) = &end.followed {
            replay.follow(followed)?;
        }
        for task in &end.tasks {
            replay.show(task).map_err(|error| format!("{error}, in the last list"))?;
        }
        let titles: HashMap<&str, &str> = (replay.shown.values())
            .filter_map(|task| Some((task["title"].as_str()?, task["id"].as_str()?)))
            .collect();
        for entry in entries.iter().filter(|entry| entry.outcome == Outcome::Unknown) {
            let id = match &entry.record.what {
                What::Create { id: None, title } => match titles.get(title.as_str()) {
                    Some(id) => Some((*id).to_owned()),
                    // If nobody ever saw it, it may have come before an erasure; otherwise it does not
                    // matter.
                    None => (entry.floor < end.horizon).then(|| format!("{UNSEEN}{title}")),
                },
                what if what.reads() => None,
                // About all tasks.
                What::Erase => Some(String::new()),
                what => what.task().map(str::to_owned),
            };
            replay.unknown.extend(id.map(|id| (entry, id)));
        }
        Ok(replay)
    }

    /// A stream must agree with what everybody sees, and end at the list.
    fn follow(&mut self, followed: &Followed) -> Result<(), String> {
        if let Some(lie) = &followed.lie {
            return Err(lie.clone());
        }
        if followed.resyncs > 0 && self.end.horizon == 0 {
            return Err("a follower was had to reload the list, though nothing was erased".to_owned());
        }
        for change in &followed.changes {
            if change["deleted"] != true {
                self.show(&change["task"]).map_err(|error| format!("{error}, in a stream"))?;
                continue;
            }
            let (seq, id) =
                (change["seq"].as_i64().unwrap_or_default(), change["id"].as_str().unwrap_or_default());
            let by = self.written.get(&seq).map(|entry| &entry.record.what);
            if by.is_some_and(|what| !matches!(what, What::Delete { .. }) || what.task() != Some(id)) {
                return Err(format!("a stream tells of a deletion: {change}, but there was {by:?}"));
            }
            self.deletions.insert(seq, id.to_owned());
        }
        let listed = self.end.tasks.iter().map(|task| (task["id"].as_str().unwrap_or_default(), task));
        let followed: HashMap<&str, &Value> =
            followed.tasks.iter().map(|(id, task)| (id.as_str(), task)).collect();
        if followed != listed.clone().collect() {
            let listed: HashMap<&str, &Value> = listed.collect();
            return Err(format!("who followed has {followed:?}, the list is {listed:?}"));
        }
        Ok(())
    }

    /// Notes one version of a task, which must be the same for everybody.
    fn show(&mut self, task: &Value) -> Result<(), String> {
        let version = task["version"].as_i64().ok_or_else(|| format!("a task without a version: {task}"))?;
        match self.shown.get(&version) {
            Some(other) if other != task => Err(format!("version {version} is {other} and {task}")),
            _ => {
                self.shown.insert(version, task.clone());
                Ok(())
            }
        }
    }

    fn run(mut self) -> Result<(), String> {
        for seq in 0..=self.end.seq {
            match self.written.get(&seq).copied() {
                Some(entry) => self.write(entry, seq)?,
                None if seq > 0 => self.hole(seq)?,
                None => {}
            }
            for entry in self.seen.remove(&seq).unwrap_or_default() {
                self.look(entry)?;
            }
        }
        self.list(&self.end.tasks, "the last list")?;
        self.feed()
    }

    /// An acknowledged change.
    fn write(&mut self, entry: &Entry<'_>, seq: i64) -> Result<(), String> {
        let (record, who) = (entry.record, format!("{:?}", entry.record));
        let write = record.what.write().ok_or_else(|| format!("no write: {who}"))?;
        let id = record.what.task().or(entry.body["id"].as_str());
        if id.is_none() && record.what != What::Erase {
            return Err(format!("an answer without an id: {who}"));
        }
        let answered = Task::of(&entry.body);
        // The answer to an import has no task.
        let known = record.reply.status != 201 || answered.is_some();
        self.tasks.write((id.unwrap_or_default(), &write), seq, known.then_some(answered), &who)
    }

    /// A seq that no client got as an answer: it belongs to a write with an unknown outcome.
    fn hole(&mut self, seq: i64) -> Result<(), String> {
        let shows = match (self.shown.get(&seq), self.deletions.get(&seq)) {
            (Some(task), _) => Some((task["id"].as_str().unwrap_or_default().to_owned(), Task::of(task))),
            (None, Some(id)) => Some((id.clone(), None)),
            (None, None) => None,
        };
        let before = self.unknown.iter().filter(|(entry, id)| {
            let is_another = shows.as_ref().is_some_and(|(shows, _)| shows != id);
            entry.floor < seq && !is_another && (seq <= self.end.horizon || !id.starts_with(UNSEEN))
        });
        let writes: Vec<_> =
            before.filter_map(|(entry, id)| entry.record.what.write().map(|write| (&**id, write))).collect();
        self.tasks.hole(seq, writes.iter().map(|(id, write)| (*id, write)), shows.clone())
    }

    /// A read or a refusal.
    fn look(&mut self, entry: &Entry<'_>) -> Result<(), String> {
        let (record, who) = (entry.record, format!("{:?}", entry.record));
        if record.what == What::List {
            let tasks = entry.body["tasks"].as_array().ok_or_else(|| format!("no list: {who}"))?;
            return self.list(tasks, &who);
        }
        let Some(id) = record.what.task().or(entry.body["id"].as_str()) else {
            return Err(format!("which task? {who}"));
        };
        let (refusal, shown) = match record.reply.status {
            200 => (Refusal::Same, Task::of(&entry.body)),
            404 => (Refusal::Missing, None),
            409 => (Refusal::Taken, None),
            412 => (Refusal::Stale, Task::of(&entry.body["error"]["details"])),
            _ => return Err(format!("an unexpected kind: {who}")),
        };
        if let Some(write) = record.what.write() {
            self.tasks.pin(id, |state| write.apply(state, 0) == Err(refusal), &who)?;
        }
        let tells = shown.is_some() || matches!(refusal, Refusal::Same | Refusal::Missing);
        self.tasks.pin(id, |state| !tells || state == shown.as_ref(), &who)
    }

    /// A list has all of the user's tasks.
    fn list(&mut self, tasks: &[Value], who: &str) -> Result<(), String> {
        let mut listed = BTreeMap::new();
        for task in tasks {
            let (id, state) = (task["id"].as_str(), Task::of(task));
            let (Some(id), Some(state)) = (id, state) else { return Err(format!("no task: {task}")) };
            if listed.insert(id.to_owned(), state).is_some() {
                return Err(format!("task {id} is listed twice: {who}"));
            }
        }
        self.tasks.list(&listed, who)
    }

    /// Applying the feed to the list at its beginning must give the final list, and no seq may occur twice.
    fn feed(&self) -> Result<(), String> {
        let listed = || self.end.tasks.iter().map(|task| (task["id"].as_str().unwrap_or_default(), task));
        let mut followed: HashMap<&str, &Value> =
            listed().filter(|(_, task)| task["version"].as_i64() <= Some(self.end.horizon)).collect();
        let horizon = self.end.horizon;
        let mut last = horizon;
        // Writes that were committed together with an erasure come before the feed's beginning.
        let erasure = |entry: &&Entry<'_>| entry.record.what == What::Erase;
        let known = self.written.values().copied().rfind(erasure);
        let unknown = self.unknown.iter().any(|(entry, _)| erasure(entry));
        if known.is_some_and(|entry| entry.record.reply.seq > Some(horizon))
            || (horizon > 0 && known.is_none() && !unknown)
        {
            return Err(format!("the feed begins at {horizon}, but {:?}", known.map(|entry| entry.record)));
        }
        for change in &self.end.changes {
            let seq = change["seq"].as_i64().unwrap_or_default();
            if seq <= last || seq > self.end.seq {
                return Err(format!("the feed goes from {last} to {seq}: {change}"));
            }
            last = seq;
            if change["deleted"] == true {
                followed.remove(change["id"].as_str().unwrap_or_default());
            } else if change["task"]["version"] == seq {
                followed.insert(change["task"]["id"].as_str().unwrap_or_default(), &change["task"]);
            } else {
                return Err(format!("a change under a seq that is not its own: {change}"));
            }
        }
        let listed: HashMap<&str, &Value> = listed().collect();
        if followed != listed {
            return Err(format!("the feed comes to {followed:?}, the list is {listed:?}"));
        }
        for (seq, entry) in self.written.range(horizon + 1..) {
            let What::Delete { id, .. } = &entry.record.what else { continue };
            let tells = |change: &Value| change["deleted"] == true && change["id"] == **id;
            let later =
                self.end.changes.iter().any(|change| change["seq"].as_i64() >= Some(*seq) && tells(change));
            if !later {
                return Err(format!("the feed does not tell of the deletion {:?}", entry.record));
            }
        }
        Ok(())
    }
}

/// The tasks anywhere in a body.
fn tasks_in(body: &Value) -> Vec<&Value> {
    if let Some(tasks) = body["tasks"].as_array() {
        return tasks.iter().collect();
    }
    [body, &body["error"]["details"]].into_iter().filter(|task| task["version"].is_i64()).collect()
}
