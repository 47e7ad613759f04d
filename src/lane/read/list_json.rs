//! The JSON around a list's tasks.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::task_entry::TaskEntry;
use super::task_json::render;
use crate::domain::Task;

/// Up to so many bytes, some 1,300 usual tasks, a list's body is made once and kept; a larger one is made while it
/// is sent.
pub(crate) const READY: usize = 512 << 10;

/// What precedes the tasks of a list's body.
pub(crate) const START: &[u8] = b"{\"tasks\":[";

/// A list's body in the making: `{"tasks":[…],"count":n,"total":n,"next_cursor":…}`.
pub(crate) struct ListJson {
    body: Vec<u8>,
    count: usize,
}

impl ListJson {
    /// The body of a list of these entries; `total` and `next` are as for [`ListJson::close`].
    pub(crate) fn of<'a>(
        entries: impl Iterator<Item = &'a Arc<TaskEntry>> + Clone,
        total: usize,
        next: Option<&str>,
    ) -> Bytes {
        let mut list = Self::new(entries.clone().map(|entry| entry.json.len() + 1).sum());
        for entry in entries {
            list.add(|body| body.extend_from_slice(&entry.json));
        }
        list.close(total, next)
    }

    /// With room for `size` bytes of tasks.
    pub(crate) fn new(size: usize) -> Self {
        let mut body = Vec::with_capacity(size + 96);
        body.extend_from_slice(START);
        Self { body, count: 0 }
    }

    /// Adds the task that `write` appends; returns its range in the body.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        if self.count > 0 {
            self.body.push(b',');
        }
        self.count += 1;
        let start = self.body.len();
        write(&mut self.body);
        start..self.body.len()
    }

    /// The finished body: `total` tasks on all pages, `next` is the next page's cursor.
    pub(crate) fn close(self, total: usize, next: Option<&str>) -> Bytes {
        let Self { mut body, count } = self;
        body.extend_from_slice(&end(count, total, next));
        body.shrink_to_fit();
        body.into()
    }
}

/// What follows the tasks of a list's body.
pub(crate) fn end(count: usize, total: usize, next: Option<&str>) -> Vec<u8> {
    let mut end = format!("],\"count\":{count},\"total\":{total},\"next_cursor\":").into_bytes();
    serde_json::to_writer(&mut end, &next).expect("text is always valid JSON");
    end.push(b'}');
    end
}

/// The longest task's JSON, about: with room for one more a full block need not grow.
const LONGEST: usize = 16 << 10;

/// Renders tasks, newest first. Each task's JSON is in memory once: as a slice of the list's body, if that is not
/// large, or else of a block.
pub(crate) fn render_all(tasks: Vec<Task>, subject: &str) -> (Vec<Arc<TaskEntry>>, Option<Bytes>) {
    let total = tasks.len();
    let mut entries = Vec::with_capacity(total);
    let mut tasks = tasks.into_iter();
    loop {
        let is_first = entries.is_empty();
        let mut block = ListJson::new((tasks.len() * 512).min(READY + LONGEST));
        let mut ranges = Vec::new();
        for task in tasks.by_ref() {
            let range = block.add(|json| render(json, &task, subject));
            let full = range.end > READY;
            ranges.push((task, range));
            if full {
                break;
            }
        }
        let block = block.close(total, None);
        let entry = |(task, range)| Arc::new(TaskEntry { task: Arc::new(task), json: block.slice(range) });
        entries.extend(ranges.into_iter().map(entry));
        if tasks.len() == 0 {
            return (entries, is_first.then_some(block));
        }
    }
}
