//! A user's tasks, counted.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use chrono::TimeZone;
use serde::Serialize;

use crate::domain::{Priority, Timestamp, fold};
use crate::lane::Snapshot;

/// Exact counts of a user's tasks, as of one seq.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Not done.
    pub open: usize,
    /// Done.
    pub completed: usize,
    /// Not done, and due in the past.
    pub overdue: usize,
    /// Not done, and due today.
    pub due_today: usize,
    /// Not done, by priority; those without one under `none`.
    pub by_priority: ByPriority,
    /// Not done, by tag. Tags that are the same when folded count together, as the oldest of the tasks has it.
    pub by_tag: BTreeMap<String, usize>,
    /// The seq at which this is true.
    pub seq: i64,
}

/// Counts by priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByPriority {
    /// Least.
    pub low: usize,
    /// In between.
    pub medium: usize,
    /// More.
    pub high: usize,
    /// Most.
    pub urgent: usize,
    /// Without one.
    pub none: usize,
}

/// Counts tasks by tag.
#[derive(Default)]
struct TagCounts<'a> {
    /// By every spelling: the index of its count. So each is folded once, however many tasks have it.
    spellings: HashMap<&'a str, usize>,
    /// By the folded form: the same.
    folded: HashMap<Cow<'a, str>, usize>,
    counts: Vec<TagCount<'a>>,
}

struct TagCount<'a> {
    /// As the last counted task has it.
    tag: &'a str,
    tasks: usize,
    /// The number of the last counted task: tasks of earlier versions may have a tag in two spellings.
    last: usize,
}

impl<'a> TagCounts<'a> {
    /// Counts the tags of the task with this number, which is above that of every task before.
    fn add(&mut self, number: usize, tags: &'a [Box<str>]) {
        for tag in tags {
            let index = *self.spellings.entry(tag).or_insert_with(|| {
                *self.folded.entry(fold(tag)).or_insert_with(|| {
                    self.counts.push(TagCount { tag, tasks: 0, last: 0 });
                    self.counts.len() - 1
                })
            });
            let count = &mut self.counts[index];
            if count.last != number {
                *count = TagCount { tag, tasks: count.tasks + 1, last: number };
            }
        }
    }
}

impl Snapshot {
    /// Counts the tasks. `zone` decides which day `now` is.
    #[must_use]
    pub fn summary<Z: TimeZone>(&self, now: Timestamp, zone: &Z) -> Summary {
        let today = now.to_datetime().with_timezone(zone).date_naive();
        let mut summary = Summary { seq: self.seq().get(), ..Summary::default() };
        let mut tags = TagCounts::default();
        for task in self.newest_first().map(|entry| &entry.task) {
            if task.content.completed {
                summary.completed += 1;
                continue;
            }
            summary.open += 1;
            if let Some(due) = task.content.due_date.as_ref().map(crate::domain::DueDate::due) {
                summary.overdue += usize::from(due.is_over(now, today));
                summary.due_today += usize::from(due.day_in(zone) == today);
            }
            *match task.content.priority {
                Some(Priority::Low) => &mut summary.by_priority.low,
                Some(Priority::Medium) => &mut summary.by_priority.medium,
                Some(Priority::High) => &mut summary.by_priority.high,
                Some(Priority::Urgent) => &mut summary.by_priority.urgent,
                None => &mut summary.by_priority.none,
            } += 1;
            tags.add(summary.open, task.content.tags.as_slice());
        }
        summary.by_tag = tags.counts.into_iter().map(|count| (count.tag.to_owned(), count.tasks)).collect();
        summary
    }
}
