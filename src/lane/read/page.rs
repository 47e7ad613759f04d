//! Lists: filtered, sorted, cut into pages.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chunks::{Chunks, TasksBody};
use super::list_json::{ListJson, READY, START, end};
use super::snapshot::Snapshot;
use super::task_entry::{Age, TaskEntry};
use crate::domain::{
    CursorPosition, Filter, Lineage, Rank, Sort, SortField, SortKey, Task, TaskId, Timestamp,
};
use crate::lane::limits::MANY_TASKS;

/// What one slice of a [`Selection`] looks at, some milliseconds at the most: tasks, or so many times [`TEXT`].
const SLICE: usize = 256;

/// Bytes of text that count as a task where texts are folded. The worst ones, of characters that stand for eighteen
/// others, take a hundred times as long as ASCII.
const TEXT: usize = 128;

/// What is asked of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Which tasks.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// At most how many; `None` for all of them.
    pub limit: Option<usize>,
    /// Only what comes after this position: that of the previous page's last task, which may be gone.
    pub after: Option<CursorPosition>,
}

impl Query {
    /// Whether a task costs what its texts are long, not next to nothing.
    fn reads_texts(&self) -> bool {
        self.filter.reads_texts() || self.sort.field == SortField::Title
    }

    /// What the look at a task costs.
    fn cost_of(&self, task: &Task) -> usize {
        if self.reads_texts() { 1 + task.content.text_bytes() / TEXT } else { 1 }
    }
}

/// An answer to a [`Query`].
#[derive(Debug)]
pub struct Page {
    /// The tasks, in order.
    pub entries: Vec<Arc<TaskEntry>>,
    /// How many tasks match, on all pages together.
    pub total: usize,
    /// Where the next page starts, if there is one.
    pub next: Option<CursorPosition>,
    sort: Sort,
    lineage: Lineage,
}

/// A task that matches, and where it stands in the order.
type Matching = (Rank, Arc<TaskEntry>);

impl Page {
    fn new(entries: Vec<Arc<TaskEntry>>, total: usize, (sort, lineage): (Sort, Lineage), more: bool) -> Self {
        let next = entries.last().filter(|_| more).map(|last| sort.position_of(&last.task));
        Self { entries, total, next, sort, lineage }
    }

    /// Sorts what matches and cuts the page out.
    fn cut(query: &Query, lineage: Lineage, mut matches: Vec<Matching>) -> Self {
        let (limit, total) = (query.limit.unwrap_or(usize::MAX), matches.len());
        if let Some(after) = query.after.clone().map(|after| query.sort.rank(after)) {
            matches.retain(|(at, _)| query.sort.compare(at, &after).is_gt());
        }
        let more = matches.len() > limit;
        if more {
            // Moves the page's tasks before all others, in any order: the others need not be sorted.
            matches.select_nth_unstable_by(limit, |(one, _), (other, _)| query.sort.compare(one, other));
            matches.truncate(limit);
        }
        matches.sort_unstable_by(|(one, _), (other, _)| query.sort.compare(one, other));
        let entries = matches.into_iter().map(|(_, entry)| entry).collect();
        Self::new(entries, total, (query.sort, lineage), more)
    }

    /// The cursor of the next page, if there is one.
    #[must_use]
    pub fn next_cursor(&self) -> Option<String> {
        self.next.as_ref().map(|next| cursor(self.sort, next, Some(self.lineage)))
    }

    /// The page as a list's body: `{"tasks":[…],"count":n,"total":n,"next_cursor":…}`.
    ///
    /// # Panics
    /// Never: a cursor is plain text.
    #[must_use]
    pub fn body(self) -> TasksBody {
        let next = self.next_cursor();
        if self.entries.iter().map(|entry| entry.json.len()).sum::<usize>() <= READY {
            return TasksBody::Ready(ListJson::of(self.entries.iter(), self.total, next.as_deref()));
        }
        let end = end(self.entries.len(), self.total, next.as_deref());
        TasksBody::Chunks(Chunks::of_entries(self.entries, START.to_vec(), end))
    }
}

impl Snapshot {
    /// Whether a handler may make the page itself.
    #[must_use]
    pub fn selects_quickly(&self, query: &Query) -> bool {
        if query.reads_texts() { self.is_small() } else { self.len() <= MANY_TASKS }
    }

    /// The tasks a query asks for.
    #[must_use]
    pub fn select(&self, query: &Query) -> Page {
        self.usual_page(query).unwrap_or_else(|| {
            let mut matches = Vec::new();
            self.matching(query, None, usize::MAX, &mut matches);
            Page::cut(query, self.lineage(), matches)
        })
    }

    /// A page of the usual order, which the snapshot keeps: it costs what the page holds, not what the user has. `None`
    /// for another order, or where not every task matches.
    #[must_use]
    pub fn usual_page(&self, query: &Query) -> Option<Page> {
        if query.sort != Sort::default() || !query.filter.is_open() {
            return None;
        }
        let after = match &query.after {
            Some(CursorPosition { key: Some(SortKey::Number(micros)), id }) => {
                Some((Timestamp::from_micros(*micros), *id))
            }
            _ => None,
        };
        let mut entries = self.newest_from(after);
        let page: Vec<_> = entries.by_ref().take(query.limit.unwrap_or(usize::MAX)).cloned().collect();
        let more = entries.next().is_some();
        Some(Page::new(page, self.len(), (query.sort, self.lineage()), more))
    }

    /// Adds those of the next tasks that match, as many as may cost `most`. Returns the age of the last task looked at;
    /// `None` at the end.
    fn matching(
        &self,
        query: &Query,
        seen: Option<Age>,
        most: usize,
        matches: &mut Vec<Matching>,
    ) -> Option<Age> {
        let mut left = most;
        for entry in self.newest_from(seen) {
            if query.filter.matches(&entry.task) {
                let rank = query.sort.rank(query.sort.position_of(&entry.task));
                matches.push((rank, Arc::clone(entry)));
            }
            left = left.saturating_sub(query.cost_of(&entry.task));
            if left == 0 {
                return Some(entry.age());
            }
        }
        None
    }
}

/// A selection among many tasks, made in slices.
pub struct Selection {
    snapshot: Arc<Snapshot>,
    query: Query,
    seen: Option<Age>,
    matches: Vec<Matching>,
}

impl Selection {
    /// Of what the query asks for.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>, query: Query) -> Self {
        Self { snapshot, query, seen: None, matches: Vec::new() }
    }

    /// Looks at some more tasks; the page once all were looked at.
    pub fn step(&mut self) -> Option<Page> {
        self.seen = self.snapshot.matching(&self.query, self.seen, SLICE, &mut self.matches);
        let lineage = self.snapshot.lineage();
        self.seen.is_none().then(|| Page::cut(&self.query, lineage, std::mem::take(&mut self.matches)))
    }
}

/// A cursor's content. It is opaque to clients: base64url of a JSON list.
#[derive(Serialize, Deserialize)]
struct Cursor<'a>(
    Cow<'a, str>,
    Option<i64>,
    Option<Cow<'a, str>>,
    Uuid,
    // Earlier versions gave out cursors without a lineage.
    #[serde(default, skip_serializing_if = "Option::is_none")] Option<Cow<'a, str>>,
);

/// A cursor that a client gives back to get the next page of the tasks of this lineage.
///
/// # Panics
/// Never: a name, a key and an id are always valid JSON.
#[must_use]
pub fn cursor(sort: Sort, after: &CursorPosition, lineage: Option<Lineage>) -> String {
    let (number, text) = match &after.key {
        None => (None, None),
        Some(SortKey::Number(number)) => (Some(*number), None),
        Some(SortKey::Text(text)) => (None, Some(Cow::from(text))),
    };
    let lineage = lineage.map(|lineage| lineage.to_string().into());
    let cursor = Cursor(sort.to_string().into(), number, text, after.id.as_uuid(), lineage);
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).expect("a cursor is always valid JSON"))
}

/// Reads a cursor of this order, and its lineage; `None` if it is broken, or of another order.
#[must_use]
pub fn parse_cursor(sort: Sort, encoded: &str) -> Option<(CursorPosition, Option<Lineage>)> {
    let json = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let Cursor(name, number, text, id, lineage) = serde_json::from_slice(&json).ok()?;
    let lineage = match lineage {
        Some(lineage) => Some(Lineage::parse(&lineage)?),
        None => None,
    };
    let key = match (number, text) {
        (Some(number), None) => Some(SortKey::Number(number)),
        (None, Some(text)) => Some(SortKey::Text(text.into_owned())),
        (None, None) => None,
        (Some(_), Some(_)) => return None,
    };
    let after = CursorPosition { key, id: TaskId::from_uuid(id) };
    let is_ours = Sort::parse(&name) == Some(sort) && sort.field.takes(after.key.as_ref());
    // In no other spelling than that of [`cursor`].
    (is_ours && cursor(sort, &after, lineage) == encoded).then_some((after, lineage))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        DueDate, Filter, NewTask, Priority, Seq, SortField, StoreIdentity, TaskContent, Title,
    };
    use proptest::prelude::*;

    fn snapshot(seeds: &[(u8, u8, i64)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (seq, (title, priority, made)) in (1..).zip(seeds) {
            // Some are equal but for case, accents or form; "e\u{301}" and "é" are equal throughout.
            const TITLES: [&str; 8] = ["a", "A", "ä", "b-a", "e\u{301}", "é", "ss", "ß"];
            let title = Title::parse(TITLES[usize::from(title % 8)]).unwrap();
            let content = TaskContent {
                priority: Priority::ALL.get(usize::from(priority % 5)).copied(),
                due_date: DueDate::parse(&format!("2026-01-{:02}", 1 + priority % 9))
                    .filter(|_| made % 2 == 0),
                ..TaskContent::titled(title)
            };
            let new = NewTask { id: TaskId::generate(), content };
            let task = new.make(Timestamp::from_micros(made % 7), Seq::new(seq));
            snapshot.put(Arc::new(TaskEntry::new(task, "ann")));
        }
        snapshot
    }

    proptest! {
        #[test]
        fn pages_in_any_order_put_together_are_the_whole_list(
            seeds in prop::collection::vec((any::<u8>(), any::<u8>(), 0_i64..100), 0..40),
            limit in 1_usize..7,
            field in 0_usize..6,
            descending: bool,
            done in prop::option::of(any::<bool>()),
        ) {
            let snapshot = snapshot(&seeds);
            let sort = Sort { field: SortField::ALL[field], descending };
            let filter = Filter { completed: done, ..Filter::default() };
            let all = Query { filter: filter.clone(), sort, ..Query::default() };
            let whole: Vec<_> = snapshot.select(&all).entries.iter().map(|entry| entry.task.id).collect();
            let expected = seeds.len() * usize::from(done != Some(true));
            prop_assert_eq!(whole.len(), expected);

            let (mut paged, mut after) = (Vec::new(), None);
            loop {
                let query = Query { filter: filter.clone(), sort, limit: Some(limit), after };
                let page = snapshot.select(&query);
                prop_assert!(page.entries.len() <= limit);
                prop_assert_eq!(page.total, expected);
                paged.extend(page.entries.iter().map(|entry| entry.task.id));
                match page.next {
                    Some(next) => after = Some(parse_cursor(sort, &cursor(sort, &next, None)).unwrap().0),
                    None => break,
                }
            }
            prop_assert_eq!(paged, whole);
        }

        #[test]
        fn a_cursor_has_one_spelling(at in 0_usize..200, byte in prop_oneof![Just(b' '), any::<u8>()], title in "[a\u{e9}\"]{1,9}") {
            let sort = Sort { field: SortField::Title, descending: false };
            let after = CursorPosition { key: Some(SortKey::Text(title)), id: TaskId::generate() };
            let lineage = Some(StoreIdentity::default().lineage("ann"));
            let issued = cursor(sort, &after, lineage);
            prop_assert_eq!(parse_cursor(sort, &issued), Some((after, lineage)));
            // The list in it, written otherwise.
            let mut json = URL_SAFE_NO_PAD.decode(&issued).unwrap();
            json.insert(at % json.len(), byte);
            let other = URL_SAFE_NO_PAD.encode(json);
            if let Some((read, lineage)) = parse_cursor(sort, &other) {
                prop_assert_eq!(cursor(sort, &read, lineage), other);
            }
        }

        #[test]
        fn a_broken_cursor_is_refused_and_never_a_panic(text in "\\PC{0,60}") {
            let _ = parse_cursor(Sort::default(), &text);
        }
    }

    #[test]
    fn a_cursor_of_another_order_is_refused() {
        let after = CursorPosition { key: Some(SortKey::Number(5)), id: TaskId::generate() };
        let lineage = Some(StoreIdentity::default().lineage("ann"));
        let newest = cursor(Sort::default(), &after, lineage);
        assert_eq!(parse_cursor(Sort::default(), &newest), Some((after.clone(), lineage)));
        assert_eq!(parse_cursor(Sort { descending: false, ..Sort::default() }, &newest), None);
        assert_eq!(parse_cursor(Sort { field: SortField::Title, descending: true }, &newest), None);
        // As earlier versions gave them out.
        let bare = serde_json::to_vec(&("-created_at", 5, (), after.id.as_uuid())).unwrap();
        assert_eq!(parse_cursor(Sort::default(), &URL_SAFE_NO_PAD.encode(bare)), Some((after, None)));
    }
}
