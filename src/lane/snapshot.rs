//! What readers see: one committed state of a user's tasks, immutable, cheap to share and to derive
//! the next state from.
//!
//! The maps are persistent (structurally shared B-trees): changing one task of 100,000 copies a few
//! nodes. A task's JSON is rendered once, here, when the state it belongs to is decided.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use imbl::OrdMap;
use serde::Serialize;

use crate::domain::{Seq, Task, TaskId, Timestamp};
use crate::store::StoredUser;

/// A task and its JSON, as every answer shows it.
#[derive(Debug)]
pub struct Entry {
    /// The task.
    pub task: Arc<Task>,
    /// Its JSON object.
    pub json: Bytes,
}

/// A task's JSON form. The one place that fixes its field names and their order.
#[derive(Serialize)]
struct TaskJson<'a> {
    id: uuid::Uuid,
    user_id: &'a str,
    title: &'a str,
    description: Option<&'a str>,
    completed: bool,
    created_at: String,
    updated_at: String,
    version: i64,
}

impl Entry {
    /// Renders `task`, owned by `subject`.
    ///
    /// # Panics
    /// Never: plain strings and numbers are always valid JSON.
    #[must_use]
    pub fn new(task: Task, subject: &str) -> Self {
        let form = TaskJson {
            id: task.id.as_uuid(),
            user_id: subject,
            title: task.title.as_str(),
            description: task.description.as_ref().map(crate::domain::Description::as_str),
            completed: task.completed,
            created_at: task.created_at.to_rfc3339(),
            updated_at: task.updated_at.to_rfc3339(),
            version: task.version.get(),
        };
        let mut json = Vec::with_capacity(320);
        serde_json::to_writer(&mut json, &form).expect("a task is always valid JSON");
        json.shrink_to_fit();
        Self { task: Arc::new(task), json: json.into() }
    }

    fn age(&self) -> Age {
        (self.task.created_at, self.task.id)
    }

    /// What it weighs in memory, in bytes, nearly; its place in the list's body included.
    fn weight(&self) -> usize {
        const FIXED: usize = size_of::<Entry>() + size_of::<Task>() + 4 * size_of::<usize>();
        const IN_MAPS: usize = size_of::<(TaskId, usize)>() + size_of::<(Age, usize)>();
        let text = self.task.title.as_str().len()
            + self.task.description.as_ref().map_or(0, |text| text.as_str().len());
        FIXED + IN_MAPS * 3 / 2 + text + 2 * self.json.len()
    }
}

/// The list's order, oldest first.
type Age = (Timestamp, TaskId);

/// One committed state of a user's tasks.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    seq: Seq,
    email: Option<Arc<str>>,
    by_id: OrdMap<TaskId, Arc<Entry>>,
    by_age: OrdMap<Age, Arc<Entry>>,
    entries_weight: usize,
    list: OnceLock<Bytes>,
}

impl Snapshot {
    /// The state the store holds of the user with this subject; of `None`, a user's first state.
    #[must_use]
    pub fn of_stored(stored: Option<StoredUser>, subject: &str) -> Self {
        let Some(stored) = stored else { return Self::default() };
        let email = stored.email.map(Into::into);
        let mut snapshot = Self { seq: stored.seq, email, ..Self::default() };
        for task in stored.tasks {
            snapshot.put(Arc::new(Entry::new(task, subject)));
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

    /// The body of the whole list, made by the first reader who asks and kept with this state.
    pub fn list(&self) -> Bytes {
        self.list.get_or_init(|| list_body(self.newest_first())).clone()
    }

    /// What it weighs in memory, in bytes, nearly, with its list's body whether made yet or not.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.entries_weight
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
        self.remove(entry.task.id);
        self.entries_weight += entry.weight();
        self.by_age.insert(entry.age(), Arc::clone(&entry));
        self.by_id.insert(entry.task.id, entry);
    }

    /// Takes a task out.
    pub(super) fn remove(&mut self, id: TaskId) {
        if let Some(old) = self.by_id.remove(&id) {
            self.entries_weight -= old.weight();
            self.by_age.remove(&old.age());
        }
    }
}

/// Joins rendered tasks to a list's body: `{"tasks":[…],"count":n}`.
pub fn list_body<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>) -> Bytes {
    let mut body = Vec::with_capacity(4096);
    body.extend_from_slice(b"{\"tasks\":[");
    let mut count = 0_usize;
    for entry in entries {
        if count > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&entry.json);
        count += 1;
    }
    body.extend_from_slice(b"],\"count\":");
    body.extend_from_slice(count.to_string().as_bytes());
    body.push(b'}');
    body.shrink_to_fit();
    body.into()
}
