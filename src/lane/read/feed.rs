//! The change feed: what changed after a seq, in order.

use std::sync::Arc;

use imbl::OrdSet;

use super::snapshot::Snapshot;
use super::task_entry::{ById, ByVersion, TaskEntry};
use crate::domain::{Seq, TaskId};

/// The last change of a task.
#[derive(Clone, Debug)]
pub enum Event {
    /// It has this state now.
    Changed(Arc<TaskEntry>),
    /// It was deleted.
    Deleted(TaskId),
}

/// A stretch of the change feed.
#[derive(Debug)]
pub struct Changes {
    /// Every task that changed, in its latest form, and every deletion, by ascending seq.
    pub events: Vec<(Seq, Event)>,
    /// The seq to resume from.
    pub seq: Seq,
    /// Whether there is more.
    pub has_more: bool,
}

impl Snapshot {
    /// At most `limit` changes after `since`, and about `bytes` of tasks; `None` if they are not known: `since` lies
    /// before the horizon, where deletions are forgotten, or in the future.
    #[must_use]
    pub fn changes(&self, since: Seq, limit: usize, mut bytes: usize) -> Option<Changes> {
        if since < self.horizon || since > self.seq() {
            return None;
        }
        // One more of each than asked for, to see whether there is more.
        let changed = self.by_version().range(since.next()..).take(limit.saturating_add(1));
        let changed = changed.map(|ByVersion(entry)| (entry.task.version, Event::Changed(Arc::clone(entry))));
        let deleted = self.deleted.range(since.next()..).take(limit.saturating_add(1));
        let mut events: Vec<_> =
            changed.chain(deleted.map(|(seq, id)| (*seq, Event::Deleted(*id)))).collect();
        events.sort_unstable_by_key(|(seq, _)| *seq);
        let fit = events.iter().take_while(|(_, event)| {
            let fits = bytes > 0;
            bytes =
                bytes.saturating_sub(if let Event::Changed(entry) = event { entry.json.len() } else { 0 });
            fits
        });
        let fit = fit.count().min(limit);
        let has_more = events.len() > fit;
        events.truncate(fit);
        let last = events.last().map_or(self.seq(), |(seq, _)| *seq);
        Some(Changes { events, seq: if has_more { last } else { self.seq() }, has_more })
    }

    /// Makes the change feed. It takes long for many tasks, if nobody has asked for it before.
    pub fn make_feed(&self) {
        self.by_version();
    }

    /// Whether the change feed is at hand.
    #[must_use]
    pub fn has_feed(&self) -> bool {
        self.by_version.get().is_some()
    }

    pub(super) fn by_version(&self) -> &OrdSet<ByVersion> {
        self.by_version
            .get_or_init(|| self.by_id.iter().map(|ById(entry)| ByVersion(Arc::clone(entry))).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::domain::{NewTask, Timestamp, Title};

    #[test]
    fn the_feed_is_the_same_whenever_it_is_first_asked_for_and_stays_at_hand_once_it_was() {
        let entry = |number| {
            let title = Title::parse(&format!("t{number}")).unwrap();
            let task = NewTask::titled(TaskId::generate(), title);
            Arc::new(TaskEntry::new(task.make(Timestamp::from_micros(1), Seq::new(number)), "ann"))
        };
        let seqs = |snapshot: &Snapshot| {
            let changes = snapshot.changes(Seq::ZERO, 100, usize::MAX).unwrap();
            changes.events.into_iter().map(|(seq, _)| seq.get()).collect::<Vec<_>>()
        };
        let mut first = Snapshot::default();
        for number in 1..=40 {
            first.put(entry(number));
            first.advance(Seq::new(number));
        }
        let mut derived = first.clone();
        derived.put(entry(41));
        derived.advance(Seq::new(41));
        derived.follow(&first);
        assert!(!derived.has_feed(), "nobody has asked");
        assert_eq!(seqs(&first), (1..=40).collect::<Vec<_>>());
        derived.follow(&first);
        assert!(derived.has_feed(), "somebody asked for the one before");
        let gone = first.newest_first().next().unwrap().task.id;
        let mut last = derived.clone();
        last.delete(gone, Seq::new(42));
        last.advance(Seq::new(42));
        assert!(last.has_feed(), "it is kept up");
        let mut late = last.clone();
        late.by_version = OnceLock::new();
        late.advance(Seq::new(42));
        assert_eq!(seqs(&last), seqs(&late));
        assert_eq!(seqs(&last).len(), 41);
    }
}
