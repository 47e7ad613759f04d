//! Planning: queued writes run, in order, on a working copy of the user's state. Pure: it neither waits nor sends.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::command::{Effect, Work, Write, WriteReply};
use super::idempotency::{record, replay};
use crate::config::LaneConfig;
use crate::domain::{
    Change, Command, Cost, Decision, DecisionContext, Identity, Operation, Refusal, Revision, Seq, Task,
    TaskId, Timestamp,
};
use crate::error::Error;
use crate::lane::read::snapshot::Snapshot;
use crate::lane::read::task_entry::TaskEntry;
use crate::store::{Batch, KeyRecord};

/// Keys may take this part of a user's bytes, so that they leave room for tasks.
const KEYS_PART: usize = 2;

/// A working copy of a user's state, and how it differs from the committed one.
pub(crate) struct Plan {
    who: Identity,
    max_tasks: usize,
    max_bytes: usize,
    now: Timestamp,
    /// What it has made so far.
    cost: Cost,
    base: Arc<Snapshot>,
    next: Snapshot,
    changes: BTreeMap<TaskId, Change<Arc<Task>>>,
    /// The replies to writes of this batch that have a key, by the key.
    keys: HashMap<Arc<str>, KeyRecord>,
    email: Option<Arc<str>>,
    erase: bool,
}

/// What the operations of one write have made so far; nothing of it is in the plan yet.
struct Draft {
    seq: Seq,
    count: usize,
    /// Bytes by which the user's tasks grow in the store, or shrink.
    growth: isize,
    changes: BTreeMap<TaskId, Change<Arc<Task>>>,
}

/// What an operation did.
enum EffectKind {
    Created,
    Imported,
    Exists,
    Updated,
    Deleted,
}

impl Plan {
    pub(crate) fn new(who: Identity, base: Arc<Snapshot>, config: &LaneConfig, now: Timestamp) -> Self {
        let next = (*base).clone();
        let (max_tasks, max_bytes) = (config.max_tasks_per_user, config.max_bytes_per_user);
        let (cost, changes, keys) = (Cost::default(), BTreeMap::new(), HashMap::new());
        Self { who, max_tasks, max_bytes, now, cost, base, next, changes, keys, email: None, erase: false }
    }

    /// What it has made so far.
    pub(crate) const fn cost(&self) -> Cost {
        self.cost
    }

    /// Whether there is anything to commit: a change, or the reply to a write that changed nothing.
    pub(crate) fn changes_anything(&self) -> bool {
        self.next.seq() != self.base.seq() || !self.keys.is_empty()
    }

    /// Where its newest change leads.
    pub(crate) const fn revision(&self) -> Revision {
        self.next.revision()
    }

    /// Runs one write, wholly or not at all. `email` is the address in the writer's token.
    pub(crate) fn run(&mut self, write: &mut Write, email: Option<&Arc<str>>) -> Result<WriteReply, Error> {
        if let Some(key) = &write.key
            && let Some(record) = self.keys.get(&key.key)
        {
            return replay(record, key, self.next.revision());
        }
        let before = self.next.revision();
        self.next.let_keys_age(self.now);
        let keys_left = self.max_bytes / KEYS_PART;
        if write.key.is_some() && self.next.key_bytes() > keys_left {
            let refusal = Refusal::BytesExceeded { limit: self.max_bytes };
            return Err(Error::Refused { refusal, at: before, current: None, operation: 0 });
        }
        let effects = match &mut write.work {
            Work::Erase => {
                self.erase();
                Vec::new()
            }
            Work::Operations(operations) => self.operate(operations)?,
        };
        let Revision { seq, lineage } = self.next.revision();
        let answer = WriteReply { seq, lineage, effects, replayed: false };
        // Also for a create that found its task: run again after the task was deleted, it would bring it back.
        if let Some(key) = &write.key {
            let record = record(key, &answer, self.now);
            self.next.add_key_bytes(record.bytes());
            self.cost = self.cost + Cost::new(1, record.bytes());
            self.keys.insert(Arc::clone(&key.key), record);
        }
        if seq != before.seq && !self.erase && email.is_some() && email != self.next.email() {
            self.email = email.cloned();
            self.next.set_email(email.cloned());
        }
        Ok(answer)
    }

    /// All operations, or none of them. A task that several of them change becomes an entry once, in its last state:
    /// however often it changes, it costs its own bytes once.
    fn operate(&mut self, operations: &mut [Operation]) -> Result<Vec<Effect>, Error> {
        let (seq, count) = (self.next.seq(), self.next.len());
        let mut draft = Draft { seq, count, growth: 0, changes: BTreeMap::new() };
        let mut kinds = Vec::with_capacity(operations.len());
        for (index, operation) in operations.iter_mut().enumerate() {
            let kind = self.operate_one(operation, &mut draft).map_err(|refusal| {
                // The reply must not show what the operations before it would have done.
                let current = self.next.get(operation.task()).map(|entry| entry.json.clone());
                Error::Refused { refusal, at: self.next.revision(), current, operation: index }
            })?;
            kinds.push(kind);
        }
        if draft.growth > 0 && self.next.stored_bytes() + draft.growth.unsigned_abs() > self.max_bytes {
            let refusal = Refusal::BytesExceeded { limit: self.max_bytes };
            let at = self.next.revision();
            return Err(Error::Refused { refusal, at, current: None, operation: 0 });
        }
        // Each operation costs its time, even if another one undoes it.
        self.cost = self.cost + Cost::new(operations.len(), 0);
        let mut last = None;
        for (id, change) in &draft.changes {
            match change {
                Change::Put(task) => {
                    let entry = Arc::new(TaskEntry::of(task, self.who.subject()));
                    self.cost = self.cost + Cost::new(0, self.next.put(Arc::clone(&entry)));
                    last = Some(entry);
                }
                Change::Delete { seq, .. } => self.next.delete(*id, *seq),
            }
        }
        if draft.seq != seq {
            self.next.advance(draft.seq);
        }
        if self.changes.is_empty() {
            self.changes = draft.changes;
        } else {
            self.changes.extend(draft.changes);
        }
        Ok(self.effects(operations, &kinds, last.as_ref()))
    }

    /// Decides one operation on what the ones before it have made.
    fn operate_one(&self, operation: &mut Operation, draft: &mut Draft) -> Result<EffectKind, Refusal> {
        let id = operation.task();
        let stored = || self.next.get(id).map(|entry| &entry.task);
        let existing = match draft.changes.get(&id) {
            Some(Change::Put(task)) => Some(task),
            Some(Change::Delete { .. }) => None,
            None => stored(),
        };
        let bytes = |task: &Arc<Task>| task.stored_bytes().cast_signed();
        let before = existing.map_or(0, bytes);
        let (seq, next, lineage) = (draft.seq, draft.seq.next(), self.next.revision().lineage);
        let at = DecisionContext { count: draft.count, limit: self.max_tasks, now: self.now, seq, lineage };
        let (change, kind) = match operation.decide(existing.map(|task| &**task), at)? {
            Decision::Create(task) => {
                draft.count += 1;
                let imported = matches!(operation.command, Command::ImportTask(_));
                let kind = if imported { EffectKind::Imported } else { EffectKind::Created };
                (Change::Put(task), kind)
            }
            Decision::Replace(task) => (Change::Put(task), EffectKind::Updated),
            Decision::Delete => {
                draft.count -= 1;
                (Change::Delete { id, seq: next, at: self.now }, EffectKind::Deleted)
            }
            Decision::Exists => return Ok(EffectKind::Exists),
        };
        draft.growth += if let Change::Put(task) = &change { bytes(task) } else { 0 } - before;
        draft.seq = next;
        draft.changes.insert(id, change);
        Ok(kind)
    }

    /// What the operations did, now that it is done: each task is shown by the last one that concerns it.
    /// `made` is one of the entries, the only one of a usual write.
    fn effects(
        &self,
        operations: &[Operation],
        kinds: &[EffectKind],
        made: Option<&Arc<TaskEntry>>,
    ) -> Vec<Effect> {
        let mut shown = HashSet::new();
        let several = operations.len() > 1;
        let effect = |(operation, kind): (&Operation, &EffectKind)| {
            let id = operation.task();
            let last = !several || shown.insert(id);
            let entry = || made.filter(|entry| entry.task.id == id).or_else(|| self.next.get(id));
            let task = || entry().filter(|_| last).map(|entry| entry.shown());
            match kind {
                EffectKind::Created => Effect::Created(task()),
                EffectKind::Imported => Effect::Imported,
                EffectKind::Exists => Effect::Exists(task()),
                EffectKind::Updated => Effect::Updated(task()),
                EffectKind::Deleted => Effect::Deleted,
            }
        };
        let mut effects: Vec<_> = operations.iter().zip(kinds).rev().map(effect).collect();
        effects.reverse();
        effects
    }

    fn erase(&mut self) {
        self.next.erase(self.next.seq().next());
        self.changes.clear();
        self.keys.clear();
        self.email = None;
        self.erase = true;
    }

    /// What goes to the store, and the state once it is there; also the seq up to which the store has deletions to
    /// forget, if any: that is no part of the commit, since the store may remember them longer.
    pub(crate) fn finish(mut self) -> (Batch, Snapshot, Option<Seq>) {
        let horizon = self.next.forget_deletions();
        let batch = Batch {
            id: Uuid::now_v7(),
            user: self.who.user(),
            subject: Arc::clone(self.who.subject()),
            email: self.email,
            epoch: self.base.epoch(),
            expected: self.base.seq(),
            reached: self.next.seq(),
            erase: self.erase,
            changes: self.changes.into_values().collect(),
            keys: self.keys.into_values().collect(),
        };
        (batch, self.next, horizon)
    }
}
