//! Erasing a user, and purging old deletions and keys. Each case runs on every store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tasklane::domain::{Change, Seq, Task, TaskId, Timestamp};
use tasklane::store::{Batch, Outcome, Store, StoredUser};

use crate::fixture::{Database, User, at, commit, delete, load, put, recall, record, run, task, tombstones};

on_both_stores! {
    an_erasure_leaves_what_its_own_batch_brings_and_the_seq
    an_erasure_sent_again_is_applied_once
    an_erasure_at_another_seq_erases_nothing
    a_new_user_may_begin_with_an_erasure
    erasing_and_other_batches_travel_in_one_group
    a_purge_forgets_what_is_old_and_moves_the_horizon
    a_purge_goes_through_more_than_one_part
    a_task_deleted_again_is_not_purged_by_its_first_deletion
    an_erased_horizon_is_never_moved_back
    a_purge_beside_commits_hides_no_deletion_and_refuses_no_commit
    one_users_deletions_are_forgotten_up_to_a_seq
}

/// A user at seq 3 with two tasks, a deleted one, two keys and an address.
async fn settled(store: &dyn Store, ids: &[TaskId; 3]) -> User {
    let user = User::new();
    let changes = vec![put(&task(ids[0], "zero", 1)), put(&task(ids[1], "one", 2)), delete(ids[2], 3)];
    let mut batch = user.batch(0, changes);
    batch.email = Some(address(&user).into());
    batch.keys = vec![record("a", 3), record("b", 3)];
    assert_eq!(commit(store, batch).await, Outcome::Committed);
    user
}

fn address(user: &User) -> String {
    format!("{}@example.com", user.id)
}

fn ids() -> [TaskId; 3] {
    std::array::from_fn(|_| TaskId::generate())
}

/// A batch that erases everything at `expected`, under one seq.
fn erasure(user: &User, expected: i64) -> Batch {
    Batch { erase: true, reached: Seq::new(expected + 1), ..user.batch(expected, vec![]) }
}

fn erased(user: &User, seq: i64) -> StoredUser {
    let (seq, horizon) = (Seq::new(seq), Seq::new(seq));
    let (tasks, tombstones) = (vec![], vec![]);
    let key_bytes = 0;
    StoredUser { subject: user.subject.clone(), email: None, seq, horizon, key_bytes, tasks, tombstones }
}

async fn an_erasure_leaves_what_its_own_batch_brings_and_the_seq(database: Database) {
    let store = database.open().await;
    let ids = ids();
    let (user, stranger) = (settled(&*store, &ids).await, settled(&*store, &ids).await);
    let before = load(&*store, &stranger).await;
    // One task is created again, one is new; one that is deleted already is deleted once more.
    let (again, new) = (task(ids[0], "again", 5), task(TaskId::generate(), "new", 6));
    let batch = Batch {
        erase: true,
        reached: Seq::new(7),
        keys: vec![record("b", 7), record("c", 7)],
        ..user.batch(3, vec![put(&again), put(&new), delete(ids[2], 7)])
    };
    assert_eq!(commit(&*store, batch).await, Outcome::Committed);
    let mut tasks = vec![again, new];
    tasks.sort_by_key(|task| task.id);
    let key_bytes = record("b", 7).bytes() + record("c", 7).bytes();
    assert_eq!(load(&*store, &user).await, Some(StoredUser { key_bytes, tasks, ..erased(&user, 7) }));
    assert_eq!(recall(&*store, &user, "a").await.record, None);
    for key in ["b", "c"] {
        assert_eq!(recall(&*store, &user, key).await.record, Some(record(key, 7)));
    }
    assert_eq!(load(&*store, &stranger).await, before, "no other user is affected");
    assert_eq!(recall(&*store, &stranger, "a").await.record, Some(record("a", 3)));

    // The user can go on, and the address is free.
    let mut batch = stranger.batch(3, vec![delete(ids[0], 4)]);
    batch.email = Some(address(&user).into());
    assert_eq!(commit(&*store, batch).await, Outcome::Committed);
    assert_eq!(load(&*store, &stranger).await.unwrap().email, Some(address(&user)));
    assert_eq!(commit(&*store, user.batch(7, vec![delete(ids[0], 8)])).await, Outcome::Committed);
    let stored = load(&*store, &user).await.unwrap();
    assert_eq!((stored.horizon, stored.tombstones), (Seq::new(7), tombstones(&[(8, ids[0])])));
}

async fn an_erasure_sent_again_is_applied_once(database: Database) {
    let store = database.open().await;
    let user = settled(&*store, &ids()).await;
    let erasure = erasure(&user, 3);
    for _ in 0..3 {
        assert_eq!(commit(&*store, erasure.clone()).await, Outcome::Committed);
        assert_eq!(load(&*store, &user).await, Some(erased(&user, 4)));
    }
    let made = task(TaskId::generate(), "made since", 5);
    assert_eq!(commit(&*store, user.batch(4, vec![put(&made)])).await, Outcome::Committed);
    assert_eq!(commit(&*store, erasure).await, Outcome::Conflict, "only the last batch is recognised");
    assert_eq!(load(&*store, &user).await.unwrap().tasks, [made]);
}

async fn an_erasure_at_another_seq_erases_nothing(database: Database) {
    let store = database.open().await;
    let user = settled(&*store, &ids()).await;
    let before = load(&*store, &user).await;
    for wrong in [0, 2, 4] {
        assert_eq!(commit(&*store, erasure(&user, wrong)).await, Outcome::Conflict);
    }
    let mut rejected = erasure(&user, 3);
    rejected.changes.push(put(&task(TaskId::generate(), "", 4)));
    assert!(matches!(commit(&*store, rejected).await, Outcome::Rejected(_)));
    assert_eq!(load(&*store, &user).await, before);
    assert_eq!(recall(&*store, &user, "a").await.record, Some(record("a", 3)));
}

async fn a_new_user_may_begin_with_an_erasure(database: Database) {
    let store = database.open().await;
    let user = User::new();
    let erasure = erasure(&user, 0);
    for _ in 0..2 {
        assert_eq!(commit(&*store, erasure.clone()).await, Outcome::Committed);
        assert_eq!(load(&*store, &user).await, Some(erased(&user, 1)));
    }
}

async fn erasing_and_other_batches_travel_in_one_group(database: Database) {
    let store = database.open().await;
    let ids = ids();
    let mut users = Vec::new();
    for _ in 0..12 {
        users.push(settled(&*store, &ids).await);
    }
    // In turns: erased, and begun again with a task id that another user has, too; changed; an erasure that
    // is refused.
    let again = task(ids[0], "again", 4);
    let batch = |(place, user): (usize, &User)| {
        let batch = user.batch(if place % 3 == 2 { 1 } else { 3 }, vec![put(&again)]);
        Arc::new(Batch { erase: place % 3 != 1, ..batch })
    };
    let batches: Vec<_> = users.iter().enumerate().map(batch).collect();
    let outcomes = store.commit(&batches).await;
    for ((place, user), outcome) in users.iter().enumerate().zip(outcomes) {
        let refused = place % 3 == 2;
        assert_eq!(outcome, if refused { Outcome::Conflict } else { Outcome::Committed });
        let stored = load(&*store, user).await.unwrap();
        let (seq, horizon, tasks) = [(4, 4, 1), (4, 0, 2), (3, 0, 2)][place % 3];
        assert_eq!((stored.seq, stored.horizon), (Seq::new(seq), Seq::new(horizon)));
        assert_eq!(stored.tasks.len(), tasks);
    }
}

async fn a_purge_forgets_what_is_old_and_moves_the_horizon(database: Database) {
    let store = database.open().await;
    let (user, other) = (User::new(), settled(&*store, &ids()).await);
    let ids: [TaskId; 4] = std::array::from_fn(|_| TaskId::generate());
    let kept = task(ids[3], "kept", 4);
    let mut batch = user.batch(0, vec![delete(ids[0], 1), delete(ids[1], 2), delete(ids[2], 3), put(&kept)]);
    batch.keys = vec![record("old", 1), record("young", 2)];
    assert_eq!(commit(&*store, batch).await, Outcome::Committed);
    // A later deletion with an earlier time: clocks differ.
    let early = Change::Delete { id: ids[0], seq: Seq::new(5), at: at(0) };
    assert_eq!(commit(&*store, user.batch(4, vec![early])).await, Outcome::Committed);

    // Nothing is that old.
    assert_eq!(store.purge(at(0), at(0)).await.unwrap(), 0);
    assert_eq!(load(&*store, &user).await.unwrap().horizon, Seq::ZERO);

    assert_eq!(store.purge(Timestamp::from_micros(0), at(2)).await.unwrap(), 1, "one key");
    assert_eq!(recall(&*store, &user, "old").await.record, None);
    assert_eq!(recall(&*store, &user, "young").await.record, Some(record("young", 2)));

    assert_eq!(store.purge(at(2), at(0)).await.unwrap(), 1, "the deletion with the seq 5");
    let stored = load(&*store, &user).await.unwrap();
    assert_eq!((stored.seq, stored.horizon), (Seq::new(5), Seq::new(5)));
    assert_eq!(stored.tombstones, [], "deletions before the horizon are not returned");
    assert_eq!(stored.tasks, [kept]);
    assert_eq!(load(&*store, &other).await.unwrap().horizon, Seq::ZERO);

    assert_eq!(commit(&*store, user.batch(5, vec![delete(ids[3], 6)])).await, Outcome::Committed);
    assert_eq!(store.purge(at(4), at(0)).await.unwrap(), 3, "two of them, and the other user's");
    let stored = load(&*store, &user).await.unwrap();
    assert_eq!((stored.horizon, stored.tombstones), (Seq::new(5), tombstones(&[(6, ids[3])])));
    assert_eq!(load(&*store, &other).await.unwrap().horizon, Seq::new(3));
    assert_eq!(store.purge(at(9), at(9)).await.unwrap(), 1 + 3, "all that is left, keys too");
    assert_eq!(store.purge(at(9), at(9)).await.unwrap(), 0);
    assert_eq!(load(&*store, &user).await.unwrap().horizon, Seq::new(6));
}

async fn a_purge_goes_through_more_than_one_part(database: Database) {
    const EACH: i64 = 120;
    let store = database.open().await;
    let users: Vec<_> = (0..10).map(|_| User::new()).collect();
    let batch = |user: &User| {
        let mut batch = user.batch(0, (1..=EACH).map(|seq| delete(TaskId::generate(), seq)).collect());
        batch.keys = (1..=EACH).map(|seq| record(&seq.to_string(), seq)).collect();
        Arc::new(batch)
    };
    let batches: Vec<_> = users.iter().map(batch).collect();
    assert_eq!(store.commit(&batches).await, vec![Outcome::Committed; users.len()]);
    let old = 110;
    let gone = store.purge(at(old + 1), at(old + 1)).await.unwrap();
    assert_eq!(gone, 2 * 10 * old.unsigned_abs());
    for user in &users {
        let stored = load(&*store, user).await.unwrap();
        assert_eq!((stored.horizon.get(), stored.tombstones.len()), (old, 10));
        assert_eq!(recall(&*store, user, &old.to_string()).await.record, None);
        let next = (old + 1).to_string();
        assert_eq!(recall(&*store, user, &next).await.record, Some(record(&next, old + 1)));
    }
}

async fn a_task_deleted_again_is_not_purged_by_its_first_deletion(database: Database) {
    let store = database.open().await;
    let (user, id) = (User::new(), TaskId::generate());
    let again = task(id, "again", 2);
    for (expected, change) in (0..).zip([delete(id, 1), put(&again), delete(id, 3)]) {
        assert_eq!(commit(&*store, user.batch(expected, vec![change])).await, Outcome::Committed);
    }
    assert_eq!(store.purge(at(3), at(0)).await.unwrap(), 0);
    let stored = load(&*store, &user).await.unwrap();
    assert_eq!((stored.horizon, stored.tombstones), (Seq::ZERO, tombstones(&[(3, id)])));
}

async fn an_erased_horizon_is_never_moved_back(database: Database) {
    let store = database.open().await;
    let user = settled(&*store, &ids()).await;
    // The batch's own deletion has a lower seq than the erasure's.
    let batch =
        Batch { erase: true, reached: Seq::new(9), ..user.batch(3, vec![delete(TaskId::generate(), 5)]) };
    assert_eq!(commit(&*store, batch).await, Outcome::Committed);
    assert_eq!(store.purge(at(100), at(0)).await.unwrap(), 1);
    assert_eq!(load(&*store, &user).await, Some(erased(&user, 9)));
}

async fn a_purge_beside_commits_hides_no_deletion_and_refuses_no_commit(database: Database) {
    const USERS: usize = 3;
    const ROUNDS: i64 = 60;
    let [store, other] = database.open_twice().await;
    let done = Arc::new(AtomicBool::new(false));
    let purging = [Arc::clone(&store), other].map(|store| {
        let done = Arc::clone(&done);
        thread::spawn(move || {
            run(async move {
                let mut gone = 0;
                while !done.load(Ordering::SeqCst) {
                    gone += store.purge(at(i64::from(u32::MAX)), at(0)).await.unwrap();
                }
                gone
            })
        })
    });
    let users: [User; USERS] = std::array::from_fn(|_| User::new());
    let ids: Vec<_> = (0..4).map(|_| TaskId::generate()).collect();
    let mut states: [(BTreeMap<TaskId, Task>, BTreeMap<TaskId, i64>); USERS] = Default::default();
    for seq in 1..=ROUNDS {
        let id = ids[usize::try_from(seq).unwrap() * 7 / 3 % ids.len()];
        let mut batches = Vec::new();
        for (user, (tasks, gone)) in users.iter().zip(&mut states) {
            let made = task(id, "made", seq);
            let change = if tasks.remove(&id).is_some() {
                gone.insert(id, seq);
                delete(id, seq)
            } else {
                gone.remove(&id);
                tasks.insert(id, made.clone());
                put(&made)
            };
            batches.push(Arc::new(user.batch(seq - 1, vec![change])));
        }
        assert_eq!(store.commit(&batches).await, vec![Outcome::Committed; USERS]);
        for (user, (tasks, gone)) in users.iter().zip(&states) {
            let stored = load(&*store, user).await.unwrap();
            assert_eq!(stored.seq, Seq::new(seq));
            assert_eq!(stored.tasks, tasks.values().cloned().collect::<Vec<_>>());
            let due: BTreeMap<_, _> = gone
                .iter()
                .filter(|(_, at)| **at > stored.horizon.get())
                .map(|(id, at)| (*at, *id))
                .collect();
            let due: Vec<_> = due.into_iter().collect();
            assert_eq!(stored.tombstones, tombstones(&due), "horizon {:?}", stored.horizon);
        }
    }
    done.store(true, Ordering::SeqCst);
    let gone: u64 = purging.map(|purging| purging.join().unwrap()).iter().sum();
    assert!(gone > 0, "no purge met a tombstone: the test proves nothing");
    store.purge(at(i64::from(u32::MAX)), at(0)).await.unwrap();
    for user in &users {
        let stored = load(&*store, user).await.unwrap();
        assert_eq!(stored.tombstones, []);
        assert!(stored.horizon > Seq::ZERO && stored.horizon <= stored.seq);
    }
}

async fn one_users_deletions_are_forgotten_up_to_a_seq(database: Database) {
    const ALL: i64 = 1_300;
    let store = database.open().await;
    let (user, other) = (User::new(), User::new());
    assert_eq!(store.forget(user.id, Seq::new(9)).await.unwrap(), 0, "who never wrote");
    let ids: Vec<_> = (0..ALL).map(|_| TaskId::generate()).collect();
    for user in [&user, &other] {
        let deletions = (1..).zip(&ids).map(|(seq, id)| delete(*id, seq)).collect();
        assert_eq!(commit(&*store, user.batch(0, deletions)).await, Outcome::Committed);
        // The first task was made and deleted again, the second made again.
        let again = vec![delete(ids[0], ALL + 1), put(&task(ids[1], "again", ALL + 2))];
        assert_eq!(commit(&*store, user.batch(ALL, again)).await, Outcome::Committed);
    }
    let before = load(&*store, &other).await;
    for (up_to, forgotten, horizon) in
        [(1_200, 1_199, 1_200), (700, 0, 1_200), (1_201, 1, 1_201), (i64::MAX, 100, ALL + 2)]
    {
        assert_eq!(store.forget(user.id, Seq::new(up_to)).await.unwrap(), forgotten);
        let stored = load(&*store, &user).await.unwrap();
        assert_eq!((stored.horizon.get(), stored.seq.get(), stored.tasks.len()), (horizon, ALL + 2, 1));
        assert!(stored.tombstones.iter().all(|(seq, _)| seq.get() > horizon));
        let left = usize::try_from(ALL - horizon.min(ALL) + i64::from(horizon <= ALL)).unwrap();
        assert_eq!(stored.tombstones.len(), left);
    }
    assert_eq!(load(&*store, &other).await, before);
    assert_eq!(database.count("tombstones"), ALL);
    // The next deletion is remembered.
    assert_eq!(commit(&*store, user.batch(ALL + 2, vec![delete(ids[1], ALL + 3)])).await, Outcome::Committed);
    assert_eq!(load(&*store, &user).await.unwrap().tombstones, tombstones(&[(ALL + 3, ids[1])]));
}
