//! Where tasks are kept: one small trait, two implementations, one conformance suite (`tests/store/`).

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::domain::{Change, Seq, Tags, Task, TaskId, Timestamp, UserId};

pub mod check;
pub mod copy;
pub mod group_commit;
pub mod postgres;
pub mod retention;
pub mod sqlite;

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

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// The user's seq at the instant of the look-up; 0 for one who has never written.
    pub seq: Seq,
    /// What is kept under the key.
    pub record: Option<KeyRecord>,
}

impl Batch {
    /// The e-mail address to keep, if it is one a store can keep: 320 characters at most (RFC 3696,
    /// erratum 1690) and no U+0000. An address is never a reason to refuse a write.
    fn storable_email(&self) -> Option<&str> {
        self.email
            .as_deref()
            .filter(|email| (1..=320).contains(&email.chars().count()) && !email.contains('\0'))
    }
}

/// Tags as both stores keep them: a JSON list, or nothing at all for the many tasks without.
fn json_of_tags(tags: &Tags) -> Option<String> {
    // A list of texts is always valid JSON.
    (!tags.as_slice().is_empty()).then(|| serde_json::json!(tags.as_slice()).to_string())
}

/// Tags as they were kept; `None` if they cannot be read.
fn tags_of_json(json: &str) -> Option<Tags> {
    serde_json::from_str(json).ok().map(Tags::from_store)
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

/// Word from some process that a user has come to this seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Which user.
    pub user: UserId,
    /// The seq of a durable change.
    pub seq: Seq,
}

/// A user as stored, at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredUser {
    /// The subject the row was made for.
    pub subject: String,
    /// The e-mail address kept with it.
    pub email: Option<String>,
    /// The seq of the newest change.
    pub seq: Seq,
    /// The seq up to which deletions may be forgotten.
    pub horizon: Seq,
    /// Every task, in no particular order.
    pub tasks: Vec<Task>,
    /// Every deletion that is remembered, with its seq, in no particular order.
    pub tombstones: Vec<(Seq, TaskId)>,
}

/// Why a read or the start of a store failed: one line for the log. It names what to look at and
/// holds neither user text nor a secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// A state of the connections, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolState {
    /// Open connections.
    pub size: usize,
    /// Open and idle ones.
    pub idle: usize,
    /// Callers waiting for one.
    pub waiting: usize,
}

/// A durable store of users and their tasks.
///
/// # Contract
/// - **Fence.** A batch is applied only if the user's stored seq equals [`Batch::expected`] at that
///   instant (0 and no row at all are the same), and then the seq becomes [`Batch::reached`], all in
///   one atomic step. Two processes that commit for one user can therefore never interleave.
/// - **Epoch.** In another epoch than [`Batch::epoch`] nothing is applied: a store that has gone back may have come
///   to the same seq by other changes. A batch that was applied before is known again, any other one is a
///   [`Outcome::Conflict`]. A store that has but one epoch need not look.
/// - **Durability.** [`Outcome::Committed`] is returned only after the change survives a crash of
///   this process, of the store's and of the machine.
/// - **Idempotence.** A batch whose id is the user's last stored batch id is `Committed` again,
///   without effect.
/// - **Isolation.** Batches of one call share nothing but their fate on the way: a batch that is
///   refused, or that the store cannot keep, changes no other batch's outcome.
/// - **Tombstones.** A deletion leaves a tombstone, which [`Store::load`] gives back until it is purged or
///   the task is made again and deleted again. A task's older tombstone may stay beside it.
/// - **Erasure.** A batch that erases removes all rows of the user but the `users` row itself, whose seq
///   goes on, whose horizon becomes [`Batch::reached`] and whose e-mail address is cleared; then its own
///   changes and keys are applied.
/// - **Keys.** A key is stored with its batch, in the same step. Where another batch has stored one of a batch's
///   keys, that is a conflict as well: the seq alone cannot tell, since a batch of keys alone leaves it as it is. An
///   erasure removes the keys there are first.
/// - **Cancellation.** Dropping a returned future neither undoes nor stops a commit under way.
/// - **Time.** Every call ends by itself within the store's time-outs.
/// - **Runtime.** Every method may be called from any thread and any runtime.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads a user and all of the user's tasks as of one instant; `None` for one who has never written.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    async fn load(&self, user: UserId) -> Result<Option<StoredUser>, StoreError>;

    /// As [`Store::load`], with nothing but the tasks whose version, and the deletions whose seq, is above
    /// `seq`. Where the horizon is above `seq`, deletions are missing, and only a load tells everything.
    ///
    /// A store whose users no other process writes need not be quick about it: this reads all there is.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    async fn since(&self, user: UserId, seq: Seq) -> Result<Option<StoredUser>, StoreError> {
        let mut stored = self.load(user).await?;
        if let Some(stored) = &mut stored {
            stored.tasks.retain(|task| task.version > seq);
            stored.tombstones.retain(|(deleted, _)| *deleted > seq);
        }
        Ok(stored)
    }

    /// The newest seq of each of these users, as of one instant that lies within the call, in no particular
    /// order; one who has never written may be left out.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    async fn seqs(&self, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError>;

    /// Applies batches of different users and says what became of each, in the order given.
    /// No two may be of the same user. Calls may overlap: batches in doubt are sent again beside new ones.
    async fn commit(&self, batches: &[Arc<Batch>]) -> Vec<Outcome>;

    /// Says that the present thread will read often, and runs all its tasks itself, on a runtime with timers and I/O:
    /// a store may have something there that makes reads quicker. To be called on that runtime, on which this thread then
    /// does all its reads. What it has there ends with [`Store::close`], or with the runtime.
    fn attach_thread(&self) {}

    /// Counts how often the store has been found to be another one than before: another server, or one that
    /// was promoted or restored. What was read under a lower number need not be true any more, nor need a
    /// seq that is equal mean that the tasks are.
    fn epoch(&self) -> u64 {
        0
    }

    /// Looks an idempotency key up, as of one instant.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    async fn recall(&self, user: UserId, key: &str) -> Result<Recalled, StoreError>;

    /// Forgets tombstones made before `tombstones`, moving the horizons of their users, and keys kept
    /// before `keys`. Says how many of both went. It works in small steps that no commit waits for long;
    /// what a commit holds at that instant may stay for the next time.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked; part of the work may be done.
    async fn purge(&self, tombstones: Timestamp, keys: Timestamp) -> Result<u64, StoreError>;

    /// Asks the store for a sign of life, the way a read would.
    ///
    /// # Errors
    /// [`StoreError`] says what is down.
    async fn ping(&self) -> Result<(), StoreError>;

    /// The state of the connections.
    fn pool(&self) -> PoolState;

    /// Ends the store's work and gives back what it holds (connections, files, locks). Every other
    /// call must have returned.
    async fn close(&self);
}
