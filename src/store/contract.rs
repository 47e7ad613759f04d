//! What a store promises, whichever it is.

use std::sync::Arc;

use async_trait::async_trait;

use super::batch::{Batch, KeyRecord, Outcome};
use crate::domain::{Seq, Task, TaskId, Timestamp, UserId};

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// The user's seq at the instant of the look-up; 0 for one who has never written.
    pub seq: Seq,
    /// What is kept under the key.
    pub record: Option<KeyRecord>,
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
