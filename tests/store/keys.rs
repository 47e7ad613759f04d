//! Idempotency keys: stored with their batch, found again, carried out once. Each case runs on every store.

use std::sync::Arc;

use tasklane::domain::{Seq, TaskId};
use tasklane::store::copy::WholeUser;
use tasklane::store::{Batch, KeyRecord, Outcome, Recalled};

use crate::fixture::{Database, User, at, commit, load, put, recall, record, task};

on_both_stores! {
    a_key_is_found_again_with_the_seq_of_that_instant
    a_key_that_another_batch_has_stored_is_a_conflict
    a_key_of_a_batch_that_is_not_applied_is_not_kept
    a_batch_of_keys_alone_keeps_them_and_moves_nothing
    keys_of_many_users_travel_in_one_group
    the_bytes_of_kept_keys_are_known
}

/// A batch at `expected` that creates one task and stores these keys.
fn keyed(user: &User, expected: i64, keys: &[KeyRecord]) -> Batch {
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

async fn a_key_that_another_batch_has_stored_is_a_conflict(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let large = KeyRecord { answer: "\u{1F980}".repeat(300_000).into(), ..record("key", 1) };
    let first = keyed(&user, 0, &[large.clone(), record("other", 1)]);
    assert_eq!(commit(&*store, first).await, Outcome::Committed);
    // A batch with only a key moves no seq: only the key itself shows that it was carried out.
    let alone = Batch { keys: vec![record("alone", 1)], ..user.batch(1, vec![]) };
    assert_eq!(commit(&*store, alone.clone()).await, Outcome::Committed);
    let before = load(&*store, &user).await;
    for key in ["key", "other", "alone"] {
        let again = keyed(&user, 1, &[record("new", 9), record(key, 9)]);
        let alone = Batch { keys: vec![record(key, 9)], ..user.batch(1, vec![]) };
        // In a group with another user's batch, which is not affected.
        let bystander = keyed(&User::new(), 0, &[record(key, 9)]);
        let group = [again, bystander].map(Arc::new);
        assert_eq!(store.commit(&group).await, [Outcome::Conflict, Outcome::Committed]);
        assert_eq!(commit(&*store, alone).await, Outcome::Conflict);
        assert_eq!(load(&*store, &user).await, before, "nothing of it is applied");
    }
    assert_eq!(recall(&*store, &user, "key").await, Recalled { seq: Seq::new(1), record: Some(large) });
    assert_eq!(recall(&*store, &user, "alone").await.record, Some(record("alone", 1)));
    assert_eq!(recall(&*store, &user, "new").await.record, None);
    // An erasure forgets the keys first.
    let erasing = Batch { erase: true, ..keyed(&user, 1, &[record("key", 2)]) };
    for _ in 0..2 {
        assert_eq!(commit(&*store, erasing.clone()).await, Outcome::Committed);
        assert_eq!(recall(&*store, &user, "key").await.record, Some(record("key", 2)));
    }
    assert_eq!(recall(&*store, &user, "other").await.record, None);
}

/// Two processes know the user at one seq: one found nothing to change and stores only the key, the other
/// carries the same key out. Whichever commits first, only one of them keeps the key.
#[test]
fn one_key_in_two_processes_at_one_seq_is_carried_out_once_on_postgres() {
    needs!(Postgres);
    crate::fixture::run(async {
        let database = Database::postgres();
        let stores = [database.open().await, database.open().await];
        let mut first = [0, 0];
        for round in 0..200 {
            let user = User::new();
            assert_eq!(commit(&*stores[0], keyed(&user, 0, &[])).await, Outcome::Committed);
            let alone = Batch { keys: vec![record("key", 1)], ..user.batch(1, vec![]) };
            let acts = keyed(&user, 1, &[record("key", 2)]);
            // They take turns being sent first.
            let (one, other) = (&stores[round % 2], &stores[1 - round % 2]);
            let (alone, acts) = tokio::join!(commit(&**one, alone), commit(&**other, acts));
            let winner = usize::from(acts == Outcome::Committed);
            first[winner] += 1;
            assert_eq!(
                [alone, acts],
                if winner == 1 {
                    [Outcome::Conflict, Outcome::Committed]
                } else {
                    [Outcome::Committed, Outcome::Conflict]
                },
                "round {round}"
            );
            let found = recall(&*stores[0], &user, "key").await;
            let (seq, kept) = [(1, record("key", 1)), (2, record("key", 2))][winner].clone();
            assert_eq!(found, Recalled { seq: Seq::new(seq), record: Some(kept) });
        }
        assert!(first[0] > 0 && first[1] > 0, "{first:?}: there was no race");
    });
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
    let mut rejected = keyed(&user, 1, &[record("new", 9)]);
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
        let batch = Batch { keys: vec![kept.clone()], ..user.batch(seq, vec![]) };
        // The same when it is sent again.
        for _ in 0..2 {
            assert_eq!(commit(&*store, batch.clone()).await, Outcome::Committed);
            let found = recall(&*store, user, "key").await;
            assert_eq!(found, Recalled { seq: Seq::new(seq), record: Some(kept.clone()) });
        }
        let late = Batch { keys: vec![record("key", 2)], ..user.batch(seq + 1, vec![]) };
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
        // Every third has no key, every second two; the fifth is refused.
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

async fn the_bytes_of_kept_keys_are_known(database: Database) {
    let store = database.open().await;
    let (user, other) = (User::new(), User::new());
    let known = async |user: &User| load(&*store, user).await.map(|stored| stored.key_bytes);
    let bytes = |keys: &[KeyRecord]| keys.iter().map(KeyRecord::bytes).sum::<usize>();
    let crab = KeyRecord { answer: "\u{1F980}".repeat(9_000).into(), ..record("\u{e9}", 3) };
    let kept = [record("a", 1), record("b", 2), crab, record("d", 4)];
    for user in [&user, &other] {
        assert_eq!(commit(&*store, keyed(user, 0, &kept[..2])).await, Outcome::Committed);
        assert_eq!(known(user).await, Some(bytes(&kept[..2])));
        // A key alone, too; and a batch that is sent again counts once.
        let alone = Batch { keys: kept[2..].to_vec(), ..user.batch(1, vec![]) };
        for _ in 0..2 {
            assert_eq!(commit(&*store, alone.clone()).await, Outcome::Committed);
            assert_eq!(known(user).await, Some(bytes(&kept)));
        }
        assert_eq!(
            commit(&*store, keyed(user, 1, &[record("e", 5), record("a", 5)])).await,
            Outcome::Conflict
        );
        assert_eq!(known(user).await, Some(bytes(&kept)));
    }
    assert_eq!(store.since(user.id, Seq::new(1)).await.unwrap().unwrap().key_bytes, bytes(&kept));
    assert_eq!(store.purge(at(0), at(3)).await.unwrap(), 4);
    assert_eq!(known(&user).await, Some(bytes(&kept[2..])));
    // A copy counts them anew.
    let (copied, original) = (User::new(), store.whole(user.id).await.unwrap().unwrap());
    let copy = WholeUser { id: copied.id, subject: copied.subject.clone(), ..original };
    store.restore(vec![copy]).await.unwrap();
    assert_eq!(known(&copied).await, Some(bytes(&kept[2..])));
    let erasing = Batch { erase: true, ..keyed(&user, 1, &[record("d", 9)]) };
    assert_eq!(commit(&*store, erasing).await, Outcome::Committed);
    assert_eq!(known(&user).await, Some(record("d", 9).bytes()));
    assert_eq!(known(&other).await, Some(bytes(&kept[2..])), "no other user is affected");
    // A process of the version before has stored keys that it did not count.
    database.execute("UPDATE users SET key_bytes = 120");
    assert_eq!(store.purge(at(0), at(9)).await.unwrap(), 4);
    for (user, left) in [(&user, 120), (&other, 0), (&copied, 0)] {
        assert_eq!(known(user).await, Some(left));
    }
}
