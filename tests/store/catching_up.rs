//! How a process learns of another one's writes: users' seqs, and what changed since. Each case runs on every
//! store.

use std::collections::BTreeMap;

use tasklane::domain::{Seq, TaskId, UserId};
use tasklane::store::{Outcome, StoredUser};

use crate::fixture::{Database, User, commit, delete, load, put, task};

on_both_stores! {
    what_changed_since_any_seq_is_what_a_load_has_above_it
    after_an_erasure_the_horizon_says_that_deletions_are_missing
    the_seqs_of_many_users_come_in_one_answer
}

/// The part of a load that is newer than `seq`, in a fixed order.
fn newer(mut stored: StoredUser, seq: Seq) -> StoredUser {
    stored.tasks.retain(|task| task.version > seq);
    stored.tombstones.retain(|(deleted, _)| *deleted > seq);
    stored.tasks.sort_by_key(|task| task.id);
    stored.tombstones.sort_unstable();
    stored
}

async fn what_changed_since_any_seq_is_what_a_load_has_above_it(database: Database) {
    let store = database.open().await;
    let (user, stranger) = (User::new(), User::new());
    assert_eq!(store.since(user.id, Seq::ZERO).await.unwrap(), None);
    let [a, b, c] = [TaskId::generate(), TaskId::generate(), TaskId::generate()];
    let batches = [
        (0, vec![put(&task(a, "a", 1)), put(&task(b, "b", 2))]),
        (2, vec![put(&task(a, "a again", 3)), delete(b, 4)]),
        (4, vec![put(&task(c, "c", 5)), put(&task(b, "b is back", 6))]),
        (6, vec![delete(a, 7)]),
        (7, vec![delete(b, 8), put(&task(c, "c again", 9))]),
    ];
    for (expected, changes) in batches {
        assert_eq!(commit(&*store, stranger.batch(expected, changes.clone())).await, Outcome::Committed);
        assert_eq!(commit(&*store, user.batch(expected, changes)).await, Outcome::Committed);
        let all = store.load(user.id).await.unwrap().unwrap();
        for seq in (0..=all.seq.get()).map(Seq::new) {
            let stored = store.since(user.id, seq).await.unwrap().unwrap();
            assert_eq!(newer(stored.clone(), Seq::ZERO), newer(all.clone(), seq), "since {seq}");
        }
    }
    let future = store.since(user.id, Seq::new(99)).await.unwrap().unwrap();
    assert_eq!((future.seq, future.tasks, future.tombstones), (Seq::new(9), vec![], vec![]));
}

async fn after_an_erasure_the_horizon_says_that_deletions_are_missing(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let id = TaskId::generate();
    assert_eq!(commit(&*store, user.batch(0, vec![put(&task(id, "gone", 1))])).await, Outcome::Committed);
    let mut erase = user.batch(1, vec![put(&task(TaskId::generate(), "new", 3))]);
    (erase.erase, erase.reached) = (true, Seq::new(3));
    assert_eq!(commit(&*store, erase).await, Outcome::Committed);
    let stored = store.since(user.id, Seq::new(1)).await.unwrap().unwrap();
    assert!(stored.horizon > Seq::new(1) && stored.tombstones.is_empty());
    assert_eq!(stored, load(&*store, &user).await.unwrap());
}

async fn the_seqs_of_many_users_come_in_one_answer(database: Database) {
    let store = database.open().await;
    let users: Vec<_> = (0..600).map(|_| User::new()).collect();
    for (count, user) in (1..=3).zip(&users) {
        let changes = (1..=count).map(|seq| put(&task(TaskId::generate(), "t", seq))).collect();
        assert_eq!(commit(&*store, user.batch(0, changes)).await, Outcome::Committed);
    }
    let ids: Vec<UserId> = users.iter().map(|user| user.id).collect();
    let found = store.seqs(&ids).await.unwrap();
    let found: BTreeMap<_, _> = found.into_iter().filter(|(_, seq)| *seq != Seq::ZERO).collect();
    let expected = (1..=3).zip(&ids).map(|(seq, id)| (*id, Seq::new(seq))).collect();
    assert_eq!(found, expected);
    assert_eq!(store.seqs(&[]).await.unwrap(), []);
}
