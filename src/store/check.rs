//! Looks whether what is stored keeps the rules that the service relies on.

use async_trait::async_trait;

use super::{Store, StoreError, StoredUser};
use crate::domain::UserId;

/// What an audit asks of a store beyond the service's own questions.
#[async_trait]
pub trait Audit: Store {
    /// The users after `after` in the order of their ids, `most` at the most.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    async fn users(&self, after: Option<UserId>, most: usize) -> Result<Vec<UserId>, StoreError>;

    /// How many users there are.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    async fn count_users(&self) -> Result<u64, StoreError>;

    /// The number of the newest migration that was applied.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    async fn schema_version(&self) -> Result<i64, StoreError>;

    /// What is wrong with the store itself: damage, and rows whose user is not there. One line each.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be asked.
    async fn damage(&self) -> Result<Vec<String>, StoreError>;
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The number of the newest migration.
    pub schema_version: i64,
    /// Users looked at.
    pub users: u64,
    /// Their tasks.
    pub tasks: u64,
    /// Their remembered deletions.
    pub tombstones: u64,
    /// What is wrong, one line each. Users are named by their keys, never by subject or text.
    pub faults: Vec<String>,
}

/// Users asked for at a time.
const PAGE: usize = 500;

/// Looks at the whole store, user by user, each as of one instant: a service may be at work on it. `report`
/// hears how many users were looked at, and how many there were at the start.
///
/// # Errors
/// [`StoreError`] when the store cannot be asked. What cannot be read of a damaged one is a fault, not an error.
pub async fn audit(store: &dyn Audit, report: impl FnMut(u64, u64)) -> Result<Findings, StoreError> {
    let mut found = Findings { faults: store.damage().await?, ..Findings::default() };
    match look(store, &mut found, report).await {
        Err(error) if !found.faults.is_empty() => {
            found.faults.push(format!("what follows cannot be read: {error}"));
        }
        other => other?,
    }
    Ok(found)
}

/// Looks at all users.
async fn look(
    store: &dyn Audit,
    found: &mut Findings,
    mut report: impl FnMut(u64, u64),
) -> Result<(), StoreError> {
    found.schema_version = store.schema_version().await?;
    let total = store.count_users().await?;
    let mut walk = Walk::new(store);
    while let Some(page) = walk.page().await? {
        for user in page {
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
    }
    Ok(())
}

/// A walk through all users of a store, in the order of their ids.
pub(super) struct Walk<'a, S: Audit + ?Sized> {
    store: &'a S,
    last: Option<UserId>,
    ended: bool,
}

impl<'a, S: Audit + ?Sized> Walk<'a, S> {
    pub(super) const fn new(store: &'a S) -> Self {
        Self { store, last: None, ended: false }
    }

    /// The next users; `None` after the last.
    pub(super) async fn page(&mut self) -> Result<Option<Vec<UserId>>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let page = self.store.users(self.last, PAGE).await?;
        self.last = page.last().copied();
        self.ended = page.len() < PAGE;
        Ok(Some(page))
    }
}

/// Which rules one user's rows break.
fn faults(user: UserId, stored: &StoredUser) -> Vec<String> {
    let mut faults = Vec::new();
    if UserId::of_subject(&stored.subject) != user {
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
    // A seq is one change of one task: no two rows may have the same.
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
