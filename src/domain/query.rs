//! Which tasks of a list are wanted, in which order, and from where on.

use std::cmp::{Ordering, Reverse};

use super::{Due, Priority, Seq, Task, TaskId, Timestamp};

/// What a list is narrowed to. An unset field narrows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only done ones, or only open ones.
    pub completed: Option<bool>,
    /// Only those of this priority.
    pub priority: Option<Priority>,
    /// Only those that have every one of these tags.
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

/// What a list is sorted by. Ties are broken by id; tasks without the value come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// When it was made.
    CreatedAt,
    /// When it last changed.
    UpdatedAt,
    /// When it is due.
    DueDate,
    /// How much it matters.
    Priority,
    /// Its title, folded by [`fold`].
    Title,
    /// The client's own key, byte by byte.
    Position,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub field: Field,
    /// From the greatest down, ids included.
    pub descending: bool,
}

impl Default for Sort {
    /// Newest first.
    fn default() -> Self {
        Self { field: Field::CreatedAt, descending: true }
    }
}

/// Where a task stands in an order: the value it is sorted by, `None` if it has none, then its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorPosition {
    /// The value.
    pub key: Option<SortKey>,
    /// The task.
    pub id: TaskId,
}

/// A value to sort by. One order only ever compares values of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortKey {
    /// An instant or a rank.
    Number(i64),
    /// A text.
    Text(String),
}

impl Filter {
    /// Whether it lets every task through.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it lets this task through.
    #[must_use]
    pub fn matches(&self, task: &Task) -> bool {
        let due = || task.due_date.as_ref().map(super::DueDate::order);
        self.completed.is_none_or(|completed| completed == task.completed)
            && self.priority.is_none_or(|priority| Some(priority) == task.priority)
            && self.updated_since.is_none_or(|seq| task.version > seq)
            && self.due_before.is_none_or(|limit| due().is_some_and(|due| due < limit.order()))
            && self.due_after.is_none_or(|limit| due().is_some_and(|due| due > limit.order()))
            && self.tags.iter().all(|tag| task.tags.contains(tag))
            && self.search.as_ref().is_none_or(|text| holds(task, text))
    }
}

fn holds(task: &Task, folded: &str) -> bool {
    let tags = task.tags.as_slice().iter().map(|tag| &**tag);
    let description = task.description.as_ref().map(super::Description::as_str);
    let mut texts = std::iter::once(task.title.as_str()).chain(description).chain(tags);
    texts.any(|text| fold(text).contains(folded))
}

/// Folds case, so that texts can be compared without it: by character, to upper and then to lower case,
/// which makes `ß` and `SS`, or the two small sigmas, the same (after Unicode, section 5.18).
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

impl Sort {
    /// Reads a field's name, with `-` before it for descending order.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        let field = match name {
            "created_at" => Field::CreatedAt,
            "updated_at" => Field::UpdatedAt,
            "due_date" => Field::DueDate,
            "priority" => Field::Priority,
            "title" => Field::Title,
            "position" => Field::Position,
            _ => return None,
        };
        Some(Self { field, descending })
    }

    /// The name it is read from.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.field, self.descending) {
            (Field::CreatedAt, false) => "created_at",
            (Field::CreatedAt, true) => "-created_at",
            (Field::UpdatedAt, false) => "updated_at",
            (Field::UpdatedAt, true) => "-updated_at",
            (Field::DueDate, false) => "due_date",
            (Field::DueDate, true) => "-due_date",
            (Field::Priority, false) => "priority",
            (Field::Priority, true) => "-priority",
            (Field::Title, false) => "title",
            (Field::Title, true) => "-title",
            (Field::Position, false) => "position",
            (Field::Position, true) => "-position",
        }
    }

    /// Where a task stands in this order.
    #[must_use]
    pub fn position_of(self, task: &Task) -> CursorPosition {
        let time = |instant: Timestamp| SortKey::Number(instant.as_micros());
        let key = match self.field {
            Field::CreatedAt => Some(time(task.created_at)),
            Field::UpdatedAt => Some(time(task.updated_at)),
            Field::DueDate => task.due_date.as_ref().map(|due| time(due.order())),
            Field::Priority => task.priority.map(|priority| SortKey::Number(priority as i64)),
            Field::Title => Some(SortKey::Text(fold(task.title.as_str()))),
            Field::Position => {
                task.position.as_ref().map(|position| SortKey::Text(position.as_str().to_owned()))
            }
        };
        CursorPosition { key, id: task.id }
    }

    /// Which of two places comes first.
    #[must_use]
    pub fn compare(self, one: &CursorPosition, other: &CursorPosition) -> Ordering {
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
    fn folding_makes_case_irrelevant_in_every_script() {
        assert_eq!(fold("Straße"), fold("STRASSE"));
        assert_eq!(fold("ΟΔΥΣΣΕΥΣ"), fold("οδυσσευς"));
        assert_eq!(fold("İstanbul"), fold("i\u{307}stanbul"));
        assert_ne!(fold("a"), fold("á"));
    }

    #[test]
    fn every_order_is_read_by_the_name_it_writes() {
        for name in ["created_at", "updated_at", "due_date", "priority", "title", "position"] {
            for name in [name.to_owned(), format!("-{name}")] {
                assert_eq!(Sort::parse(&name).unwrap().name(), name);
            }
        }
        assert_eq!(Sort::parse("id"), None);
        assert_eq!(Sort::parse("--title"), None);
    }

    #[test]
    fn what_has_no_value_comes_last_in_both_directions() {
        let id = TaskId::generate();
        let (some, none) =
            (CursorPosition { key: Some(SortKey::Number(1)), id }, CursorPosition { key: None, id });
        for sort in ["due_date", "-due_date"] {
            assert_eq!(Sort::parse(sort).unwrap().compare(&some, &none), Ordering::Less, "{sort}");
        }
    }
}
