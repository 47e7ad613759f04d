//! Copies all users from one store to another, and verifies the copy.

use std::collections::HashSet;
use std::fmt;
use std::pin::pin;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use futures_util::future::join;
use uuid::Uuid;

use super::batch::{TOMBSTONE_ROW, bytes_of_task};
use super::check::{Audit, pages, users};
use super::{KeyRecord, StoreError};
use crate::domain::{Seq, Task, TaskId, Timestamp, UserId};

/// Everything stored of a user, as of one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeUser {
    /// The user's key.
    pub id: UserId,
    /// The subject from which the key is derived.
    pub subject: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// The seq of the newest change.
    pub seq: Seq,
    /// The seq up to which tombstones may have been purged.
    pub horizon: Seq,
    /// The batch that led to this seq.
    pub last_batch: Option<Uuid>,
    /// When the user first wrote.
    pub created_at: Timestamp,
    /// Every task, in the order of ids.
    pub tasks: Vec<Task>,
    /// Every tombstone, also of tasks that were created again: id, seq, time; in the order of ids.
    pub tombstones: Vec<(TaskId, Seq, Timestamp)>,
    /// Every idempotency key, in their order as text.
    pub keys: Vec<KeyRecord>,
}

impl WholeUser {
    /// Sorts all rows, so that equal users compare equal.
    pub(super) fn sorted(mut self) -> Self {
        self.tasks.sort_unstable_by_key(|task| task.id);
        self.tombstones.sort_unstable_by_key(|(id, ..)| *id);
        self.keys.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        self
    }

    /// Approximate bytes in memory or in a statement.
    fn weight(&self) -> usize {
        let tasks = self.tasks.iter().map(bytes_of_task);
        let keys = self.keys.iter().map(KeyRecord::bytes);
        200 + tasks.chain(keys).sum::<usize>() + self.tombstones.len() * TOMBSTONE_ROW
    }
}

/// Approximate bytes written together. More would only take more memory.
pub(super) const GROUP: usize = 1 << 20;

/// What copying users needs of a store.
#[async_trait]
pub trait Transfer: Audit {
    /// Makes sure that no service uses the store, until it is closed. A store that only one process can
    /// open has nothing to do.
    ///
    /// # Errors
    /// [`StoreError`] when a service uses the store, or the store cannot be reached.
    async fn alone(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Makes another store of it from the next opening on: what its users' seqs meant before says nothing of what they
    /// mean after.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    async fn forget_identity(&self) -> Result<(), StoreError>;

    /// Reads everything stored of a user, as of one instant; `None` for a user who has never written.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn whole(&self, user: UserId) -> Result<Option<WholeUser>, StoreError>;

    /// Inserts users that the store does not have, in one durable transaction: all of them or none.
    ///
    /// # Errors
    /// [`StoreError`] when a user exists already or cannot be kept, or the store fails. Only after a broken
    /// connection is it unknown whether they were inserted.
    async fn restore(&self, users: Vec<WholeUser>) -> Result<(), StoreError>;
}

/// A step of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyStep {
    /// Compares the users that the target already has. Nothing is written before that.
    Comparing,
    /// Writes the users that the target does not have.
    Copying,
    /// Reads all users from both stores and compares them.
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
    /// Users: all of the source's.
    pub users: u64,
    /// Those of them that the target already had.
    pub there: u64,
    /// Users of the target that the source does not have. They are left unchanged.
    pub others: u64,
    /// Tasks.
    pub tasks: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Idempotency keys.
    pub keys: u64,
}

/// Why a copy was not made, or cannot be trusted. It contains no user's name or text.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CopyError {
    /// The source failed.
    #[error("--from: {0}")]
    From(StoreError),
    /// The target failed.
    #[error("--to: {0}")]
    To(StoreError),
    /// The target holds different data. Nothing was written.
    #[error(
        "the target holds {users} whose data differ from the source's ({newer} of them newer than there): \
         nothing was written. Copy to a store of its own, a new file or an empty database"
    )]
    Differs {
        /// Users that differ.
        users: UserCount,
        /// Those whose seq is higher in the target.
        newer: u64,
    },
    /// The two stores differ after the copy.
    #[error(
        "the copy is not to be used: {users} are not the same in both stores. If something wrote to the source \
         meanwhile, stop it, and copy again to a new file or an empty database; if \
         nothing did, `tasklane check` says what is wrong with the source"
    )]
    NotTheSame {
        /// Users that differ or are missing in the target.
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

/// Copies every user of `from` to `to`, then reads all users from both and compares them. Users that `to`
/// already has are left unchanged and must be equal. `report` gets each step's progress and total, in
/// users.
///
/// An interrupted copy is continued by running it again with the same two stores. One user, or about a
/// megabyte of small ones, is in memory at a time.
///
/// # Errors
/// [`CopyError`] when a store fails, `to` holds users that differ, or the two differ in the end.
pub async fn copy(
    from: &dyn Transfer,
    to: &dyn Transfer,
    report: impl FnMut(CopyStep, u64, u64),
) -> Result<Copied, CopyError> {
    let mut copying = Copying { from, to, report, copied: Copied::default() };
    copying.compare().await?;
    to.forget_identity().await.map_err(CopyError::To)?;
    copying.write().await?;
    copying.verify().await?;
    Ok(copying.copied)
}

/// A copy in progress.
struct Copying<'a, R> {
    from: &'a dyn Transfer,
    to: &'a dyn Transfer,
    report: R,
    copied: Copied,
}

impl<R: FnMut(CopyStep, u64, u64)> Copying<'_, R> {
    /// Compares every user that the target has, before anything is written.
    async fn compare(&mut self) -> Result<(), CopyError> {
        let total = self.to.count_users().await.map_err(CopyError::To)?;
        let (mut done, mut differing, mut newer) = (0, 0, 0);
        let mut users = pin!(users(self.to));
        while let Some(user) = users.try_next().await.map_err(CopyError::To)? {
            match self.from.whole(user).await.map_err(CopyError::From)? {
                None => self.copied.others += 1,
                Some(original) => match self.to.whole(user).await.map_err(CopyError::To)? {
                    Some(found) if found == original => self.copied.there += 1,
                    found => {
                        differing += 1;
                        newer += u64::from(found.is_some_and(|found| found.seq > original.seq));
                    }
                },
            }
            done += 1;
            (self.report)(CopyStep::Comparing, done, total.max(done));
        }
        if differing > 0 {
            return Err(CopyError::Differs { users: UserCount(differing), newer });
        }
        Ok(())
    }

    /// Writes the users that the target does not have, small ones in groups.
    async fn write(&mut self) -> Result<(), CopyError> {
        let total = self.from.count_users().await.map_err(CopyError::From)?;
        let (mut group, mut weight, mut done) = (Vec::new(), 0, 0);
        let mut pages = pin!(pages(self.from));
        while let Some(page) = pages.try_next().await.map_err(CopyError::From)? {
            let present = self.to.seqs(&page).await.map_err(CopyError::To)?;
            let present: HashSet<_> = present.into_iter().map(|(user, _)| user).collect();
            done += present.len() as u64;
            for user in page.into_iter().filter(|user| !present.contains(user)) {
                // Gone since the page was read: no service deletes a user's row, but a person may.
                let Some(original) = self.from.whole(user).await.map_err(CopyError::From)? else { continue };
                weight += original.weight();
                group.push(original);
                if weight >= GROUP {
                    done += group.len() as u64;
                    self.to.restore(std::mem::take(&mut group)).await.map_err(CopyError::To)?;
                    weight = 0;
                    (self.report)(CopyStep::Copying, done, total.max(done));
                }
            }
        }
        if !group.is_empty() {
            self.to.restore(group).await.map_err(CopyError::To)?;
        }
        Ok(())
    }

    /// Reads every user from both stores, and counts those that are equal.
    async fn verify(&mut self) -> Result<(), CopyError> {
        let total = self.from.count_users().await.map_err(CopyError::From)?;
        let (mut done, mut differing) = (0, 0);
        let mut users = pin!(users(self.from));
        while let Some(user) = users.try_next().await.map_err(CopyError::From)? {
            let (original, found) = join(self.from.whole(user), self.to.whole(user)).await;
            let (original, found) = (original.map_err(CopyError::From)?, found.map_err(CopyError::To)?);
            match original {
                Some(user) if found.as_ref() == Some(&user) => {
                    self.copied.users += 1;
                    self.copied.tasks += user.tasks.len() as u64;
                    self.copied.tombstones += user.tombstones.len() as u64;
                    self.copied.keys += user.keys.len() as u64;
                }
                _ => differing += 1,
            }
            done += 1;
            (self.report)(CopyStep::Verifying, done, total.max(done));
        }
        if differing > 0 {
            return Err(CopyError::NotTheSame { users: UserCount(differing) });
        }
        Ok(())
    }
}
