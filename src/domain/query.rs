//! Which tasks a list shows, in which order, and where a page starts.

use std::cmp::{Ordering, Reverse};
use std::fmt;

use super::unicode::collation_key;
use super::{Due, Priority, Seq, SortField, SortKey, Task, TaskId, fold};

/// Which tasks a list shows. An unset field excludes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only done ones, or only open ones.
    pub completed: Option<bool>,
    /// Only those of this priority, or only those that have none.
    pub priority: Option<Option<Priority>>,
    /// Only those that have every one of these tags, folded by [`fold`].
    pub tags: Vec<String>,
    /// Only those due before this.
    pub due_before: Option<Due>,
    /// Only those due after this.
    pub due_after: Option<Due>,
    /// Only those changed after this seq.
    pub updated_since: Option<Seq>,
    /// Only those with this text, folded by [`fold`], in title, description or a tag.
    pub search: Option<String>,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub field: SortField,
    /// From the greatest to the least, ids included.
    pub descending: bool,
}

impl Default for Sort {
    /// Newest first.
    fn default() -> Self {
        Self { field: SortField::CreatedAt, descending: true }
    }
}

/// A task's position in an order: the value it is sorted by, `None` if it has none, then its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorPosition {
    /// The value.
    pub key: Option<SortKey>,
    /// The task.
    pub id: TaskId,
}

/// A position whose key compares byte by byte: a title's is its collation key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rank {
    key: Option<RankKey>,
    id: TaskId,
}

/// One order only ever compares keys of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RankKey {
    Number(i64),
    Bytes(Vec<u8>),
}

impl Filter {
    /// Whether every task matches.
    pub(crate) fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it folds the texts of every task.
    pub(crate) fn reads_texts(&self) -> bool {
        self.search.is_some() || !self.tags.is_empty()
    }

    /// Whether this task matches.
    pub(crate) fn matches(&self, task: &Task) -> bool {
        let content = &task.content;
        let due = || content.due_date.as_ref().map(super::DueDate::order);
        self.completed.is_none_or(|completed| completed == content.completed)
            && self.priority.is_none_or(|priority| priority == content.priority)
            && self.updated_since.is_none_or(|seq| task.version > seq)
            && self.due_before.is_none_or(|limit| due().is_some_and(|due| due < limit.order()))
            && self.due_after.is_none_or(|limit| due().is_some_and(|due| due > limit.order()))
            && self.tags.iter().all(|tag| content.tags.contains(tag))
            && self
                .search
                .as_ref()
                .is_none_or(|search| content.searched().any(|text| fold(text).contains(&**search)))
    }
}

impl fmt::Display for Sort {
    /// The name it is read from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.descending { "-" } else { "" }, self.field.name())
    }
}

impl Sort {
    /// Reads a field's name, with `-` before it for descending order.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        let field = SortField::ALL.into_iter().find(|field| field.name() == name)?;
        Some(Self { field, descending })
    }

    /// A task's position in this order.
    pub(crate) fn position_of(self, task: &Task) -> CursorPosition {
        CursorPosition { key: self.field.key_of(task), id: task.id }
    }

    /// A position as what compares fast.
    pub(crate) fn rank(self, at: CursorPosition) -> Rank {
        let key = at.key.map(|key| match key {
            SortKey::Number(number) => RankKey::Number(number),
            SortKey::Text(title) if self.field == SortField::Title => RankKey::Bytes(collation_key(&title)),
            SortKey::Text(text) => RankKey::Bytes(text.into_bytes()),
        });
        Rank { key, id: at.id }
    }

    /// Which of two ranks comes first.
    pub(crate) fn compare(self, one: &Rank, other: &Rank) -> Ordering {
        let unset_last = one.key.is_none().cmp(&other.key.is_none());
        let places = if self.descending {
            Reverse((&one.key, one.id)).cmp(&Reverse((&other.key, other.id)))
        } else {
            (&one.key, one.id).cmp(&(&other.key, other.id))
        };
        unset_last.then(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_read_by_the_name_it_writes() {
        for field in SortField::ALL {
            for descending in [false, true] {
                let sort = Sort { field, descending };
                assert_eq!(Sort::parse(&sort.to_string()), Some(sort));
            }
        }
        assert_eq!(Sort::default().to_string(), "-created_at");
        assert_eq!(Sort::parse("id"), None);
        assert_eq!(Sort::parse("--title"), None);
    }

    #[test]
    fn what_has_no_value_comes_last_in_both_directions() {
        let id = TaskId::generate();
        for name in ["due_date", "-due_date"] {
            let sort = Sort::parse(name).unwrap();
            let [some, none] =
                [Some(SortKey::Number(1)), None].map(|key| sort.rank(CursorPosition { key, id }));
            assert_eq!(sort.compare(&some, &none), Ordering::Less, "{name}");
        }
    }
}
