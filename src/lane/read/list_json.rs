//! The JSON around a list's tasks.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::task_entry::TaskEntry;

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
        body.extend_from_slice(b"{\"tasks\":[");
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
        body.extend_from_slice(format!("],\"count\":{count},\"total\":{total},\"next_cursor\":").as_bytes());
        serde_json::to_writer(&mut body, &next).expect("text is always valid JSON");
        body.push(b'}');
        body.shrink_to_fit();
        body.into()
    }
}
