//! A task, and what may be asked of one.

use super::{Description, DueDate, Position, Priority, Seq, Tags, TaskId, Timestamp, Title};

/// What a client says of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskContent {
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
}

/// One task in one state. Its owner is known from where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Unique among its owner's tasks.
    pub id: TaskId,
    /// What its owner says of it.
    pub content: TaskContent,
    /// Since when it has been done; set exactly while it is.
    pub completed_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The owner's seq at its last change.
    pub version: Seq,
}

/// A task to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// The id: the client's choice, or one made for it at the edge, so that a re-run of the same
    /// command makes the same task.
    pub id: TaskId,
    /// What its owner says of it.
    pub content: TaskContent,
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

/// What a list is sorted by. Ties are broken by id; tasks without the value come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortField {
    /// When it was made.
    CreatedAt,
    /// When it last changed.
    UpdatedAt,
    /// When it is due.
    DueDate,
    /// How much it matters.
    Priority,
    /// Its title, by Unicode's collation.
    Title,
    /// The client's own key, byte by byte.
    Position,
}

/// A value to sort by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// An instant or a rank.
    Number(i64),
    /// A text.
    Text(String),
}

impl SortField {
    /// All of them, as they are listed to clients.
    pub const ALL: [Self; 6] =
        [Self::CreatedAt, Self::UpdatedAt, Self::DueDate, Self::Priority, Self::Title, Self::Position];

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::DueDate => "due_date",
            Self::Priority => "priority",
            Self::Title => "title",
            Self::Position => "position",
        }
    }

    /// A task's value; `None` if it has none.
    pub(super) fn key_of(self, task: &Task) -> Option<SortKey> {
        let time = |instant: Timestamp| SortKey::Number(instant.as_micros());
        let content = &task.content;
        match self {
            Self::CreatedAt => Some(time(task.created_at)),
            Self::UpdatedAt => Some(time(task.updated_at)),
            Self::DueDate => content.due_date.as_ref().map(|due| time(due.order())),
            Self::Priority => content.priority.map(|priority| SortKey::Number(priority as i64)),
            Self::Title => Some(SortKey::Text(content.title.as_str().to_owned())),
            Self::Position => {
                content.position.as_ref().map(|position| SortKey::Text(position.as_str().to_owned()))
            }
        }
    }

    /// Whether a task's value can be this.
    pub(crate) const fn takes(self, key: Option<&SortKey>) -> bool {
        match key {
            None => matches!(self, Self::DueDate | Self::Priority | Self::Position),
            Some(SortKey::Text(_)) => matches!(self, Self::Title | Self::Position),
            Some(SortKey::Number(_)) => !matches!(self, Self::Title | Self::Position),
        }
    }
}

impl TaskContent {
    /// A title and nothing else.
    #[must_use]
    pub fn titled(title: Title) -> Self {
        let (description, priority, tags, due_date, position) = (None, None, Tags::default(), None, None);
        Self { title, description, completed: false, priority, tags, due_date, position }
    }

    /// The texts that a search looks at.
    pub(super) fn searched(&self) -> impl Iterator<Item = &str> {
        let tags = self.tags.as_slice().iter().map(|tag| &**tag);
        let description = self.description.as_ref().map(Description::as_str);
        std::iter::once(self.title.as_str()).chain(description).chain(tags)
    }

    /// Bytes of its texts in memory, with the tags' places in their list.
    pub(crate) fn text_bytes(&self) -> usize {
        self.title.as_str().len()
            + self.description.as_ref().map_or(0, |text| text.as_str().len())
            + self.tags.as_slice().iter().map(|tag| size_of::<Box<str>>() + tag.len()).sum::<usize>()
            + self.due_date.as_ref().map_or(0, |due| due.as_str().len())
            + self.position.as_ref().map_or(0, |position| position.as_str().len())
    }

    /// Whether this is what a client that sends `stored` means, tags of earlier versions included.
    pub(super) fn is_made_of(&self, stored: &Self) -> bool {
        self.tags.are_made_of(&stored.tags) && *self == Self { tags: self.tags.clone(), ..stored.clone() }
    }

    /// Takes over what a patch says.
    pub fn apply(&mut self, patch: Patch) {
        fn set<T>(field: &mut T, new: Option<T>) {
            if let Some(new) = new {
                *field = new;
            }
        }
        set(&mut self.title, patch.title);
        set(&mut self.description, patch.description);
        set(&mut self.completed, patch.completed);
        set(&mut self.priority, patch.priority);
        set(&mut self.tags, patch.tags);
        set(&mut self.due_date, patch.due_date);
        set(&mut self.position, patch.position);
    }
}

impl NewTask {
    /// A task with a title and nothing else.
    #[must_use]
    pub fn titled(id: TaskId, title: Title) -> Self {
        Self { id, content: TaskContent::titled(title) }
    }

    /// The task it makes.
    #[must_use]
    pub fn make(&self, now: Timestamp, version: Seq) -> Task {
        let content = self.content.clone();
        let completed_at = content.completed.then_some(now);
        Task { id: self.id, content, completed_at, created_at: now, updated_at: now, version }
    }

    /// Whether `task` is what this create makes: the same request sent twice.
    pub(crate) fn made(&self, task: &Task) -> bool {
        self.id == task.id && self.content.is_made_of(&task.content)
    }
}

/// Bytes of a task in a store beside its texts: ids, instants, and their part of the indexes.
pub(crate) const STORED_ROW: usize = 128;

impl Task {
    /// Bytes that it takes in a store, about.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        STORED_ROW + self.content.text_bytes()
    }

    /// This task after a change at `now` that takes `version`. The instant it was done stays while it stays done.
    pub(crate) fn patched(&self, patch: &Patch, now: Timestamp, version: Seq) -> Self {
        let mut content = self.content.clone();
        content.apply(patch.clone());
        let completed_at = content.completed.then(|| self.completed_at.unwrap_or(now));
        Self { content, completed_at, updated_at: now, version, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_takes_no_more_memory_than_its_fields() {
        assert_eq!((size_of::<TaskContent>(), size_of::<Task>()), (64, 112));
    }
}
