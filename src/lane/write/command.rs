//! What a write asks of a lane, and what the lane answers.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::{Command, Operation, Seq, TaskId};
use crate::lane::read::task_entry::ShownTask;

/// A write: what to do, wholly or not at all.
#[derive(Clone, Debug)]
pub struct Write {
    /// What to do.
    pub work: Work,
    /// By what to know it again, should it come twice.
    pub key: Option<IdempotencyKey>,
}

/// What a write does.
#[derive(Clone, Debug)]
pub enum Work {
    /// These operations, in order; each takes a seq of its own.
    Operations(Vec<Operation>),
    /// Forget the user's tasks, deletions, keys and e-mail address. It is one change: it takes one seq.
    Erase,
}

/// A client's name for one write, and what the write was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The name.
    pub key: Arc<str>,
    /// A digest of the request: another request under the same name is a mistake.
    pub fingerprint: [u8; 32],
}

/// An accepted write, durable in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteReply {
    /// The seq of its last change; where it changed nothing, the seq at which the answer is true.
    pub seq: Seq,
    /// What each operation did, in order.
    pub effects: Vec<Effect>,
    /// Whether the write was carried out earlier, and this is its answer from then.
    pub replayed: bool,
}

/// What an operation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The task is new.
    Created(ShownTask),
    /// The task of an export is in. An import is large, and no answer shows its tasks.
    Imported,
    /// The same create came before; this is the stored task.
    Exists(ShownTask),
    /// The task changed.
    Updated(ShownTask),
    /// The task is gone.
    Deleted,
}

impl From<Operation> for Write {
    fn from(operation: Operation) -> Self {
        Self { work: Work::Operations(vec![operation]), key: None }
    }
}

impl From<Command> for Write {
    fn from(command: Command) -> Self {
        Operation::from(command).into()
    }
}

/// An answer as the store keeps it under an idempotency key.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    seq: i64,
    #[serde(borrow)]
    effects: Vec<EffectRecord<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EffectRecord<'a> {
    #[serde(borrow)]
    Created(ShownTaskRecord<'a>),
    Imported,
    #[serde(borrow)]
    Exists(ShownTaskRecord<'a>),
    #[serde(borrow)]
    Updated(ShownTaskRecord<'a>),
    Deleted,
}

#[derive(Serialize, Deserialize)]
struct ShownTaskRecord<'a>(Uuid, i64, #[serde(borrow)] &'a RawValue);

impl WriteReply {
    /// The answer as the store is to keep it.
    ///
    /// # Panics
    /// Never: ids, numbers and what is JSON already are valid JSON.
    #[must_use]
    pub(crate) fn to_record(&self) -> Bytes {
        fn shown(shown: &ShownTask) -> ShownTaskRecord<'_> {
            let json = serde_json::from_slice(&shown.json).expect("a task's JSON is JSON");
            ShownTaskRecord(shown.id.as_uuid(), shown.version.get(), json)
        }
        let effects = self.effects.iter().map(|effect| match effect {
            Effect::Created(task) => EffectRecord::Created(shown(task)),
            Effect::Imported => EffectRecord::Imported,
            Effect::Exists(task) => EffectRecord::Exists(shown(task)),
            Effect::Updated(task) => EffectRecord::Updated(shown(task)),
            Effect::Deleted => EffectRecord::Deleted,
        });
        let record = Record { seq: self.seq.get(), effects: effects.collect() };
        serde_json::to_vec(&record).expect("a record is always valid JSON").into()
    }

    /// An answer the store kept; `None` if it cannot be read.
    #[must_use]
    pub(crate) fn from_record(record: &[u8]) -> Option<Self> {
        fn shown(ShownTaskRecord(id, version, json): ShownTaskRecord<'_>) -> ShownTask {
            let json = Bytes::copy_from_slice(json.get().as_bytes());
            ShownTask { id: TaskId::from_uuid(id), version: Seq::new(version), json }
        }
        let record: Record<'_> = serde_json::from_slice(record).ok()?;
        let effects = record.effects.into_iter().map(|effect| match effect {
            EffectRecord::Created(task) => Effect::Created(shown(task)),
            EffectRecord::Imported => Effect::Imported,
            EffectRecord::Exists(task) => Effect::Exists(shown(task)),
            EffectRecord::Updated(task) => Effect::Updated(shown(task)),
            EffectRecord::Deleted => Effect::Deleted,
        });
        Some(Self { seq: Seq::new(record.seq), effects: effects.collect(), replayed: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_from_its_record_letter_by_letter() {
        let json = Bytes::from_static(br#"{"title":"\u00e4 \"x\"","version":7}"#);
        let shown = ShownTask { id: TaskId::generate(), version: Seq::new(7), json };
        let effects =
            vec![Effect::Created(shown.clone()), Effect::Imported, Effect::Deleted, Effect::Updated(shown)];
        let answer = WriteReply { seq: Seq::new(9), effects, replayed: false };
        assert_eq!(
            WriteReply::from_record(&answer.to_record()),
            Some(WriteReply { replayed: true, ..answer })
        );
        assert_eq!(WriteReply::from_record(b"{}"), None);
    }
}
