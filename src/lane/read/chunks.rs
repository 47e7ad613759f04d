//! A body with many tasks, made in chunks while it is sent: however large it is, one chunk of it is in memory.

use std::sync::Arc;
use std::vec::IntoIter;

use bytes::Bytes;

use super::pinned::Pinned;
use super::task_entry::{Age, TaskEntry};

/// Bytes of one chunk, about.
const CHUNK: usize = 64 << 10;

/// A body with tasks.
pub enum TasksBody {
    /// Ready made.
    Ready(Bytes),
    /// Made while it is sent.
    Chunks(Chunks),
}

/// A body of tasks between a start and an end.
pub struct Chunks {
    start: Option<Vec<u8>>,
    tasks: Tasks,
    end: Option<Vec<u8>>,
    left: usize,
    length: usize,
}

/// Where the tasks come from.
enum Tasks {
    /// All tasks of a version, newest first; those from this age on are done.
    Version(Pinned, Option<Age>),
    /// These.
    Entries(IntoIter<Arc<TaskEntry>>),
}

/// The version was let go ([`Pinned`]): the body cannot be finished.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the tasks have changed too much since the answer began")]
pub struct VersionGone;

impl Chunks {
    /// Of all tasks of a version, of which `json` is all they take.
    pub(crate) fn of_version(
        pinned: Pinned,
        (count, json): (usize, usize),
        start: Vec<u8>,
        end: Vec<u8>,
    ) -> Self {
        Self::new(Tasks::Version(pinned, None), (count, json), start, end)
    }

    /// Of these tasks.
    pub(crate) fn of_entries(entries: Vec<Arc<TaskEntry>>, start: Vec<u8>, end: Vec<u8>) -> Self {
        let size = (entries.len(), entries.iter().map(|entry| entry.json.len()).sum());
        Self::new(Tasks::Entries(entries.into_iter()), size, start, end)
    }

    fn new(tasks: Tasks, (count, json): (usize, usize), start: Vec<u8>, end: Vec<u8>) -> Self {
        let length = start.len() + json + count.saturating_sub(1) + end.len();
        Self { start: Some(start), tasks, end: Some(end), left: count, length }
    }

    /// Bytes that it keeps in memory until it is sent; `None` for a version, which is bounded by itself.
    #[must_use]
    pub fn keeps(&self) -> Option<usize> {
        matches!(self.tasks, Tasks::Entries(_)).then_some(self.length)
    }

    /// Bytes of the whole body.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }
}

impl Iterator for Chunks {
    type Item = Result<Bytes, VersionGone>;

    fn next(&mut self) -> Option<Self::Item> {
        self.end.as_ref()?;
        let mut chunk = self.start.take().unwrap_or_default();
        let left = &mut self.left;
        let mut add = |entry: &TaskEntry| {
            chunk.extend_from_slice(&entry.json);
            *left -= 1;
            if *left > 0 {
                chunk.push(b',');
            }
            chunk.len() < CHUNK
        };
        match &mut self.tasks {
            Tasks::Entries(entries) => {
                entries.by_ref().take_while(|entry| add(entry)).for_each(drop);
            }
            Tasks::Version(pinned, done) => {
                let Some(snapshot) = pinned.snapshot() else { return Some(Err(VersionGone)) };
                let oldest = snapshot.newest_from(*done).find(|entry| !add(entry));
                *done = oldest.map(|entry| entry.age());
            }
        }
        if self.left == 0 {
            chunk.append(&mut self.end.take()?);
        }
        Some(Ok(chunk.into()))
    }
}
