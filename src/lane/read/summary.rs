//! A user's tasks, counted.

use std::collections::BTreeMap;

use chrono::TimeZone;
use serde::Serialize;

use crate::domain::{Priority, Timestamp};
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
    /// Not done, by tag.
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
    /// Most.
    pub high: usize,
    /// Without one.
    pub none: usize,
}

impl Snapshot {
    /// Counts the tasks. `zone` decides which day `now` is.
    #[must_use]
    pub fn summary<Z: TimeZone>(&self, now: Timestamp, zone: &Z) -> Summary {
        let today = now.to_datetime().with_timezone(zone).date_naive();
        let mut summary = Summary { seq: self.seq().get(), ..Summary::default() };
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
                None => &mut summary.by_priority.none,
            } += 1;
            for tag in task.content.tags.as_slice() {
                *summary.by_tag.entry(tag.to_string()).or_default() += 1;
            }
        }
        summary
    }
}
