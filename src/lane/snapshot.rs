//! What readers see: one committed state of a user's tasks, immutable, cheap to share and to derive
//! the next state from.
//!
//! The maps are persistent (structurally shared B-trees): changing one task of 100,000 copies a few
//! nodes. A task's JSON is rendered once, when the state it belongs to is decided.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use imbl::OrdMap;

use super::entry::{Age, Entry};
use super::page::{self, Page, Query};
use crate::domain::{Seq, TaskId};
use crate::store::StoredUser;

/// One committed state of a user's tasks.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    seq: Seq,
    horizon: Seq,
    email: Option<Arc<str>>,
    by_id: OrdMap<TaskId, Arc<Entry>>,
    by_age: OrdMap<Age, Arc<Entry>>,
    /// What happened last to each task, by the seq it happened at.
    feed: OrdMap<Seq, Event>,
    entries_weight: usize,
    list: OnceLock<Bytes>,
}

/// What happened last to a task.
#[derive(Clone, Debug)]
pub enum Event {
    /// It took this state.
    Changed(Arc<Entry>),
    /// It was deleted.
    Deleted(TaskId),
}

/// A stretch of the change feed.
#[derive(Debug)]
pub struct Changes {
    /// Every task that changed, in its latest form, and every deletion, by ascending seq.
    pub events: Vec<(Seq, Event)>,
    /// The seq to go on from.
    pub seq: Seq,
    /// Whether more is there already.
    pub has_more: bool,
}

impl Snapshot {
    /// The state the store holds of the user with this subject; of `None`, a user's first state.
    #[must_use]
    pub fn of_stored(stored: Option<StoredUser>, subject: &str) -> Self {
        let Some(stored) = stored else { return Self::default() };
        let email = stored.email.map(Into::into);
        let mut snapshot = Self { seq: stored.seq, horizon: stored.horizon, email, ..Self::default() };
        for task in stored.tasks {
            snapshot.put(Arc::new(Entry::new(task, subject)));
        }
        for (seq, id) in stored.tombstones {
            snapshot.feed.insert(seq, Event::Deleted(id));
        }
        snapshot
    }

    /// The seq of its newest change.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// The e-mail address the store was last told to keep.
    pub(super) const fn email(&self) -> Option<&Arc<str>> {
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
    pub fn get(&self, id: TaskId) -> Option<&Arc<Entry>> {
        self.by_id.get(&id)
    }

    /// Every task, newest first (by `created_at`, then id).
    pub fn newest_first(&self) -> impl ExactSizeIterator<Item = &Arc<Entry>> {
        self.by_age.values().rev()
    }

    /// Every task not younger than `age`, oldest last.
    pub(super) fn older_than(&self, age: Age) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_age.range(..age).rev().map(|(_, entry)| entry)
    }

    /// The body of the whole list, made by the first reader who asks and kept with this state.
    pub fn list(&self) -> Bytes {
        self.list.get_or_init(|| Page::whole(self).body()).clone()
    }

    /// The tasks a query asks for.
    #[must_use]
    pub fn select(&self, query: &Query) -> Page<'_> {
        page::select(self, query)
    }

    /// What changed after `since`, `limit` changes at the most; `None` if that cannot be told: it lies
    /// before the horizon, where deletions are forgotten, or in the future.
    #[must_use]
    pub fn changes(&self, since: Seq, limit: usize) -> Option<Changes> {
        if since < self.horizon || since > self.seq {
            return None;
        }
        let mut after = self.feed.range(since.next()..).map(|(seq, event)| (*seq, event.clone()));
        let events: Vec<_> = after.by_ref().take(limit).collect();
        let has_more = after.next().is_some();
        let last = events.last().map_or(self.seq, |(seq, _)| *seq);
        Some(Changes { events, seq: if has_more { last } else { self.seq }, has_more })
    }

    /// What it weighs in memory, in bytes, nearly, with its list's body whether made yet or not.
    #[must_use]
    pub fn weight(&self) -> usize {
        const DELETION: usize = size_of::<(Seq, Event)>() * 3 / 2;
        let deletions = self.feed.len().saturating_sub(self.by_id.len());
        size_of::<Self>() + self.entries_weight + deletions * DELETION
    }

    /// Moves to the seq of the next change. Only a working copy is ever changed.
    pub(super) fn advance(&mut self, seq: Seq) {
        self.seq = seq;
        self.list = OnceLock::new();
    }

    /// Notes the e-mail address that goes to the store with the next commit.
    pub(super) fn set_email(&mut self, email: Option<Arc<str>>) {
        self.email = email;
    }

    /// Sets a task's state.
    pub(super) fn put(&mut self, entry: Arc<Entry>) {
        self.take(entry.task.id);
        self.entries_weight += entry.weight();
        self.by_age.insert(entry.age(), Arc::clone(&entry));
        self.feed.insert(entry.task.version, Event::Changed(Arc::clone(&entry)));
        self.by_id.insert(entry.task.id, entry);
    }

    /// Takes a task out, by the change that has this seq.
    pub(super) fn delete(&mut self, id: TaskId, seq: Seq) {
        self.take(id);
        self.feed.insert(seq, Event::Deleted(id));
    }

    /// Forgets every task and everything that ever happened to one.
    pub(super) fn erase(&mut self, seq: Seq) {
        *self = Self { seq, horizon: seq, ..Self::default() };
    }

    fn take(&mut self, id: TaskId) {
        if let Some(old) = self.by_id.remove(&id) {
            self.entries_weight -= old.weight();
            self.by_age.remove(&old.age());
            self.feed.remove(&old.task.version);
        }
    }
}
