//! Checks that the stored data keep the rules that the service relies on.

use std::pin::pin;

use async_trait::async_trait;
use futures_util::{Stream, TryStreamExt, stream};

use super::{Store, StoreError, StoredUser};
use crate::domain::UserId;

/// What an audit needs of a store in addition to [`Store`].
#[async_trait]
pub trait Audit: Store {
    /// At most `limit` users after `after`, in the order of their ids.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<UserId>, StoreError>;

    /// The number of users.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn count_users(&self) -> Result<u64, StoreError>;

    /// The number of the newest migration applied.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn schema_version(&self) -> Result<i64, StoreError>;

    /// Faults of the store as a whole, one line each: damage, and rows without a user.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn damage(&self) -> Result<Vec<String>, StoreError>;
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The number of the newest migration.
    pub schema_version: i64,
    /// Users checked.
    pub users: u64,
    /// Their tasks.
    pub tasks: u64,
    /// Their tombstones.
    pub tombstones: u64,
    /// What is wrong, one line each. Users are named by their keys, never by subject or text.
    pub faults: Vec<String>,
}

/// Users read at a time.
const PAGE: usize = 500;

/// Checks the whole store, user by user, each as of one instant: a service may be using it. `report` gets
/// the number of users checked and the number at the start.
///
/// # Errors
/// [`StoreError`] when the store cannot be read. What cannot be read of a damaged store is a fault, not an
/// error.
pub async fn audit(store: &dyn Audit, report: impl FnMut(u64, u64)) -> Result<Findings, StoreError> {
    let mut found = Findings { faults: store.damage().await?, ..Findings::default() };
    match check_users(store, &mut found, report).await {
        Err(error) if !found.faults.is_empty() => {
            found.faults.push(format!("what follows cannot be read: {error}"));
        }
        other => other?,
    }
    Ok(found)
}

async fn check_users(
    store: &dyn Audit,
    found: &mut Findings,
    mut report: impl FnMut(u64, u64),
) -> Result<(), StoreError> {
    found.schema_version = store.schema_version().await?;
    let total = store.count_users().await?;
    let mut users = pin!(users(store));
    while let Some(user) = users.try_next().await? {
        match store.load(user).await {
            // Gone since the page was read: no service deletes a user's row, but a person may.
            Ok(None) => {}
            Ok(Some(stored)) => {
                found.tasks += stored.tasks.len() as u64;
                found.tombstones += stored.tombstones.len() as u64;
                let faults = faults(user, &stored).into_iter();
                found.faults.extend(faults.map(|fault| format!("{user:?}: {fault}")));
            }
            Err(error) => found.faults.push(format!("{user:?}: cannot be read: {error}")),
        }
        found.users += 1;
        report(found.users, total.max(found.users));
    }
    Ok(())
}

/// All users of a store in the order of their ids, a page at a time.
pub(super) fn pages<S: Audit + ?Sized>(
    store: &S,
) -> impl Stream<Item = Result<Vec<UserId>, StoreError>> + Send {
    stream::try_unfold(Some(None), move |after| async move {
        let Some(after) = after else { return Ok(None) };
        let page = store.users(after, PAGE).await?;
        // A short page is the last.
        let next = (page.len() == PAGE).then(|| page.last().copied());
        Ok(Some((page, next)))
    })
}

/// The same, one by one.
pub(super) fn users<S: Audit + ?Sized>(store: &S) -> impl Stream<Item = Result<UserId, StoreError>> + Send {
    pages(store).map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten()
}

/// The rules that a user's rows break.
fn faults(user: UserId, stored: &StoredUser) -> Vec<String> {
    let mut faults = Vec::new();
    if UserId::of_subject(&stored.subject) != user && UserId::derived(&stored.subject) != Some(user) {
        faults.push("its key is not the one of its subject".to_owned());
    }
    let (seq, horizon) = (stored.seq, stored.horizon);
    if horizon > seq {
        faults.push(format!("its horizon {horizon} is past its seq {seq}"));
    }
    for task in &stored.tasks {
        if task.version > seq {
            faults.push(format!("task {} has version {}, past seq {seq}", task.id, task.version));
        }
        if task.content.completed != task.completed_at.is_some() {
            faults.push(format!("task {} is done and has no instant of it, or the reverse", task.id));
        }
    }
    for (deleted, id) in &stored.tombstones {
        if *deleted > seq {
            faults.push(format!("the deletion of {id} has seq {deleted}, past seq {seq}"));
        }
    }
    // Each seq is one change of one task: no two rows may share one.
    let versions = stored.tasks.iter().map(|task| task.version);
    let mut all: Vec<_> = versions.chain(stored.tombstones.iter().map(|(deleted, _)| *deleted)).collect();
    all.sort_unstable();
    let twice = all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    faults.extend(twice.map(|seq| format!("two of its rows have seq {seq}")));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{NewTask, Seq, Task, TaskId, Timestamp, Title};

    fn task(version: i64) -> Task {
        let new = NewTask::titled(TaskId::generate(), Title::parse("a").unwrap());
        new.make(Timestamp::now(), Seq::new(version))
    }

    fn user(seq: i64, versions: &[i64], deletions: &[i64]) -> StoredUser {
        StoredUser {
            subject: "ann".into(),
            email: None,
            seq: Seq::new(seq),
            horizon: Seq::ZERO,
            key_bytes: 0,
            tasks: versions.iter().map(|version| task(*version)).collect(),
            tombstones: deletions.iter().map(|seq| (Seq::new(*seq), TaskId::generate())).collect(),
        }
    }

    #[test]
    fn each_broken_rule_is_named_and_a_sound_user_has_none() {
        let ann = UserId::of_subject("ann");
        assert_eq!(faults(ann, &user(9, &[1, 3, 9], &[2, 8])), Vec::<String>::new());
        let count = |stored: &StoredUser| faults(ann, stored).len();
        assert_eq!(count(&user(2, &[3], &[])), 1, "a version past the seq");
        assert_eq!(count(&user(2, &[], &[3])), 1, "a deletion past the seq");
        assert_eq!(count(&user(9, &[3, 3], &[])), 1, "two tasks of one seq");
        assert_eq!(count(&user(9, &[3], &[3])), 1, "a task and a deletion of one seq");
        assert_eq!(count(&StoredUser { horizon: Seq::new(10), ..user(9, &[], &[]) }), 1, "the horizon");
        assert_eq!(count(&StoredUser { subject: "bob".into(), ..user(9, &[], &[]) }), 1, "the key");
        let mut done = user(9, &[1], &[]);
        done.tasks[0].content.completed = true;
        assert_eq!(count(&done), 1, "done since never");
    }
}
