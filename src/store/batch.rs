//! What is committed: one user's writes, the answers kept with them, and what became of them.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::domain::{Change, Seq, Task, Timestamp, UserId};

/// One user's writes of one commit: what the user's lane decided, to be applied wholly or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Names this batch for ever: a batch sent twice is applied once, and known again by this.
    pub id: Uuid,
    /// Whose tasks they are.
    pub user: UserId,
    /// The user's subject, for the row of a user who has none yet.
    pub subject: Arc<str>,
    /// The e-mail address to keep with the user, where it is to change; `None` leaves what is stored.
    pub email: Option<Arc<str>>,
    /// The store's epoch when the state was read that the decisions were made on.
    pub epoch: u64,
    /// The seq the decisions were made at: the fence.
    pub expected: Seq,
    /// The seq once they are applied; `expected` plus the number of accepted writes. It is `expected` itself
    /// where only keys are to be kept.
    pub reached: Seq,
    /// Whether everything the user has (tasks, tombstones, keys, e-mail address) is removed first. The
    /// horizon then moves to `reached`.
    pub erase: bool,
    /// The last state of every task they touch, each task once.
    pub changes: Vec<Change<Arc<Task>>>,
    /// Answers to be found again by the client's keys.
    pub keys: Vec<KeyRecord>,
}

/// The answer to a write, kept under the key its client gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The client's key; unique for its user.
    pub key: Arc<str>,
    /// A digest of the request.
    pub fingerprint: [u8; 32],
    /// The answer, in the lane's own form: UTF-8 text.
    pub answer: Bytes,
    /// When it was kept.
    pub at: Timestamp,
}

impl Batch {
    /// The e-mail address to keep, if it is one a store can keep: 320 characters at most (RFC 3696,
    /// erratum 1690) and no U+0000. An address is never a reason to refuse a write.
    pub(super) fn storable_email(&self) -> Option<&str> {
        self.email
            .as_deref()
            .filter(|email| (1..=320).contains(&email.chars().count()) && !email.contains('\0'))
    }
}

/// What became of one [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Applied and durable, by this call or by an earlier one with the same batch id.
    Committed,
    /// The user's seq is not the expected one, or a key is stored already (another process wrote). Not applied.
    Conflict,
    /// The store will never take this batch (a constraint, a value it cannot keep). Not applied.
    /// The reason holds no user text.
    Rejected(String),
    /// The store could not be reached, or refused work for now. Not applied.
    Unavailable(String),
    /// The connection broke, or time ran out, after the batch was sent: it may or may not be applied,
    /// now or a little later. Sending the same batch again is safe and tells.
    Unknown(String),
}
