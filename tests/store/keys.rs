//! Idempotency keys: kept with their batch, found again, replaced. Each case runs on every store.

use std::sync::Arc;

use tasklane::domain::{Seq, TaskId};
use tasklane::store::{KeyRecord, Outcome, Recalled};

use crate::fixture::{Database, User, commit, load, put, recall, record, task};

on_both_stores! {
    a_key_is_found_again_with_the_seq_of_that_instant
    a_key_given_again_is_replaced
    a_key_of_a_batch_that_is_not_applied_is_not_kept
    a_batch_of_keys_alone_keeps_them_and_moves_nothing
    keys_of_many_users_travel_in_one_group
}

/// A batch at `expected` that makes one task and keeps these keys.
fn keyed(user: &User, expected: i64, keys: &[KeyRecord]) -> tasklane::store::Batch {
    let mut batch = user.batch(expected, vec![put(&task(TaskId::generate(), "made", expected + 1))]);
    batch.keys = keys.to_vec();
    batch
}

async fn a_key_is_found_again_with_the_seq_of_that_instant(database: Database) {
    let store = database.open().await;
    let (user, stranger) = (User::new(), User::new());
    let long = "\"k'\\".repeat(63);
    let records = [record("key", 1), record("Key", 2), record(&long, 3)];
    assert_eq!(commit(&*store, keyed(&user, 0, &records)).await, Outcome::Committed);
    assert_eq!(commit(&*store, keyed(&stranger, 0, &[])).await, Outcome::Committed);
    for record in &records {
        let found = recall(&*store, &user, &record.key).await;
        assert_eq!(found, Recalled { seq: Seq::new(1), record: Some(record.clone()) });
        let found = recall(&*store, &stranger, &record.key).await;
        assert_eq!(found, Recalled { seq: Seq::new(1), record: None }, "another user's key");
    }
    assert_eq!(commit(&*store, keyed(&user, 1, &[])).await, Outcome::Committed);
    let found = recall(&*store, &user, "key").await;
    assert_eq!(found, Recalled { seq: Seq::new(2), record: Some(records[0].clone()) });
    assert_eq!(recall(&*store, &user, "ke").await.record, None);
    store.close().await;
    let store = database.open().await;
    assert_eq!(recall(&*store, &user, "key").await, found, "it survives a restart");
}

async fn a_key_given_again_is_replaced(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let large = KeyRecord { answer: "\u{1F980}".repeat(300_000).into(), ..record("key", 1) };
    let other = record("other", 1);
    let first = keyed(&user, 0, &[large.clone(), other.clone()]);
    assert_eq!(commit(&*store, first).await, Outcome::Committed);
    assert_eq!(recall(&*store, &user, "key").await.record, Some(large));
    let second = keyed(&user, 1, &[record("key", 2)]);
    for _ in 0..2 {
        assert_eq!(commit(&*store, second.clone()).await, Outcome::Committed);
        assert_eq!(recall(&*store, &user, "key").await.record, Some(record("key", 2)));
    }
    assert_eq!(recall(&*store, &user, "other").await.record, Some(other));
}

async fn a_key_of_a_batch_that_is_not_applied_is_not_kept(database: Database) {
    let store = database.open().await;
    let (user, new) = (User::new(), User::new());
    let kept = record("key", 1);
    assert_eq!(commit(&*store, keyed(&user, 0, std::slice::from_ref(&kept))).await, Outcome::Committed);
    for (user, wrong) in [(&user, 0), (&user, 2), (&new, 1)] {
        let batch = keyed(user, wrong, &[record("key", 9), record("new", 9)]);
        assert_eq!(commit(&*store, batch).await, Outcome::Conflict);
    }
    let mut rejected = keyed(&user, 1, &[record("key", 9), record("new", 9)]);
    rejected.changes.push(put(&task(TaskId::generate(), "", 2)));
    assert!(matches!(commit(&*store, rejected).await, Outcome::Rejected(_)));
    assert_eq!(recall(&*store, &user, "key").await, Recalled { seq: Seq::new(1), record: Some(kept) });
    assert_eq!(recall(&*store, &user, "new").await.record, None);
    assert_eq!(recall(&*store, &new, "new").await, Recalled { seq: Seq::ZERO, record: None });
}

async fn a_batch_of_keys_alone_keeps_them_and_moves_nothing(database: Database) {
    let store = database.open().await;
    let (user, new) = (User::new(), User::new());
    assert_eq!(commit(&*store, keyed(&user, 0, &[])).await, Outcome::Committed);
    let before = load(&*store, &user).await;
    for (user, seq) in [(&user, 1), (&new, 0)] {
        let kept = record("key", 1);
        let batch = tasklane::store::Batch { keys: vec![kept.clone()], ..user.batch(seq, vec![]) };
        // Also when it is sent again.
        for _ in 0..2 {
            assert_eq!(commit(&*store, batch.clone()).await, Outcome::Committed);
            let found = recall(&*store, user, "key").await;
            assert_eq!(found, Recalled { seq: Seq::new(seq), record: Some(kept.clone()) });
        }
        let late = tasklane::store::Batch { keys: vec![record("key", 2)], ..user.batch(seq + 1, vec![]) };
        assert_eq!(commit(&*store, late).await, Outcome::Conflict);
        assert_eq!(commit(&*store, keyed(user, seq, &[])).await, Outcome::Committed);
        assert_eq!(commit(&*store, keyed(user, seq, &[])).await, Outcome::Conflict);
        assert_eq!(recall(&*store, user, "key").await.record, Some(kept));
    }
    assert_eq!(load(&*store, &user).await.unwrap().tasks.len(), before.unwrap().tasks.len() + 1);
}

async fn keys_of_many_users_travel_in_one_group(database: Database) {
    let store = database.open().await;
    let users: Vec<_> = (0..64).map(|_| User::new()).collect();
    let batch = |(at, user)| {
        // Every third has none, every second two; the fifth is refused.
        let records = [record("a", at), record("b", at + 1)];
        let keys = &records[..if at % 3 == 0 { 0 } else { 1 + usize::from(at % 2 == 0) }];
        Arc::new(keyed(user, i64::from(at == 5), keys))
    };
    let batches: Vec<_> = (0..).zip(&users).map(batch).collect();
    let outcomes = store.commit(&batches).await;
    for ((user, batch), outcome) in users.iter().zip(&batches).zip(outcomes) {
        let refused = batch.expected != Seq::ZERO;
        assert_eq!(outcome, if refused { Outcome::Conflict } else { Outcome::Committed });
        for key in ["a", "b"] {
            let sent = batch.keys.iter().find(|record| &*record.key == key && !refused);
            assert_eq!(recall(&*store, user, key).await.record.as_ref(), sent);
        }
    }
}
