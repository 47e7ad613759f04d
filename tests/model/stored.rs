//! What a store has of one user, by the contract of `tasklane::store::Store`, and what a batch does to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tasklane::domain::{Change, Seq, Task, TaskId};
use tasklane::store::{Batch, KeyRecord, Outcome, Recalled, StoredUser};
use uuid::Uuid;

#[derive(Clone, Default)]
pub struct Stored {
    pub seq: i64,
    pub horizon: i64,
    pub email: Option<String>,
    /// The batch that was applied last; `None`: the user does not exist.
    pub last: Option<Uuid>,
    pub tasks: BTreeMap<TaskId, Task>,
    /// The seq of each task's last deletion.
    pub gone: BTreeMap<TaskId, i64>,
    pub keys: BTreeMap<Arc<str>, KeyRecord>,
}

impl Stored {
    /// Applies a batch once, if it passes the fence.
    pub fn commit(&mut self, batch: &Batch) -> Outcome {
        if self.last == Some(batch.id) {
            return Outcome::Committed;
        }
        let done = !batch.erase && batch.keys.iter().any(|record| self.keys.contains_key(&record.key));
        if self.seq != batch.expected.get() || done {
            return Outcome::Conflict;
        }
        if batch.erase {
            *self = Self { horizon: batch.reached.get(), ..Self::default() };
        }
        self.seq = batch.reached.get();
        self.last = Some(batch.id);
        if let Some(email) = &batch.email {
            self.email = Some(email.to_string());
        }
        self.keys.extend(batch.keys.iter().map(|record| (Arc::clone(&record.key), record.clone())));
        for change in &batch.changes {
            match change {
                Change::Put(task) => {
                    self.tasks.insert(task.id, Task::clone(task));
                }
                Change::Delete { id, seq, .. } => {
                    self.tasks.remove(id);
                    self.gone.insert(*id, seq.get());
                }
            }
        }
        Outcome::Committed
    }

    /// What a load returns, in order. A task that was created again keeps its tombstone, which a store need
    /// not return.
    pub fn load(&self, subject: &str) -> Option<StoredUser> {
        self.last?;
        let mut tombstones: Vec<_> = self.gone.iter().map(|(id, seq)| (Seq::new(*seq), *id)).collect();
        tombstones.retain(|(seq, _)| seq.get() > self.horizon);
        tombstones.sort_unstable();
        Some(StoredUser {
            subject: subject.to_owned(),
            email: self.email.clone(),
            seq: Seq::new(self.seq),
            horizon: Seq::new(self.horizon),
            key_bytes: self.keys.values().map(KeyRecord::bytes).sum(),
            tasks: self.tasks.values().cloned().collect(),
            tombstones,
        })
    }

    /// Moves the horizon and forgets the deletions up to it. Returns how many.
    pub fn forget(&mut self, before: Seq) -> u64 {
        let before = before.get().min(self.seq);
        self.horizon = self.horizon.max(before);
        self.gone.extract_if(.., |_, seq| *seq <= before).count() as u64
    }

    /// What is known of a key.
    pub fn recall(&self, key: &str) -> Recalled {
        Recalled { seq: Seq::new(self.seq), record: self.keys.get(key).cloned() }
    }
}
