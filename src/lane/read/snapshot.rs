//! What readers see: one committed state of a user's tasks, immutable, cheap to share and to derive
//! the next state from.
//!
//! The sets are persistent (structurally shared B-trees): changing one task of 100,000 copies a few
//! nodes. A task's JSON is rendered once, when the state it belongs to is decided.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use imbl::{OrdMap, OrdSet};

use super::key_bytes::KeyBytes;
use super::list_json::{ListJson, READY, render_all};
use super::task_entry::{Age, ByAge, ById, ByVersion, ENTRY, TaskEntry};
use crate::domain::{Lineage, Revision, STORED_ROW, Seq, TaskId, Timestamp};
use crate::lane::limits::MUCH_TEXT;
use crate::store::{StoreLife, StoredUser};

/// Deletions of a user that are remembered, at most. When there are more, the older half is forgotten.
const MOST_DELETED: usize = 10_000;

/// One committed state of a user's tasks.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// How often the store went back while the lane was in memory.
    timeline: u32,
    /// The store's epoch when it was read.
    epoch: u64,
    /// The user's lineage in that epoch.
    lineage: Lineage,
    seq: Seq,
    pub(super) horizon: Seq,
    email: Option<Arc<str>>,
    pub(super) by_id: OrdSet<ById>,
    by_age: OrdSet<ByAge>,
    /// Made when the change feed is first asked for, and kept up from then on: most users never ask.
    pub(super) by_version: OnceLock<OrdSet<ByVersion>>,
    /// What was deleted, by the deletion's seq.
    pub(super) deleted: OrdMap<Seq, TaskId>,
    /// Bytes of all tasks' texts, and of their JSON.
    text_bytes: usize,
    json_bytes: usize,
    keys: KeyBytes,
    /// Bytes of all tasks that were replaced or deleted since the lane was loaded.
    replaced: usize,
    list: OnceLock<Bytes>,
}

impl Snapshot {
    /// What the store holds of a user in this life of it; for `None`, the first state of a new user.
    #[must_use]
    pub fn of_stored(stored: Option<StoredUser>, subject: &str, life: StoreLife) -> Self {
        let (epoch, lineage) = (life.epoch, life.identity.lineage(subject));
        let Some(stored) = stored else { return Self { epoch, lineage, ..Self::default() } };
        let email = stored.email.map(Into::into);
        let (seq, horizon, deleted) = (stored.seq, stored.horizon, stored.tombstones.into_iter().collect());
        let mut tasks = stored.tasks;
        tasks.sort_unstable_by_key(|task| std::cmp::Reverse((task.created_at, task.id)));
        let (entries, list) = render_all(tasks, subject);
        Self {
            epoch,
            lineage,
            seq,
            horizon,
            email,
            deleted,
            text_bytes: entries.iter().map(|entry| entry.task.content.text_bytes()).sum(),
            json_bytes: entries.iter().map(|entry| entry.json.len()).sum(),
            keys: KeyBytes::of_stored(stored.key_bytes),
            by_id: entries.iter().cloned().map(ById).collect(),
            by_age: entries.into_iter().map(ByAge).collect(),
            list: list.map(OnceLock::from).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// This state with the changes that other processes made since. `None` if they do not lead there: the store has
    /// gone back, or deletions since then are forgotten.
    #[must_use]
    pub fn caught_up(&self, stored: StoredUser, subject: &str) -> Option<Self> {
        if stored.seq < self.seq || stored.horizon > self.seq {
            return None;
        }
        let mut next = self.clone();
        // First: a task that was made again has a deletion beside it.
        for (seq, id) in stored.tombstones {
            next.delete(id, seq);
        }
        for task in stored.tasks {
            next.put(Arc::new(TaskEntry::new(task, subject)));
        }
        if stored.horizon > self.horizon {
            next.horizon = stored.horizon;
            next.deleted = next.deleted.split(&stored.horizon).1;
        }
        next.set_email(stored.email.map(Into::into));
        next.advance(stored.seq);
        Some(next)
    }

    /// The same state, read anew in the place of `before`, as one of this timeline.
    #[must_use]
    pub(crate) fn on_timeline(self, timeline: u32, before: &Self) -> Self {
        Self { timeline, replaced: before.replaced + before.entries_weight(), ..self }
    }

    /// The seq of its newest change.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// The lineage that its seqs count in.
    #[must_use]
    pub const fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// Its seq and lineage.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        Revision { seq: self.seq, lineage: self.lineage }
    }

    /// The lane's timeline. A new one begins when the store has gone back: what an earlier one showed may be lost.
    #[must_use]
    pub const fn timeline(&self) -> u32 {
        self.timeline
    }

    /// The store's epoch when it was read.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Orders the states that a lane shows: a later one is greater.
    pub(crate) const fn moment(&self) -> (u32, Seq) {
        (self.timeline, self.seq)
    }

    /// The e-mail address that the store keeps, once this state is committed.
    pub(crate) const fn email(&self) -> Option<&Arc<str>> {
        self.email.as_ref()
    }

    /// How many tasks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// A task by its id.
    #[must_use]
    pub fn get(&self, id: TaskId) -> Option<&Arc<TaskEntry>> {
        self.by_id.get(&id).map(|ById(entry)| entry)
    }

    /// Every task, newest first (by `created_at`, then id).
    pub fn newest_first(&self) -> impl ExactSizeIterator<Item = &Arc<TaskEntry>> + Clone {
        self.by_age.iter().rev().map(|ByAge(entry)| entry)
    }

    /// Every task older than `age`, oldest last.
    pub(crate) fn older_than(&self, age: Age) -> impl Iterator<Item = &Arc<TaskEntry>> {
        self.by_age.range(..age).rev().map(|ByAge(entry)| entry)
    }

    /// The same; without an age, every task.
    pub(crate) fn newest_from(&self, age: Option<Age>) -> Box<dyn Iterator<Item = &Arc<TaskEntry>> + '_> {
        match age {
            Some(age) => Box::new(self.older_than(age)),
            None => Box::new(self.newest_first()),
        }
    }

    /// The body of the whole list if it is not large; the first reader makes it, then it is kept.
    pub fn list(&self) -> Option<Bytes> {
        let make = || ListJson::of(self.newest_first(), self.len(), None);
        (self.json_bytes <= READY).then(|| self.list.get_or_init(make).clone())
    }

    /// How many tasks there are, and the bytes of their JSON.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.len(), self.json_bytes)
    }

    /// Whether a handler may look at every task's texts itself.
    #[must_use]
    pub const fn is_small(&self) -> bool {
        self.json_bytes <= MUCH_TEXT
    }

    /// Bytes that the user's data take in the store, about.
    pub(crate) fn stored_bytes(&self) -> usize {
        const DELETION: usize = 64;
        self.len() * STORED_ROW + self.text_bytes + self.deleted.len() * DELETION + self.keys.bytes()
    }

    /// Bytes that the user's idempotency keys take in the store, about.
    pub(crate) const fn key_bytes(&self) -> usize {
        self.keys.bytes()
    }

    /// Counts keys that go to the store with the next commit.
    pub(crate) fn add_key_bytes(&mut self, bytes: usize) {
        self.keys.add(bytes);
    }

    /// Forgets the keys that the store has purged by now.
    pub(crate) fn let_keys_age(&mut self, now: Timestamp) {
        self.keys.let_age(now);
    }

    /// Bytes of all tasks that were replaced or deleted since the lane was loaded.
    pub(crate) const fn replaced(&self) -> usize {
        self.replaced
    }

    /// Makes the change feed if the state `before` has it. It may have been asked for there after this state was
    /// derived; without this, a big user's feed might be rebuilt after every write.
    pub(crate) fn follow(&self, before: &Self) {
        if before.has_feed() {
            self.by_version();
        }
    }

    /// Its approximate bytes in memory. The list's body counts even while it is not made.
    #[must_use]
    pub fn weight(&self) -> usize {
        const DELETION: usize = size_of::<(Seq, TaskId)>() * 2;
        let list = if self.json_bytes <= READY { self.json_bytes } else { 0 };
        size_of::<Self>() + self.entries_weight() + list + self.deleted.len() * DELETION
    }

    fn entries_weight(&self) -> usize {
        self.len() * ENTRY + self.text_bytes + self.json_bytes
    }

    /// Moves to the seq of the next change. Only a working copy is ever changed.
    pub(crate) fn advance(&mut self, seq: Seq) {
        self.seq = seq;
        self.list = OnceLock::new();
    }

    /// Notes the e-mail address that goes to the store with the next commit.
    pub(crate) fn set_email(&mut self, email: Option<Arc<str>>) {
        self.email = email;
    }

    /// Sets a task's state, and returns its weight.
    pub(crate) fn put(&mut self, entry: Arc<TaskEntry>) -> usize {
        self.take(entry.task.id);
        let (text, json) = (entry.task.content.text_bytes(), entry.json.len());
        self.text_bytes += text;
        self.json_bytes += json;
        self.by_age.insert(ByAge(Arc::clone(&entry)));
        if let Some(by_version) = self.by_version.get_mut() {
            by_version.insert(ByVersion(Arc::clone(&entry)));
        }
        self.by_id.insert(ById(entry));
        ENTRY + text + json
    }

    /// Takes a task out, by the change that has this seq.
    pub(crate) fn delete(&mut self, id: TaskId, seq: Seq) {
        self.take(id);
        self.deleted.insert(seq, id);
    }

    /// Forgets the oldest deletions where there are too many, and returns the new horizon.
    pub(crate) fn forget_deletions(&mut self) -> Option<Seq> {
        if self.deleted.len() <= MOST_DELETED {
            return None;
        }
        let horizon = self.deleted.keys().nth(self.deleted.len() - MOST_DELETED / 2).copied()?;
        self.horizon = horizon;
        self.deleted = self.deleted.split(&horizon).1;
        Some(horizon)
    }

    /// Forgets every task and everything that ever happened to one.
    pub(crate) fn erase(&mut self, seq: Seq) {
        let replaced = self.replaced + self.entries_weight();
        *self = Self {
            timeline: self.timeline,
            epoch: self.epoch,
            lineage: self.lineage,
            seq,
            horizon: seq,
            replaced,
            ..Self::default()
        };
    }

    fn take(&mut self, id: TaskId) {
        if let Some(ById(old)) = self.by_id.remove(&id) {
            let (text, json) = (old.task.content.text_bytes(), old.json.len());
            self.text_bytes -= text;
            self.json_bytes -= json;
            self.replaced += ENTRY + text + json;
            self.by_age.remove(&old.age());
            if let Some(by_version) = self.by_version.get_mut() {
                by_version.remove(&old.task.version);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{NewTask, Title};
    use crate::lane::Query;
    use crate::lane::read::chunks::TasksBody;

    #[test]
    fn a_loaded_users_json_is_in_memory_once_within_the_body_that_any_reader_would_make() {
        let task = |number| {
            let title = Title::parse(&format!("t{number}")).unwrap();
            NewTask::titled(TaskId::generate(), title)
                .make(Timestamp::from_micros(number % 3), Seq::new(number))
        };
        for count in [0, 1, 5, 40] {
            let stored = StoredUser {
                subject: "ann".into(),
                email: None,
                seq: Seq::new(count),
                horizon: Seq::ZERO,
                key_bytes: 0,
                tasks: (1..=count).map(task).collect(),
                tombstones: Vec::new(),
            };
            let snapshot = Snapshot::of_stored(Some(stored), "ann", StoreLife::default());
            let list = snapshot.list().unwrap();
            let TasksBody::Ready(page) = snapshot.select(&Query::default()).body() else {
                panic!("it is short")
            };
            assert_eq!(list, page);
            for entry in snapshot.newest_first() {
                let (outer, inner) = (list.as_ptr_range(), entry.json.as_ptr_range());
                assert!(outer.start <= inner.start && inner.end <= outer.end);
                assert_eq!(entry.json, TaskEntry::new((*entry.task).clone(), "ann").json);
            }
        }
    }
}
