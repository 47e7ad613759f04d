//! Moving all users from one store to another. Each case runs from every store to every other, and to its own
//! kind.

use std::thread;

use tasklane::domain::TaskId;
use tasklane::store::check::audit;
use tasklane::store::copy::{Copied, CopyError, CopyStep, Transfer, UserCount, WholeUser, copy};
use tasklane::store::{Batch, Outcome, StoreError};

use crate::fixture::{
    Database, User, commit, delete, load, on_store_runtime, put, recall, record, run, task,
};

/// Runs each case from each kind of store to each.
macro_rules! on_every_pair {
    ($($case:ident)*) => {
        on_every_pair!(@pair sqlite_to_sqlite, sqlite, sqlite, {}, $($case)*);
        on_every_pair!(@pair sqlite_to_postgres, sqlite, postgres, { needs!(Postgres); }, $($case)*);
        on_every_pair!(@pair postgres_to_sqlite, postgres, sqlite, { needs!(Postgres); }, $($case)*);
        on_every_pair!(@pair postgres_to_postgres, postgres, postgres, { needs!(Postgres); }, $($case)*);
    };
    (@pair $pair:ident, $from:ident, $to:ident, $needs:block, $($case:ident)*) => {
        mod $pair {
            $(#[test] fn $case() {
                use crate::fixture::Database;
                $needs
                crate::fixture::run(super::$case(Database::$from(), Database::$to()));
            })*
        }
    };
}

on_every_pair! {
    everything_of_every_user_arrives_as_it_was
    an_interrupted_copy_is_continued
    a_difference_in_any_value_is_found
    a_target_with_another_history_is_refused_before_anything_is_written
    users_of_the_target_alone_are_left_alone
    users_are_made_together_or_not_at_all
    a_change_of_the_source_during_the_copy_is_found
    the_target_is_another_store_after_each_copy
}

async fn copied(from: &dyn Transfer, to: &dyn Transfer) -> Result<Copied, CopyError> {
    copy(from, to, |_, _, _| ()).await
}

/// A user at seq 9 with some of everything: completed and open tasks, deletions, one of a task that was
/// created again, keys, and an address.
async fn lively(store: &dyn Transfer) -> User {
    let user = User::new();
    let ids: [TaskId; 6] = std::array::from_fn(|_| TaskId::generate());
    let mut changes: Vec<_> =
        (1..).zip(&ids[..4]).map(|(version, id)| put(&task(*id, "työ", version))).collect();
    changes.extend([delete(ids[4], 5), delete(ids[5], 6)]);
    let mut batch = user.batch(0, changes);
    batch.email = Some(format!("{}@example.com", user.id).into());
    batch.keys = vec![record("a", 5), record("'\\ \u{1F980}", 6)];
    assert_eq!(commit(store, batch).await, Outcome::Committed);
    let again =
        user.batch(6, vec![put(&task(ids[5], "again", 7)), delete(ids[0], 8), delete(TaskId::generate(), 9)]);
    assert_eq!(commit(store, again).await, Outcome::Committed);
    user
}

/// Users of every kind. The last one has more than fits into one write.
async fn everybody(store: &dyn Transfer) -> Vec<User> {
    let mut users = vec![lively(store).await, lively(store).await, User::new(), User::new(), User::new()];
    let erasing =
        Batch { erase: true, ..users[1].batch(9, vec![put(&task(TaskId::generate(), "after", 10))]) };
    let of_keys_alone = Batch { keys: vec![record("alone", 0)], ..users[2].batch(0, vec![]) };
    let long = "\u{1F980}".repeat(200);
    let many = (1..=3000).map(|version| put(&task(TaskId::generate(), &long, version))).collect();
    let answers = (0..5).map(|at| {
        let mut record = record(&format!("{at}"), at);
        record.answer = "[]".repeat(400_000).into();
        record
    });
    let large = Batch { keys: answers.collect(), ..users[3].batch(0, many) };
    for batch in [erasing, of_keys_alone, large] {
        assert_eq!(commit(store, batch).await, Outcome::Committed);
    }
    // A user who has never written is not in the store.
    users.truncate(4);
    users
}

async fn whole(store: &dyn Transfer, user: &User) -> Option<WholeUser> {
    store.whole(user.id).await.unwrap()
}

async fn everything_of_every_user_arrives_as_it_was(from: Database, to: Database) {
    let (source, target) = (from.open().await, to.open().await);
    let users = everybody(&*source).await;
    let expected = Copied { users: 4, there: 0, others: 0, tasks: 3005, tombstones: 4, keys: 8 };
    assert_eq!(copied(&*source, &*target).await.unwrap(), expected);
    for user in &users {
        let original = whole(&*source, user).await;
        assert!(original.is_some());
        assert_eq!(whole(&*target, user).await, original);
        assert_eq!(load(&*target, user).await, load(&*source, user).await);
        for key in ["a", "'\\ \u{1F980}", "alone", "3", "none"] {
            assert_eq!(recall(&*target, user, key).await, recall(&*source, user, key).await);
        }
    }
    assert_eq!(audit(&*target, |_, _| ()).await.unwrap().faults, Vec::<String>::new());
    // Writes continue at the same seq, and the last batch is recognised.
    let mut again = users[0].batch(0, vec![]);
    again.id = whole(&*source, &users[0]).await.unwrap().last_batch.unwrap();
    assert_eq!(commit(&*target, again).await, Outcome::Committed);
    // The copy made another store of the target: a connection made since then starts an epoch.
    let mut outcome = Outcome::Conflict;
    for _ in 0..3 {
        let mut next = users[0].batch(9, vec![put(&task(TaskId::generate(), "next", 10))]);
        next.epoch = target.life().epoch;
        outcome = commit(&*target, next).await;
        if outcome == Outcome::Committed {
            break;
        }
    }
    assert_eq!(outcome, Outcome::Committed);
}

async fn an_interrupted_copy_is_continued(from: Database, to: Database) {
    let (source, target) = (from.open().await, to.open().await);
    let users = everybody(&*source).await;
    // What the interrupted copy had done.
    target.restore(vec![whole(&*source, &users[1]).await.unwrap()]).await.unwrap();
    for there in [1, 4] {
        let copied = copied(&*source, &*target).await.unwrap();
        assert_eq!((copied.users, copied.there), (4, there));
    }
    for user in &users {
        assert_eq!(whole(&*target, user).await, whole(&*source, user).await);
    }
}

async fn the_target_is_another_store_after_each_copy(from: Database, to: Database) {
    let source = from.open().await;
    lively(&*source).await;
    let mut identities = vec![source.life().identity];
    for _ in 0..3 {
        let target = to.open().await;
        copied(&*source, &*target).await.unwrap();
        target.close().await;
        // Opened again it stays what it is.
        let mut lives = Vec::new();
        for _ in 0..2 {
            let target = to.open().await;
            lives.push(target.life());
            target.close().await;
        }
        assert_eq!(lives[0], lives[1]);
        assert!(!identities.contains(&lives[0].identity));
        identities.push(lives[0].identity);
    }
    assert_eq!(source.life().identity, identities[0]);
}

async fn a_difference_in_any_value_is_found(from: Database, to: Database) {
    let (source, target) = (from.open().await, to.open().await);
    lively(&*source).await;
    let values = [
        "users SET email = NULL",
        "users SET seq = seq + 1",
        "users SET horizon = 1",
        "users SET last_batch = NULL",
        "users SET created_at = LATER(created_at)",
        "tasks SET title = 'x'",
        "tasks SET description = NULL",
        "tasks SET completed = NOT completed",
        "tasks SET created_at = LATER(created_at)",
        "tasks SET updated_at = LATER(updated_at)",
        "tasks SET version = version + 100",
        "tasks SET priority = NULL",
        "tasks SET tags = NULL",
        "tasks SET due_date = NULL",
        "tasks SET completed_at = LATER(completed_at)",
        "tasks SET position = NULL",
        "tombstones SET seq = seq + 100",
        "tombstones SET deleted_at = LATER(deleted_at)",
        "idempotency_keys SET key = key || 'x'",
        "idempotency_keys SET fingerprint = ZEROES",
        "idempotency_keys SET answer = '{}'",
        "idempotency_keys SET kept_at = LATER(kept_at)",
    ];
    let changes = values.iter().map(|value| format!("UPDATE {value}"));
    let tables = ["idempotency_keys", "tombstones", "tasks", "users"];
    let losses = tables[..3].iter().map(|table| format!("DELETE FROM {table}"));
    for change in changes.chain(losses) {
        assert_eq!(copied(&*source, &*target).await.unwrap().users, 1);
        to.execute(&change);
        let newer = u64::from(change.contains("users SET seq"));
        match copied(&*source, &*target).await {
            Err(CopyError::Differs { users: UserCount(1), newer: found }) if found == newer => {}
            other => panic!("{change}: {other:?}"),
        }
        for table in tables {
            to.execute(&format!("DELETE FROM {table}"));
        }
    }
}

async fn a_target_with_another_history_is_refused_before_anything_is_written(from: Database, to: Database) {
    let (source, target) = (from.open().await, to.open().await);
    let [ahead, behind, new] = [User::new(), User::new(), User::new()];
    let made =
        |user: &User, from: i64| user.batch(from, vec![put(&task(TaskId::generate(), "secret", from + 1))]);
    let all = [(&ahead, 0), (&behind, 0), (&behind, 1), (&new, 0)];
    for (user, seq) in all {
        assert_eq!(commit(&*source, made(user, seq)).await, Outcome::Committed);
    }
    for (user, seq) in [(&ahead, 0), (&ahead, 1), (&behind, 0)] {
        assert_eq!(commit(&*target, made(user, seq)).await, Outcome::Committed);
    }
    let before = (whole(&*target, &ahead).await, whole(&*target, &behind).await);
    let refused = copied(&*source, &*target).await.unwrap_err();
    assert!(matches!(refused, CopyError::Differs { users: UserCount(2), newer: 1 }), "{refused:?}");
    let message = refused.to_string();
    assert!(
        message.contains("2 users") && message.contains("1 of them") && !message.contains("secret"),
        "{message}"
    );
    assert_eq!((whole(&*target, &ahead).await, whole(&*target, &behind).await), before);
    assert_eq!(whole(&*target, &new).await, None);
}

async fn users_of_the_target_alone_are_left_alone(from: Database, to: Database) {
    let (source, target) = (from.open().await, to.open().await);
    let (mine, other) = (lively(&*source).await, lively(&*target).await);
    let before = whole(&*target, &other).await;
    let copied = copied(&*source, &*target).await.unwrap();
    assert_eq!((copied.users, copied.others), (1, 1));
    assert_eq!(whole(&*target, &other).await, before);
    assert_eq!(whole(&*target, &mine).await, whole(&*source, &mine).await);
}

async fn users_are_made_together_or_not_at_all(from: Database, to: Database) {
    let (source, target) = (from.open().await, to.open().await);
    let users = everybody(&*source).await;
    let mut all = Vec::new();
    for user in &users {
        all.push(whole(&*source, user).await.unwrap());
    }
    target.restore(vec![all[1].clone()]).await.unwrap();
    let text_of = |error: StoreError| error.to_string();
    let refused = text_of(target.restore(all.clone()).await.unwrap_err());
    assert!(refused.contains("users") && !refused.contains(&all[1].subject), "{refused}");
    // The last user has a row that no store can keep.
    let mut bad = vec![all[0].clone(), all[2].clone()];
    bad[1].keys[0].key = "".into();
    let refused = text_of(target.restore(bad).await.unwrap_err());
    assert!(refused.contains("idempotency_keys"), "{refused}");
    for (at, user) in users.iter().enumerate() {
        assert_eq!(whole(&*target, user).await.is_some(), at == 1);
    }
    let present = target.seqs(&[all[0].id, all[1].id]).await.unwrap();
    assert_eq!(present, [(all[1].id, all[1].seq)]);
    all.remove(1);
    target.restore(all).await.unwrap();
    assert_eq!(target.count_users().await.unwrap(), 4);
}

async fn a_change_of_the_source_during_the_copy_is_found(from: Database, to: Database) {
    let (source, target) = (from.open().await, to.open().await);
    let users = [lively(&*source).await, lively(&*source).await];
    let writer = source.clone();
    // Once the first of the two is verified, both change: the change of the second is found.
    let write_late = |step, done, _| {
        if (step, done) == (CopyStep::Verifying, 1) {
            let late = users.clone().map(|user| user.batch(9, vec![delete(TaskId::generate(), 10)]));
            let writer = writer.clone();
            let writing = thread::spawn(move || {
                run(async {
                    for batch in late {
                        assert_eq!(commit(&*writer, batch).await, Outcome::Committed);
                    }
                });
            });
            writing.join().unwrap();
        }
    };
    let error = copy(&*source, &*target, write_late).await.unwrap_err();
    assert!(matches!(error, CopyError::NotTheSame { users: UserCount(1) }), "{error:?}");
    // The next copy is refused before anything is written, and changes nothing.
    let error = copied(&*source, &*target).await.unwrap_err();
    assert!(matches!(error, CopyError::Differs { users: UserCount(2), newer: 0 }), "{error:?}");
}

/// A locked table stands in for a slow one.
#[test]
fn a_patient_audit_waits_longer_than_a_request_would_on_postgres() {
    use std::time::Duration;

    use tasklane::store::check::Audit;
    use tasklane::store::postgres::PostgresOptions;

    needs!(Postgres);
    let database = crate::fixture::PostgresDatabase::create();
    let hasty = |options: &mut PostgresOptions| {
        // Long enough to connect on a busy machine.
        options.statement_timeout = Duration::from_secs(1);
        options.answer_timeout = Duration::from_secs(2);
    };
    let patient = run(database.connect(|options| {
        hasty(options);
        *options = options.clone().patient();
    }));
    let hasty = run(database.connect(hasty));
    let client = database.client();
    on_store_runtime(async move {
        client.batch_execute("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE").await.unwrap();
        // The lock is released some time after the impatient check has given up.
        let release = async {
            assert!(hasty.damage().await.is_err());
            tokio::time::sleep(Duration::from_millis(500)).await;
            client.batch_execute("COMMIT").await.unwrap();
        };
        let (damage, ()) = tokio::join!(patient.damage(), release);
        assert_eq!(damage.unwrap(), Vec::<String>::new());
    });
}
