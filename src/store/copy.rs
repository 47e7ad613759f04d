//! Moves all users from one store to another, and proves that they arrived.

use std::collections::HashSet;
use std::fmt;

use async_trait::async_trait;
use futures_util::future::join;
use uuid::Uuid;

use super::check::{Audit, Walk};
use super::{KeyRecord, StoreError};
use crate::domain::{Seq, Task, TaskId, Timestamp, UserId};

/// Everything that is kept of a user, as of one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeUser {
    /// The user's key.
    pub id: UserId,
    /// The subject the key is made from.
    pub subject: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// The seq of the newest change.
    pub seq: Seq,
    /// The seq up to which deletions may be forgotten.
    pub horizon: Seq,
    /// The batch that made this seq.
    pub last_batch: Option<Uuid>,
    /// When the user first wrote.
    pub created_at: Timestamp,
    /// Every task, in the order of ids.
    pub tasks: Vec<Task>,
    /// Every deletion that is kept, also of tasks that were made again: id, seq, instant; in the order of ids.
    pub tombstones: Vec<(TaskId, Seq, Timestamp)>,
    /// Every idempotency key, in the order of their texts.
    pub keys: Vec<KeyRecord>,
}

impl WholeUser {
    /// Puts all rows in their order, so that equal users are equal.
    pub(super) fn sorted(mut self) -> Self {
        self.tasks.sort_unstable_by_key(|task| task.id);
        self.tombstones.sort_unstable_by_key(|(id, ..)| *id);
        self.keys.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        self
    }

    /// Bytes it takes in memory or in a statement, about.
    fn weight(&self) -> usize {
        let tasks = self.tasks.iter().map(weight_of_task);
        let keys = self.keys.iter().map(weight_of_key);
        200 + tasks.chain(keys).sum::<usize>() + self.tombstones.len() * TOMBSTONE
    }
}

/// Bytes of a tombstone, about.
pub(super) const TOMBSTONE: usize = 48;

/// Bytes of a task, about.
pub(super) fn weight_of_task(task: &Task) -> usize {
    200 + task.content.text_bytes()
}

/// Bytes of a key and its answer, about.
pub(super) fn weight_of_key(record: &KeyRecord) -> usize {
    100 + record.key.len() + record.answer.len()
}

/// Bytes that are written together, about. More would only take more memory.
pub(super) const GROUP: usize = 1 << 20;

/// What moving users asks of a store.
#[async_trait]
pub trait Transfer: Audit {
    /// Sees to it that no service works on the store, and goes on seeing to it while it is open.
    ///
    /// # Errors
    /// [`StoreError`] when one does, or the store cannot be asked.
    async fn alone(&self) -> Result<(), StoreError>;

    /// Reads everything that is kept of a user, as of one instant; `None` for one who has never written.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    async fn whole(&self, user: UserId) -> Result<Option<WholeUser>, StoreError>;

    /// Which of these users the store has.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    async fn present(&self, users: &[UserId]) -> Result<HashSet<UserId>, StoreError>;

    /// Makes users that the store does not have, in one transaction: all of them, durably, or none.
    ///
    /// # Errors
    /// [`StoreError`] when one of them is there already or cannot be kept, or the store cannot be asked. Only a
    /// connection that broke leaves it open whether they are there.
    async fn restore(&self, users: Vec<WholeUser>) -> Result<(), StoreError>;
}

/// What a copy is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyStep {
    /// Compares what the target holds already. Nothing is written before that is done.
    Comparing,
    /// Writes the users that are not there.
    Copying,
    /// Reads all back from both stores.
    Verifying,
}

impl fmt::Display for CopyStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Comparing => "comparing",
            Self::Copying => "copying",
            Self::Verifying => "verifying",
        })
    }
}

/// What was copied and found to be the same in both stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Users: all that the source has.
    pub users: u64,
    /// Those of them that the target had before.
    pub there: u64,
    /// Users of the target that the source does not have. They were not touched.
    pub others: u64,
    /// Tasks.
    pub tasks: u64,
    /// Remembered deletions.
    pub tombstones: u64,
    /// Idempotency keys.
    pub keys: u64,
}

/// Why a copy was not made, or is not to be trusted. It names no user and no text.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CopyError {
    /// The source failed.
    #[error("--from: {0}")]
    From(StoreError),
    /// The target failed.
    #[error("--to: {0}")]
    To(StoreError),
    /// The target holds something else. Nothing was written.
    #[error(
        "the target holds {users} whose data differ from the source's ({newer} of them newer than there): \
         nothing was written. Copy to a store of its own, a new file or an empty database"
    )]
    Differs {
        /// Users that differ.
        users: UserCount,
        /// Those that have had more changes in the target.
        newer: u64,
    },
    /// Read back, the two are not the same.
    #[error(
        "the copy is not to be used: {users} are not the same in both stores. If something wrote to the source \
         meanwhile, stop it, and copy again to a new file or an empty database; if \
         nothing did, `tasklane check` says what is wrong with the source"
    )]
    NotTheSame {
        /// Users that differ, or are missing in the target.
        users: UserCount,
    },
}

/// A number of users, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserCount(pub u64);

impl fmt::Display for UserCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count) = self;
        write!(f, "{count} {}", if *count == 1 { "user" } else { "users" })
    }
}

/// Copies every user of `from` to `to`, then reads all back from both and compares. Users that `to` holds already
/// are left as they are, and must be the same. `report` hears how many users a step has done, and of how many.
///
/// A copy that broke off is taken up by another with the same two stores. One user, or about a megabyte of small
/// ones, is in memory at a time.
///
/// # Errors
/// [`CopyError`] when a store fails, `to` holds users that are not the same, or the two differ in the end.
pub async fn copy(
    from: &dyn Transfer,
    to: &dyn Transfer,
    mut report: impl FnMut(CopyStep, u64, u64),
) -> Result<Copied, CopyError> {
    let mut copied = compare(from, to, &mut report).await?;
    write(from, to, &mut report).await?;
    verify(from, to, &mut copied, &mut report).await?;
    Ok(copied)
}

/// Looks at every user that the target holds before anything is written.
async fn compare(
    from: &dyn Transfer,
    to: &dyn Transfer,
    report: &mut impl FnMut(CopyStep, u64, u64),
) -> Result<Copied, CopyError> {
    let total = to.count_users().await.map_err(CopyError::To)?;
    let (mut copied, mut done, mut differing, mut newer) = (Copied::default(), 0, 0, 0);
    let mut walk = Walk::new(to);
    while let Some(page) = walk.page().await.map_err(CopyError::To)? {
        for user in page {
            match from.whole(user).await.map_err(CopyError::From)? {
                None => copied.others += 1,
                Some(original) => match to.whole(user).await.map_err(CopyError::To)? {
                    Some(found) if found == original => copied.there += 1,
                    found => {
                        differing += 1;
                        newer += u64::from(found.is_some_and(|found| found.seq > original.seq));
                    }
                },
            }
            done += 1;
            report(CopyStep::Comparing, done, total.max(done));
        }
    }
    if differing > 0 {
        return Err(CopyError::Differs { users: UserCount(differing), newer });
    }
    Ok(copied)
}

/// Writes the users that the target does not have, small ones in groups.
async fn write(
    from: &dyn Transfer,
    to: &dyn Transfer,
    report: &mut impl FnMut(CopyStep, u64, u64),
) -> Result<(), CopyError> {
    let total = from.count_users().await.map_err(CopyError::From)?;
    let (mut group, mut weight, mut done) = (Vec::new(), 0, 0);
    let mut walk = Walk::new(from);
    while let Some(page) = walk.page().await.map_err(CopyError::From)? {
        let present = to.present(&page).await.map_err(CopyError::To)?;
        done += present.len() as u64;
        for user in page.into_iter().filter(|user| !present.contains(user)) {
            // Gone since the page was read: no service deletes a user's row, but a person may.
            let Some(original) = from.whole(user).await.map_err(CopyError::From)? else { continue };
            weight += original.weight();
            group.push(original);
            if weight >= GROUP {
                done += group.len() as u64;
                to.restore(std::mem::take(&mut group)).await.map_err(CopyError::To)?;
                weight = 0;
                report(CopyStep::Copying, done, total.max(done));
            }
        }
    }
    if !group.is_empty() {
        to.restore(group).await.map_err(CopyError::To)?;
    }
    Ok(())
}

/// Reads every user back from both, and counts what is the same.
async fn verify(
    from: &dyn Transfer,
    to: &dyn Transfer,
    copied: &mut Copied,
    report: &mut impl FnMut(CopyStep, u64, u64),
) -> Result<(), CopyError> {
    let total = from.count_users().await.map_err(CopyError::From)?;
    let (mut done, mut differing) = (0, 0);
    let mut walk = Walk::new(from);
    while let Some(page) = walk.page().await.map_err(CopyError::From)? {
        for user in page {
            let (original, found) = join(from.whole(user), to.whole(user)).await;
            let (original, found) = (original.map_err(CopyError::From)?, found.map_err(CopyError::To)?);
            match original {
                Some(user) if found.as_ref() == Some(&user) => {
                    copied.users += 1;
                    copied.tasks += user.tasks.len() as u64;
                    copied.tombstones += user.tombstones.len() as u64;
                    copied.keys += user.keys.len() as u64;
                }
                _ => differing += 1,
            }
            done += 1;
            report(CopyStep::Verifying, done, total.max(done));
        }
    }
    if differing > 0 {
        return Err(CopyError::NotTheSame { users: UserCount(differing) });
    }
    Ok(())
}
