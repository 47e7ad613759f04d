//! Planning: queued writes run, in order, on a working copy of the user's state. Pure: it neither waits nor sends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::command::{Effect, Work, Write, WriteReply};
use super::idempotency::{record, replay};
use crate::domain::{
    Change, Command, Decision, DecisionContext, Identity, Operation, Seq, Task, TaskId, Timestamp,
};
use crate::error::Error;
use crate::lane::read::snapshot::Snapshot;
use crate::lane::read::task_entry::TaskEntry;
use crate::store::{Batch, KeyRecord};

/// A working copy of a user's state, and how it differs from the committed one.
pub(crate) struct Plan {
    who: Identity,
    max_tasks: usize,
    now: Timestamp,
    base: Arc<Snapshot>,
    next: Snapshot,
    changes: BTreeMap<TaskId, Change<Arc<Task>>>,
    /// The replies to writes of this batch that have a key, by the key.
    keys: HashMap<Arc<str>, KeyRecord>,
    email: Option<Arc<str>>,
    erase: bool,
}

impl Plan {
    pub(crate) fn new(who: Identity, base: Arc<Snapshot>, max_tasks: usize, now: Timestamp) -> Self {
        let next = (*base).clone();
        let (changes, keys) = (BTreeMap::new(), HashMap::new());
        Self { who, max_tasks, now, base, next, changes, keys, email: None, erase: false }
    }

    /// Whether there is anything to commit: a change, or the reply to a write that changed nothing.
    pub(crate) fn changes_anything(&self) -> bool {
        self.next.seq() != self.base.seq() || !self.keys.is_empty()
    }

    /// The seq of its newest change.
    pub(crate) const fn seq(&self) -> Seq {
        self.next.seq()
    }

    /// Runs one write, wholly or not at all. `email` is the address in the writer's token.
    pub(crate) fn run(&mut self, write: &Write, email: Option<&Arc<str>>) -> Result<WriteReply, Error> {
        if let Some(key) = &write.key
            && let Some(record) = self.keys.get(&key.key)
        {
            return replay(record, key, self.next.seq());
        }
        let before = self.next.seq();
        let effects = match &write.work {
            Work::Erase => {
                self.erase();
                Vec::new()
            }
            Work::Operations(operations) => self.operate(operations)?,
        };
        let answer = WriteReply { seq: self.next.seq(), effects, replayed: false };
        // Also for a create that found its task: run again after the task was deleted, it would bring it back.
        if let Some(key) = &write.key {
            self.keys.insert(Arc::clone(&key.key), record(key, &answer, self.now));
        }
        if answer.seq != before && !self.erase && email.is_some() && email != self.next.email() {
            self.email = email.cloned();
            self.next.set_email(email.cloned());
        }
        Ok(answer)
    }

    /// All operations, or none of them.
    fn operate(&mut self, operations: &[Operation]) -> Result<Vec<Effect>, Error> {
        let mut changes = Vec::with_capacity(operations.len());
        let mut effects = Vec::with_capacity(operations.len());
        // A copy costs a few pointers; a single operation needs none, since it decides before it changes anything.
        let undo = (operations.len() > 1).then(|| self.next.clone());
        for (index, operation) in operations.iter().enumerate() {
            match self.operate_one(operation, &mut changes) {
                Ok(effect) => effects.push(effect),
                Err(error) => {
                    if let Some(undo) = undo {
                        self.next = undo;
                    }
                    return Err(match error {
                        // The reply must not show what the operations before it would have done.
                        Error::Refused { refusal, .. } => {
                            let current = self.next.get(operation.task()).map(|entry| entry.json.clone());
                            Error::Refused { refusal, seq: self.next.seq(), current, operation: index }
                        }
                        other => other,
                    });
                }
            }
        }
        self.changes.extend(changes);
        Ok(effects)
    }

    fn operate_one(
        &mut self,
        operation: &Operation,
        changes: &mut Vec<(TaskId, Change<Arc<Task>>)>,
    ) -> Result<Effect, Error> {
        let (id, seq) = (operation.task(), self.next.seq().next());
        let existing = self.next.get(id).cloned();
        let at = DecisionContext { count: self.next.len(), limit: self.max_tasks, now: self.now, next: seq };
        let decision = operation.decide(existing.as_ref().map(|entry| &*entry.task), at);
        let refused = |refusal| Error::Refused { refusal, seq: self.next.seq(), current: None, operation: 0 };
        let decision = decision.map_err(refused)?;
        match decision {
            Decision::Create(task) | Decision::Replace(task) => {
                let entry = Arc::new(TaskEntry::new(task, self.who.subject()));
                let shown = entry.shown();
                changes.push((id, Change::Put(Arc::clone(&entry.task))));
                self.next.put(entry);
                self.next.advance(seq);
                Ok(match operation.command {
                    Command::ImportTask(_) => Effect::Imported,
                    Command::CreateTask(_) => Effect::Created(shown),
                    _ => Effect::Updated(shown),
                })
            }
            Decision::Delete => {
                changes.push((id, Change::Delete { id, seq, at: self.now }));
                self.next.delete(id, seq);
                self.next.advance(seq);
                Ok(Effect::Deleted)
            }
            Decision::Exists => existing
                .map(|entry| Effect::Exists(entry.shown()))
                .ok_or_else(|| Error::Internal("a task exists and does not".into())),
        }
    }

    fn erase(&mut self) {
        self.next.erase(self.next.seq().next());
        self.changes.clear();
        self.keys.clear();
        self.email = None;
        self.erase = true;
    }

    /// What goes to the store, and the state once it is there.
    pub(crate) fn finish(self) -> (Batch, Snapshot) {
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
        (batch, self.next)
    }
}
