//! What every store promises.

use std::sync::Arc;

use async_trait::async_trait;

use super::batch::{Batch, KeyRecord, Outcome};
use crate::domain::{Seq, StoreIdentity, Task, TaskId, Timestamp, UserId};
use crate::error::Error;

/// The result of looking up an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// The user's seq at the time of the look-up; 0 for a user who has never written.
    pub seq: Seq,
    /// What is stored under the key.
    pub record: Option<KeyRecord>,
}

/// A notice, from any process, that a user has reached this seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The user.
    pub user: UserId,
    /// The seq of a durable change.
    pub seq: Seq,
}

/// A user as stored at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredUser {
    /// The subject from which the user's key is derived.
    pub subject: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// The seq of the newest change.
    pub seq: Seq,
    /// The seq up to which tombstones may have been purged.
    pub horizon: Seq,
    /// The bytes that the user's idempotency keys take, roughly.
    pub key_bytes: usize,
    /// Every task, in no particular order.
    pub tasks: Vec<Task>,
    /// Every tombstone above the horizon, with its seq, in no particular order.
    pub tombstones: Vec<(Seq, TaskId)>,
}

/// Which store it is, and in which epoch this process found it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreLife {
    /// How often this process detected a fail-over or a restore. What was read in an earlier epoch may no longer be
    /// true, and equal seqs of different epochs do not mean equal tasks.
    pub epoch: u64,
    /// The same in all processes on one store, and over restarts; another one for a store that was made again, put
    /// back or promoted.
    pub identity: StoreIdentity,
}

/// Why a read or the start of a store failed: one line for the log. It says what to look at and
/// contains no user text and no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

impl From<StoreError> for Error {
    fn from(StoreError(reason): StoreError) -> Self {
        Self::StoreUnavailable(reason)
    }
}

/// The state of the connections, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolState {
    /// Open connections.
    pub size: usize,
    /// Those of them that are idle.
    pub idle: usize,
    /// Callers waiting for a connection.
    pub waiting: usize,
}

/// A durable store of users and their tasks.
///
/// # Contract
/// - **Fence.** A batch is applied only if the user's stored seq equals [`Batch::expected`] (0 if the user
///   has no row). The seq then becomes [`Batch::reached`], in the same atomic step. Two processes that
///   commit for one user can therefore never interleave.
/// - **Epoch.** In an epoch other than [`Batch::epoch`] nothing is applied: a store that was restored may
///   have reached the same seq by other changes. A batch that was applied earlier is still recognised; any
///   other one is an [`Outcome::Conflict`]. A store that has only one epoch need not check.
/// - **Durability.** [`Outcome::Committed`] is returned only after the change survives a crash of
///   this process, of the store's process and of the machine.
/// - **Idempotence.** A batch whose id is the user's last stored batch id is `Committed` again,
///   without effect.
/// - **Isolation.** Batches of one call are independent: one that is refused, or that the store cannot
///   keep, changes no other batch's outcome. Only a failure of the store affects them all.
/// - **Tombstones.** A deletion leaves a tombstone. [`Store::load`] returns it until it is purged, or
///   replaced because the task was created and deleted again. A task that was created again may keep its
///   old tombstone.
/// - **Erasure.** A batch that erases removes all rows of the user except the `users` row. That row's seq
///   advances, its horizon becomes [`Batch::reached`] and its e-mail address is cleared. Then the batch's
///   own changes and keys are applied.
/// - **Keys.** A key is stored with its batch, in the same step. If another batch has stored the same key,
///   the outcome is a conflict. The fence alone would not notice, because a batch with only keys leaves the
///   seq unchanged. An erasure removes the existing keys first. [`StoredUser::key_bytes`] is the sum of
///   [`KeyRecord::bytes`] of the keys that are kept.
/// - **Cancellation.** Dropping a returned future neither undoes nor stops a commit in progress.
/// - **Time.** Every call ends within the store's time-outs.
/// - **Runtime.** Every method may be called from any thread and any runtime.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads a user and all of the user's tasks as of one instant; `None` for a user who has never written.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn load(&self, user: UserId) -> Result<Option<StoredUser>, StoreError>;

    /// Like [`Store::load`], but returns only the tasks whose version, and the tombstones whose seq, is
    /// above `seq`. If the horizon is above `seq`, tombstones may be missing and the caller needs a full
    /// load.
    ///
    /// This default reads everything: it is for stores that only one process writes to.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn since(&self, user: UserId, seq: Seq) -> Result<Option<StoredUser>, StoreError> {
        let mut stored = self.load(user).await?;
        if let Some(stored) = &mut stored {
            stored.tasks.retain(|task| task.version > seq);
            stored.tombstones.retain(|(deleted, _)| *deleted > seq);
        }
        Ok(stored)
    }

    /// The newest seq of each of these users, as of one instant during the call, in no particular order.
    /// Users who have never written are left out.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn seqs(&self, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError>;

    /// Applies batches, each of a different user, and returns their outcomes in the same order.
    /// Calls may overlap: batches in doubt are retried while new ones are sent.
    async fn commit(&self, batches: &[Arc<Batch>]) -> Vec<Outcome>;

    /// Announces that the current thread will read often. A store may then keep connections for it, which
    /// end with [`Store::close`] or with the thread's runtime. The thread must run a runtime of its own,
    /// with timers and I/O, and call this and do all its reads on that runtime.
    fn attach_thread(&self) {}

    /// The store's life: its identity and its epoch, which change together.
    fn life(&self) -> StoreLife {
        StoreLife::default()
    }

    /// Takes note that users have gone back within this epoch: by hand, or by a restore that the store cannot see.
    /// Another life begins, here and, from their next connection on, in other processes.
    ///
    /// This default does nothing: it is for stores that nobody else can change.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    async fn went_back(&self, _epoch: u64) -> Result<(), StoreError> {
        Ok(())
    }

    /// Looks up an idempotency key, as of one instant.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn recall(&self, user: UserId, key: &str) -> Result<Recalled, StoreError>;

    /// Removes tombstones made before `tombstones`, moving their users' horizons, and keys stored before
    /// `keys`. Returns the number of rows removed. It works in small steps, so that no commit waits long.
    /// Rows that a commit has locked may be left for the next purge.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; part of the work may have been done.
    async fn purge(&self, tombstones: Timestamp, keys: Timestamp) -> Result<u64, StoreError>;

    /// Moves the user's horizon up to `before`, or to the user's seq if that is lower, and removes the
    /// tombstones up to there. Returns the number of rows removed. The horizon never moves down. It works in
    /// small steps, so that no commit waits long.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; part of the work may have been done.
    async fn forget(&self, user: UserId, before: Seq) -> Result<u64, StoreError>;

    /// Checks that the store answers reads.
    ///
    /// # Errors
    /// [`StoreError`] says what is down.
    async fn ping(&self) -> Result<(), StoreError>;

    /// The state of the connections.
    fn pool(&self) -> PoolState;

    /// Stops the store and releases what it holds (connections, files, locks). Every other call must have
    /// returned.
    async fn close(&self);
}
