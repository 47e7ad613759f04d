//! Batches as columns of a commit's parameters, and a large one in slices.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::rows::{KeyColumns, TombstoneColumns};
use super::task_row::TaskColumns;
use crate::domain::{Change, Task};
use crate::store::Batch;
use crate::store::batch::{LARGE, cost_of_change, fitting};

/// A seq that no user has: a batch that expects it is not applied, but recognised if it was applied
/// earlier.
const NEVER: i64 = -1;

/// Changes in parts that each fit a usual group; one part if there are none.
pub(super) fn slices(changes: &[Change<Arc<Task>>]) -> Vec<&[Change<Arc<Task>>]> {
    let (mut slices, mut rest) = (Vec::new(), changes);
    loop {
        let fitting = fitting(rest.iter().map(cost_of_change), LARGE);
        let (slice, others) = rest.split_at(fitting.min(rest.len()));
        slices.push(slice);
        if others.is_empty() {
            return slices;
        }
        rest = others;
    }
}

/// A group's batches as columns of parameters.
#[derive(Default)]
pub(super) struct Group<'a> {
    pub(super) users: Vec<Uuid>,
    subjects: Vec<&'a str>,
    emails: Vec<Option<&'a str>>,
    expected: Vec<i64>,
    reached: Vec<i64>,
    batches: Vec<Uuid>,
    key_bytes: Vec<i64>,
    put: TaskColumns<'a>,
    gone: TombstoneColumns,
    keys: KeyColumns<'a>,
}

impl<'a> Group<'a> {
    pub(super) fn of(batches: &'a [Arc<Batch>], epoch: u64) -> Self {
        let mut group = Self::default();
        let mut emails = HashSet::new();
        for batch in batches {
            // Of two users with the same address, the first in the group keeps it.
            let email = batch.storable_email().filter(|email| emails.insert(*email));
            group.push_batch(batch, batch.id, epoch, email);
            group.push_changes(batch.user.as_uuid(), &batch.changes);
        }
        group
    }

    /// A batch without its changes.
    pub(super) fn push_batch(&mut self, batch: &'a Batch, id: Uuid, epoch: u64, email: Option<&'a str>) {
        let expected = if batch.epoch == epoch { batch.expected.get() } else { NEVER };
        self.push_row(batch, id, expected);
        self.emails.push(email);
        self.key_bytes.push(batch.key_bytes());
        batch.keys.iter().for_each(|key| self.keys.push(batch.user.as_uuid(), key));
    }

    /// A later slice of a batch, at the seq that its first one reached.
    pub(super) fn push_slice(&mut self, batch: &'a Batch, id: Uuid) {
        self.push_row(batch, id, batch.reached.get());
        self.emails.push(None);
        self.key_bytes.push(0);
    }

    fn push_row(&mut self, batch: &'a Batch, id: Uuid, expected: i64) {
        self.users.push(batch.user.as_uuid());
        self.subjects.push(&batch.subject);
        self.expected.push(expected);
        self.reached.push(batch.reached.get());
        self.batches.push(id);
    }

    pub(super) fn push_changes(&mut self, user: Uuid, changes: &'a [Change<Arc<Task>>]) {
        for change in changes {
            match change {
                Change::Put(task) => self.put.push(user, task),
                Change::Delete { id, seq, at } => self.gone.push(user, *id, *seq, *at),
            }
        }
    }

    /// In the order of the statement's parameters.
    pub(super) fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![
            &self.users,
            &self.subjects,
            &self.emails,
            &self.expected,
            &self.reached,
            &self.batches,
            &self.key_bytes,
        ];
        params.extend(self.gone.params());
        params.extend(self.keys.params());
        params.extend(self.put.params());
        params
    }
}
