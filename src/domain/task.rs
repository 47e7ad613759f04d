//! A task, and what may be asked of one.

use super::{Description, DueDate, Position, Priority, Seq, Tags, TaskId, Timestamp, Title};

/// One task in one state. Its owner is known from where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Unique among its owner's tasks.
    pub id: TaskId,
    /// What is to be done.
    pub title: Title,
    /// More about it; an empty text and none at all differ.
    pub description: Option<Description>,
    /// Whether it is done.
    pub completed: bool,
    /// How much it matters.
    pub priority: Option<Priority>,
    /// What it is filed under.
    pub tags: Tags,
    /// When it is due.
    pub due_date: Option<DueDate>,
    /// The client's own ordering key.
    pub position: Option<Position>,
    /// Since when it has been done; set exactly while `completed` is.
    pub completed_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The owner's seq at its last change.
    pub version: Seq,
}

/// What a client says of a task to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// The id: the client's choice, or one made for it at the edge, so that a re-run of the same
    /// command makes the same task.
    pub id: TaskId,
    /// What is to be done.
    pub title: Title,
    /// More about it.
    pub description: Option<Description>,
    /// Whether it is done already.
    pub completed: bool,
    /// How much it matters.
    pub priority: Option<Priority>,
    /// What it is filed under.
    pub tags: Tags,
    /// When it is due.
    pub due_date: Option<DueDate>,
    /// The client's own ordering key.
    pub position: Option<Position>,
}

/// What a client wants changed; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// A new title.
    pub title: Option<Title>,
    /// A new description, or `Some(None)` to clear it.
    pub description: Option<Option<Description>>,
    /// Done or not.
    pub completed: Option<bool>,
    /// A new priority, or `Some(None)` to clear it.
    pub priority: Option<Option<Priority>>,
    /// New tags in place of all old ones.
    pub tags: Option<Tags>,
    /// A new due date, or `Some(None)` to clear it.
    pub due_date: Option<Option<DueDate>>,
    /// A new position, or `Some(None)` to clear it.
    pub position: Option<Option<Position>>,
}

/// The outcome of one accepted write, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// The task is now this.
    Put(T),
    /// The task is gone; `seq` is the deletion's own.
    Delete {
        /// Which task.
        id: TaskId,
        /// The owner's seq at the deletion.
        seq: Seq,
        /// When it was deleted.
        at: Timestamp,
    },
}

impl NewTask {
    /// A task with a title and nothing else.
    #[must_use]
    pub fn titled(id: TaskId, title: Title) -> Self {
        let (description, priority, tags, due_date, position) = (None, None, Tags::default(), None, None);
        Self { id, title, description, completed: false, priority, tags, due_date, position }
    }

    /// The task it makes.
    #[must_use]
    pub fn make(&self, now: Timestamp, version: Seq) -> Task {
        let Self { id, title, description, completed, priority, tags, due_date, position } = self.clone();
        let completed_at = completed.then_some(now);
        let (created_at, updated_at) = (now, now);
        Task {
            id,
            title,
            description,
            completed,
            priority,
            tags,
            due_date,
            position,
            completed_at,
            created_at,
            updated_at,
            version,
        }
    }

    /// Whether `task` is what this create makes: the same request sent twice.
    #[must_use]
    pub fn made(&self, task: &Task) -> bool {
        let Self { id, title, description, completed, priority, tags, due_date, position } = self;
        (id, title, description, completed) == (&task.id, &task.title, &task.description, &task.completed)
            && (priority, tags, due_date, position)
                == (&task.priority, &task.tags, &task.due_date, &task.position)
    }
}

impl Task {
    /// Ticks or unticks it. The instant it was done stays while it stays done.
    fn set_completed(&mut self, completed: bool, now: Timestamp) {
        self.completed = completed;
        self.completed_at = completed.then(|| self.completed_at.unwrap_or(now));
    }

    /// This task after a change at `now` that takes `version`.
    #[must_use]
    pub fn patched(&self, patch: &Patch, now: Timestamp, version: Seq) -> Self {
        fn or<T: Clone>(new: Option<&T>, old: &T) -> T {
            new.unwrap_or(old).clone()
        }
        let mut task = Self {
            title: or(patch.title.as_ref(), &self.title),
            description: or(patch.description.as_ref(), &self.description),
            priority: or(patch.priority.as_ref(), &self.priority),
            tags: or(patch.tags.as_ref(), &self.tags),
            due_date: or(patch.due_date.as_ref(), &self.due_date),
            position: or(patch.position.as_ref(), &self.position),
            updated_at: now,
            version,
            ..*self
        };
        task.set_completed(patch.completed.unwrap_or(self.completed), now);
        task
    }
}
