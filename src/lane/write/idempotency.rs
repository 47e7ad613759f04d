//! Idempotency: a write that is sent again under the same key is carried out once and gets the first reply.
//!
//! A key is looked up in the store before its write is queued. What this lane commits between that look-up and
//! the plan is found in [`RecentKeys`]; a key that [`RecentKeys`] has forgotten is looked up once more. The replies
//! of a batch go to the store with the batch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::command::{Effect, IdempotencyKey, WriteReply};
use crate::domain::{Lineage, Revision, Seq, TaskId, Timestamp};
use crate::error::Error;
use crate::lane::read::snapshot::Snapshot;
use crate::lane::read::task_entry::ShownTask;
use crate::store::{Batch, KeyRecord};

/// How long a key is remembered: longer than any write is queued.
const REMEMBER: Duration = Duration::from_mins(1);

/// Keys kept at most …
const KEYS: usize = 4_096;

/// … and bytes of their answers.
const BYTES: usize = 4 << 20;

/// Bytes of tasks that a record keeps in any case: a task of usual length …
const TEXT_ALWAYS: usize = 2 << 10;

/// … and for each byte of the request's body. Without this bound a short request about long tasks would fill the
/// disk.
const TEXT_FOR_EACH_BYTE: usize = 4;

/// The keys committed here lately, and the seq since which they are complete.
#[derive(Debug)]
pub(crate) struct RecentKeys {
    known: HashMap<Arc<str>, (Instant, KeyRecord)>,
    since: Seq,
}

impl RecentKeys {
    /// None yet; keys committed up to `since` are in the store.
    pub(crate) fn new(since: Seq) -> Self {
        Self { known: HashMap::new(), since }
    }

    /// What is known of a write's key, which was not in the store at `looked_up`; `at` is where the plan is.
    pub(crate) fn look_up(&self, key: &IdempotencyKey, looked_up: Option<Seq>, at: Revision) -> KeyState {
        match self.get(&key.key) {
            Some(record) => KeyState::Known(replay(record, key, at)),
            None if self.covers(looked_up) => KeyState::New,
            None => KeyState::Unsure,
        }
    }

    fn get(&self, key: &str) -> Option<&KeyRecord> {
        self.known.get(key).map(|(_, record)| record)
    }

    /// True if a lookup at `looked_up`, together with this cache, covers every committed key. (The store itself
    /// tells two processes at one seq apart.)
    fn covers(&self, looked_up: Option<Seq>) -> bool {
        looked_up >= Some(self.since)
    }

    /// Forgets all; keys committed up to `since` are in the store.
    pub(crate) fn forget(&mut self, since: Seq) {
        self.known.clear();
        self.since = since;
    }

    /// Remembers the keys of a batch that is durable now, and forgets old ones: all of them if there are too many.
    pub(crate) fn keep(&mut self, batch: &Batch) {
        if batch.erase {
            self.known.clear();
        }
        if batch.keys.is_empty() {
            return;
        }
        let now = Instant::now();
        self.known.retain(|_, (at, _)| now.duration_since(*at) < REMEMBER);
        let bytes: usize = self.known.values().map(|(_, record)| record.answer.len()).sum();
        if self.known.len() + batch.keys.len() > KEYS || bytes > BYTES {
            self.forget(batch.reached);
        }
        self.known.extend(batch.keys.iter().map(|record| (Arc::clone(&record.key), (now, record.clone()))));
    }
}

/// What is known of a write's key before the write is planned.
#[derive(Debug)]
pub(crate) enum KeyState {
    /// The write was carried out before: this is its reply, or the refusal of another request under its key.
    Known(Result<WriteReply, Error>),
    /// No write had this key.
    New,
    /// The store has to be asked again.
    Unsure,
}

/// What the store keeps under a write's key.
pub(crate) fn record(key: &IdempotencyKey, reply: &WriteReply, at: Timestamp) -> KeyRecord {
    let answer = reply.to_record(TEXT_ALWAYS + TEXT_FOR_EACH_BYTE * key.sent);
    KeyRecord { key: Arc::clone(&key.key), fingerprint: key.fingerprint, answer, at }
}

/// The reply to a write that was carried out before under the same key; `at` is where the user is now.
///
/// # Errors
/// [`Error::KeyReused`] if that was another request; [`Error::Internal`] if the record cannot be read.
pub(crate) fn replay(record: &KeyRecord, key: &IdempotencyKey, at: Revision) -> Result<WriteReply, Error> {
    if record.fingerprint != key.fingerprint {
        return Err(Error::KeyReused { at });
    }
    let unreadable = || Error::Internal("the reply kept under an idempotency key cannot be read".into());
    WriteReply::from_record(&record.answer, at.lineage).ok_or_else(unreadable)
}

/// A reply as the store keeps it under an idempotency key.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    seq: i64,
    #[serde(borrow)]
    effects: Vec<EffectRecord<'a>>,
}

/// An effect in a [`Record`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EffectRecord<'a> {
    #[serde(borrow)]
    Created(Option<TaskRecord<'a>>),
    Imported,
    Exists(Option<TaskRecord<'a>>),
    Updated(Option<TaskRecord<'a>>),
    Deleted,
}

/// A task in a [`Record`]: `[id, version, JSON]`, or `[id, version, null]` for one to be looked up among the user's
/// tasks.
#[derive(Serialize, Deserialize)]
struct TaskRecord<'a>(Uuid, i64, #[serde(borrow)] Option<&'a RawValue>);

impl<'a> TaskRecord<'a> {
    /// Keeps the task's JSON only within `room`, which becomes less by it.
    fn of(task: Option<&'a ShownTask>, room: &mut usize) -> Option<Self> {
        let task = task?;
        let json = task.json.as_ref().filter(|json| json.len() <= *room);
        *room -= json.map_or(0, Bytes::len);
        let raw = |json: &'a Bytes| serde_json::from_slice(json).expect("a task's JSON is valid");
        Some(Self(task.id.as_uuid(), task.version.get(), json.map(raw)))
    }

    fn shown(self) -> ShownTask {
        let json = self.2.map(|json| Bytes::copy_from_slice(json.get().as_bytes()));
        ShownTask { id: TaskId::from_uuid(self.0), version: Seq::new(self.1), json }
    }
}

impl WriteReply {
    /// The reply as the store keeps it, with at most `room` bytes of tasks.
    ///
    /// # Panics
    /// Never: ids, numbers and a task's JSON are valid JSON.
    #[must_use]
    fn to_record(&self, mut room: usize) -> Bytes {
        let effects = self.effects.iter().map(|effect| {
            let task = TaskRecord::of(effect.task(), &mut room);
            match effect {
                Effect::Created(_) => EffectRecord::Created(task),
                Effect::Imported => EffectRecord::Imported,
                Effect::Exists(_) => EffectRecord::Exists(task),
                Effect::Updated(_) => EffectRecord::Updated(task),
                Effect::Deleted => EffectRecord::Deleted,
            }
        });
        let record = Record { seq: self.seq.get(), effects: effects.collect() };
        serde_json::to_vec(&record).expect("a record is always valid JSON").into()
    }

    /// A reply that the store kept, whose seqs are the user's in any case; `None` if it cannot be read.
    #[must_use]
    fn from_record(record: &[u8], lineage: Lineage) -> Option<Self> {
        let Record { seq, effects } = serde_json::from_slice(record).ok()?;
        let effects = effects.into_iter().map(|effect| match effect {
            EffectRecord::Created(task) => Effect::Created(task.map(TaskRecord::shown)),
            EffectRecord::Imported => Effect::Imported,
            EffectRecord::Exists(task) => Effect::Exists(task.map(TaskRecord::shown)),
            EffectRecord::Updated(task) => Effect::Updated(task.map(TaskRecord::shown)),
            EffectRecord::Deleted => Effect::Deleted,
        });
        Some(Self { seq: Seq::new(seq), lineage, effects: effects.collect(), replayed: true })
    }

    /// Whether its record left out a task's JSON, which has to be looked up.
    pub(crate) fn lacks_tasks(&self) -> bool {
        self.effects.iter().filter_map(Effect::task).any(|task| task.json.is_none())
    }

    /// Adds the JSON that its record left out: that of the task as it is now. A task that is gone stays without.
    pub(crate) fn look_up_tasks(&mut self, snapshot: &Snapshot) {
        for effect in &mut self.effects {
            let (Effect::Created(Some(task)) | Effect::Exists(Some(task)) | Effect::Updated(Some(task))) =
                effect
            else {
                continue;
            };
            if let (None, Some(entry)) = (&task.json, snapshot.get(task.id)) {
                *task = entry.shown();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Timestamp, UserId};

    /// A batch of `count` keys, each with an answer of `bytes` bytes.
    fn batch(seq: i64, count: usize, bytes: usize) -> Batch {
        let record = |number| KeyRecord {
            key: format!("{seq}/{number}").into(),
            fingerprint: [0; 32],
            answer: vec![b'x'; bytes].into(),
            at: Timestamp::from_micros(0),
        };
        Batch {
            id: Uuid::nil(),
            user: UserId::of_subject("ann"),
            subject: "ann".into(),
            email: None,
            epoch: 0,
            expected: Seq::new(seq - 1),
            reached: Seq::new(seq),
            erase: false,
            changes: Vec::new(),
            keys: (0..count).map(record).collect(),
        }
    }

    #[test]
    fn a_key_is_known_for_a_minute_and_one_that_came_before_has_to_be_asked_for() {
        let mut keys = RecentKeys::new(Seq::new(7));
        assert!(keys.covers(Some(Seq::new(7))));
        assert!(!keys.covers(Some(Seq::new(6))) && !keys.covers(None));
        keys.keep(&batch(8, 2, 10));
        assert!(keys.get("8/1").is_some() && keys.get("8/2").is_none());
        assert!(keys.covers(Some(Seq::new(7))), "what came after it is here");
        keys.forget(Seq::new(9));
        assert!(keys.get("8/1").is_none() && !keys.covers(Some(Seq::new(8))));
    }

    #[test]
    fn neither_many_keys_nor_long_answers_are_kept_without_end() {
        for (count, bytes) in [(256, 10), (16, 100_000)] {
            let mut keys = RecentKeys::new(Seq::ZERO);
            let mut asked_again = 0;
            for seq in 1..=200 {
                keys.keep(&batch(seq, count, bytes));
                let held: usize = keys.known.values().map(|(_, record)| record.answer.len()).sum();
                assert!(
                    keys.known.len() <= KEYS && held <= BYTES + count * bytes,
                    "{} {held}",
                    keys.known.len()
                );
                assert!(keys.get(&format!("{seq}/0")).is_some(), "the newest is always here");
                asked_again += usize::from(!keys.covers(Some(Seq::new(seq - 1))));
                // A key looked up before a forgotten one was stored has to be looked up again.
                for old in 1..seq {
                    let forgotten = keys.get(&format!("{old}/0")).is_none();
                    assert!(!forgotten || !keys.covers(Some(Seq::new(old - 1))), "{old} at {seq}");
                }
            }
            assert!((1..=100).contains(&asked_again), "{asked_again}");
        }
    }

    #[test]
    fn an_answer_comes_back_from_its_record_letter_by_letter() {
        let json = Bytes::from_static(br#"{"title":"\u00e4 \"x\"","version":7}"#);
        let id = TaskId::generate();
        let length = json.len();
        let shown = |json| Some(ShownTask { id, version: Seq::new(7), json });
        let answer = |json: Option<Bytes>| {
            let (first, last) = (Effect::Created(shown(json.clone())), Effect::Updated(shown(json)));
            let effects = vec![first, Effect::Imported, Effect::Deleted, Effect::Exists(None), last];
            WriteReply { seq: Seq::new(9), lineage: Lineage::default(), effects, replayed: true }
        };
        let kept = |task: &str| {
            let task = format!(r#"["{id}",7,{task}]"#);
            format!(
                r#"{{"seq":9,"effects":[{{"created":{task}}},"imported","deleted",{{"exists":null}},{{"updated":{task}}}]}}"#
            )
        };
        let from_record = |record: &[u8]| WriteReply::from_record(record, Lineage::default());
        let whole = answer(Some(json.clone())).to_record(2 * length);
        assert_eq!(whole, kept(r#"{"title":"\u00e4 \"x\"","version":7}"#));
        assert_eq!(from_record(&whole), Some(answer(Some(json.clone()))));
        assert_eq!(from_record(b"{}"), None);

        let short = answer(Some(json.clone())).to_record(length - 1);
        assert_eq!(short, kept("null"), "there was no room for the tasks");
        assert_eq!(from_record(&short), Some(answer(None)));
        assert!(answer(None).lacks_tasks() && !answer(Some(json.clone())).lacks_tasks());
    }
}
