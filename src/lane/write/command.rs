//! What a write asks of a lane, and what the lane replies.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::{Command, Cost, Lineage, Operation, Revision, Seq};
use crate::lane::limits::MANY_TASKS;
use crate::lane::read::snapshot::Snapshot;
use crate::lane::read::task_entry::{ShownTask, TaskEntry};
use crate::work::WorkPermit;

/// A write: what to do, wholly or not at all.
#[derive(Clone, Debug)]
pub struct Write {
    /// What to do.
    pub work: Work,
    /// Tells the same write when it is sent again.
    pub key: Option<IdempotencyKey>,
    /// What it takes of the budget until it is answered.
    pub permit: Option<Arc<WorkPermit>>,
}

/// What a write does.
#[derive(Clone, Debug)]
pub enum Work {
    /// These operations, in order; each takes a seq of its own.
    Operations(Vec<Operation>),
    /// Erase the user's tasks, tombstones, keys and e-mail address. It is one change with one seq.
    Erase,
}

/// A client's name for one write, and what the write was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The name.
    pub key: Arc<str>,
    /// A digest of the request: the same key for another request is a client's mistake.
    pub fingerprint: [u8; 32],
    /// Bytes of the request's body: what its record may keep depends on what was sent.
    pub sent: usize,
}

/// An accepted write, durable in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteReply {
    /// The seq of its last change; if it changed nothing, the seq at which the reply is true.
    pub seq: Seq,
    /// What the seq counts in.
    pub lineage: Lineage,
    /// What each operation did, in order.
    pub effects: Vec<Effect>,
    /// Whether the write was carried out earlier, and this is the reply from then.
    pub replayed: bool,
}

/// What an operation did.
///
/// A write shows each task once, however many of its operations changed it: in its last state, with the last of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The task is new.
    Created(Option<ShownTask>),
    /// The exported task was imported. An import is large, so its reply shows no tasks.
    Imported,
    /// The same create was carried out before; this is the stored task.
    Exists(Option<ShownTask>),
    /// The task changed.
    Updated(Option<ShownTask>),
    /// The task was deleted.
    Deleted,
}

impl WriteReply {
    /// Its seq, with what it counts in.
    #[must_use]
    pub const fn at(&self) -> Revision {
        Revision { seq: self.seq, lineage: self.lineage }
    }
}

impl Effect {
    /// The task it shows, if it shows one.
    #[must_use]
    pub const fn task(&self) -> Option<&ShownTask> {
        match self {
            Self::Created(task) | Self::Exists(task) | Self::Updated(task) => task.as_ref(),
            Self::Imported | Self::Deleted => None,
        }
    }
}

impl Work {
    /// What it takes beside its body's bytes: something for each operation, and the tasks that it changes, each once.
    #[must_use]
    pub fn cost(&self, snapshot: &Snapshot) -> Cost {
        let Self::Operations(operations) = self else { return Cost::new(1, 0) };
        let ids: BTreeSet<_> = operations.iter().map(Operation::task).collect();
        let changed: usize =
            ids.into_iter().filter_map(|id| snapshot.get(id)).map(|entry| entry.weight()).sum();
        Cost::new(operations.len(), changed + operations.len() * size_of::<Operation>())
    }
}

impl Write {
    /// Bytes that the tasks which it brings will take in memory, about.
    pub(crate) fn brings(&self, snapshot: &Snapshot) -> usize {
        let Work::Operations(operations) = &self.work else { return 0 };
        let new = operations.iter().filter(|operation| snapshot.get(operation.task()).is_none());
        new.filter_map(Operation::brings).map(TaskEntry::weight_of).sum()
    }

    /// Whether it is planned by itself, on the threads of heavy work.
    pub(crate) fn is_large(&self) -> bool {
        matches!(&self.work, Work::Operations(operations) if operations.len() > MANY_TASKS)
    }
}

impl From<Vec<Operation>> for Write {
    fn from(operations: Vec<Operation>) -> Self {
        Self { work: Work::Operations(operations), key: None, permit: None }
    }
}

impl From<Operation> for Write {
    fn from(operation: Operation) -> Self {
        vec![operation].into()
    }
}

impl From<Command> for Write {
    fn from(command: Command) -> Self {
        Operation::from(command).into()
    }
}
