//! What is committed: one user's writes with the replies stored under their keys, and the outcome.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::domain::{Change, Cost, Seq, Task, Timestamp, UserId};

/// Approximate bytes of a row of a task, a deletion or a key, apart from its texts.
pub(super) const TOMBSTONE_ROW: usize = 48;
pub(super) const KEY_ROW: u32 = 100;

/// A batch above this, and one that erases, is committed apart from the usual groups.
pub(super) const LARGE: Cost = Cost::new(1_000, 1 << 20);

/// So many tasks are not large, whatever is in them: most batches need not be looked through.
const FEW: usize = 64;

/// One user's writes of one commit, as the user's lane planned them: all are applied, or none.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Identifies the batch: one that is sent twice is applied once, and recognised by this.
    pub id: Uuid,
    /// The user whose tasks it changes.
    pub user: UserId,
    /// The user's subject, for a user who has no row yet.
    pub subject: Arc<str>,
    /// The user's new e-mail address; `None` leaves the stored one unchanged.
    pub email: Option<Arc<str>>,
    /// The store's epoch when the state that the batch was planned on was read.
    pub epoch: u64,
    /// The seq the batch was planned at: the fence.
    pub expected: Seq,
    /// The seq after the batch: `expected` plus the number of changes. It equals `expected` if the batch
    /// only stores keys.
    pub reached: Seq,
    /// Whether all of the user's data (tasks, tombstones, keys, e-mail address) is removed first. The
    /// horizon then becomes `reached`.
    pub erase: bool,
    /// The final state of every task that changes, each task once.
    pub changes: Vec<Change<Arc<Task>>>,
    /// Replies to store under the clients' keys.
    pub keys: Vec<KeyRecord>,
}

/// The reply to a write, stored under the client's idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The client's key, unique per user.
    pub key: Arc<str>,
    /// A digest of the request.
    pub fingerprint: [u8; 32],
    /// The reply in the lane's encoding: UTF-8 text.
    pub answer: Bytes,
    /// When it was stored.
    pub at: Timestamp,
}

impl KeyRecord {
    /// The bytes that it takes in the store, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        KEY_ROW as usize + self.key.len() + self.answer.len()
    }
}

/// The bytes of these keys, as stored with their user.
pub(super) fn key_bytes(keys: &[KeyRecord]) -> i64 {
    let bytes: usize = keys.iter().map(KeyRecord::bytes).sum();
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The bytes that a task takes in the store, roughly.
pub(super) fn bytes_of_task(task: &Task) -> usize {
    task.stored_bytes()
}

/// The row of a change, and its bytes.
pub(super) fn cost_of_change(change: &Change<Arc<Task>>) -> Cost {
    match change {
        Change::Put(task) => Cost::new(1, bytes_of_task(task)),
        Change::Delete { .. } => Cost::new(1, TOMBSTONE_ROW),
    }
}

/// How many of the first of these are within a limit together: at least one.
pub(super) fn fitting(costs: impl Iterator<Item = Cost>, most: Cost) -> usize {
    let mut all = Cost::default();
    let fits = |cost| {
        all = all + cost;
        all.is_within(most)
    };
    costs.map(fits).take_while(|fits| *fits).count().max(1)
}

impl Batch {
    /// The rows to write, and their bytes.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let of_keys = self.keys.iter().map(|key| Cost::new(1, key.bytes()));
        self.changes.iter().map(cost_of_change).chain(of_keys).sum()
    }

    /// The bytes of its keys.
    pub(super) fn key_bytes(&self) -> i64 {
        key_bytes(&self.keys)
    }

    /// Whether it may take long to commit. No other batch waits for such a one.
    #[must_use]
    pub fn is_large(&self) -> bool {
        let few = self.changes.len() <= FEW && self.keys.is_empty();
        self.erase || !few && !self.cost().is_within(LARGE)
    }

    /// The e-mail address, unless a store cannot keep it: at most 320 characters (RFC 3696, erratum 1690),
    /// no U+0000. An address is never a reason to refuse a write.
    pub(super) fn storable_email(&self) -> Option<&str> {
        self.email
            .as_deref()
            .filter(|email| (1..=320).contains(&email.chars().count()) && !email.contains('\0'))
    }
}

/// What became of one [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Applied and durable, by this call or an earlier one with the same batch id.
    Committed,
    /// Not applied: the user's seq is not the expected one, or a key is already stored (another process
    /// wrote).
    Conflict,
    /// Not applied, and never will be: a constraint, or a value the store cannot keep. The reason contains
    /// no user text.
    Rejected(String),
    /// Not applied: the store cannot be reached, or cannot take writes at present.
    Unavailable(String),
    /// In doubt: the connection broke, or time ran out, after the batch was sent. It may have been applied,
    /// or may be applied yet. Sending the same batch again is safe and gives the answer.
    Unknown(String),
}
