//! Tests that need the store's internals: panics, a full disk, the settings in force.

use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;
use uuid::Uuid;

use super::store::SqliteStore;
use super::task_row;
use super::worker::Lost;
use crate::domain::{Change, NewTask, Seq, TaskId, Timestamp, Title, UserId};
use crate::store::{Batch, Outcome, Store};

fn open() -> (TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("tasks.db")).unwrap();
    (folder, store)
}

/// A new user's first batch of `count` tasks.
fn batch(subject: &str, count: i64) -> Arc<Batch> {
    let task = |version| {
        let new = NewTask::titled(TaskId::generate(), Title::from_store("x".repeat(200)));
        new.make(Timestamp::from_micros(1), Seq::new(version))
    };
    Arc::new(Batch {
        id: Uuid::new_v4(),
        user: UserId::of_subject(subject),
        subject: subject.into(),
        email: None,
        epoch: 0,
        expected: Seq::ZERO,
        reached: Seq::new(count),
        erase: false,
        changes: (1..=count).map(|version| Change::Put(Arc::new(task(version)))).collect(),
        keys: Vec::new(),
    })
}

#[tokio::test]
async fn the_log_and_full_syncs_are_in_force_on_both_connections() {
    let (_folder, store) = open();
    for worker in [&*store.writer, &store.reader] {
        let settings = |connection: &mut Connection| {
            let ask = |name| {
                connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            };
            ["journal_mode", "synchronous", "foreign_keys", "busy_timeout"].map(|name| ask(name).unwrap())
        };
        let [mode, synchronous, keys, wait] = worker.run(settings).await.unwrap();
        assert_eq!(mode, "wal".to_owned().into());
        assert_eq!([synchronous, keys, wait], [2.into(), 1.into(), 5000.into()]);
    }
}

#[tokio::test]
async fn the_reader_cannot_write() {
    let (_folder, store) = open();
    store.reader.run(|connection| connection.execute("DELETE FROM users", [])).await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_panic_ends_its_own_job_and_rolls_back_what_it_began() {
    let (_folder, store) = open();
    let panicking = |connection: &mut Connection| {
        connection.execute_batch("BEGIN; DELETE FROM users").unwrap();
        panic!("on purpose");
    };
    assert_eq!(store.writer.run::<()>(panicking).await, Err(Lost::NoAnswer));
    assert_eq!(store.reader.run::<()>(|_| panic!("on purpose")).await, Err(Lost::NoAnswer));
    let batch = batch("after the panic", 1);
    assert_eq!(store.commit(std::slice::from_ref(&batch)).await, [Outcome::Committed]);
    assert_eq!(store.load(batch.user).await.unwrap().unwrap().tasks.len(), 1);
    store.close().await;
}

#[tokio::test]
async fn a_full_disk_makes_the_group_unavailable_and_the_store_recovers() {
    let (_folder, store) = open();
    let limit = |pages: i64| {
        move |connection: &mut Connection| {
            connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
        }
    };
    store.writer.run(limit(1)).await.unwrap();
    let batches = [batch("small", 1), batch("large", 100)];
    let outcomes = store.commit(&batches).await;
    for (batch, outcome) in batches.iter().zip(&outcomes) {
        assert!(matches!(outcome, Outcome::Unavailable(_)), "{outcome:?}");
        assert_eq!(store.load(batch.user).await.unwrap(), None);
    }
    store.writer.run(limit(i64::from(u32::MAX - 1))).await.unwrap();
    assert_eq!(store.commit(&batches).await, [Outcome::Committed, Outcome::Committed]);
}

#[tokio::test]
async fn an_import_that_fills_the_disk_is_not_applied_and_can_be_sent_again_when_there_is_room() {
    let (_folder, store) = open();
    let limit = |more: i64| {
        move |connection: &mut Connection| {
            let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
            connection.pragma_update_and_check(None, "max_page_count", pages + more, |_| Ok(())).unwrap();
        }
    };
    let import = batch("ann", 5_000);
    // Room for some of its slices.
    store.writer.run(limit(150)).await.unwrap();
    let outcomes = store.commit(std::slice::from_ref(&import)).await;
    assert!(matches!(&outcomes[..], [Outcome::Unavailable(_)]), "{outcomes:?}");
    assert_eq!(store.load(import.user).await.unwrap(), None);
    store.writer.run(limit(10_000)).await.unwrap();
    for _ in 0..1_000 {
        // Unavailable, until what it left is removed.
        if store.commit(std::slice::from_ref(&import)).await == [Outcome::Committed] {
            assert_eq!(store.load(import.user).await.unwrap().unwrap().tasks.len(), 5_000);
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("what was left is never removed");
}

#[tokio::test]
async fn writing_a_task_builds_no_temporary_table_and_a_foreign_priority_is_refused() {
    let (_folder, store) = open();
    let batch = batch("ann", 1);
    assert_eq!(store.commit(std::slice::from_ref(&batch)).await, [Outcome::Committed]);
    let look = |connection: &mut Connection| {
        let explained = format!("EXPLAIN {}", *task_row::PUT);
        let mut plan = connection.prepare(&explained).unwrap();
        let nothing = vec![rusqlite::types::Null; plan.parameter_count()];
        let steps =
            plan.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(1)).unwrap();
        let steps: Vec<_> = steps.map(Result::unwrap).collect();
        let set = |priority: &str| connection.execute("UPDATE tasks SET priority = ?1", [priority]);
        (steps, ["low", "medium", "high", "urgent", "Low", ""].map(|priority| set(priority).is_ok()))
    };
    let (steps, taken) = store.writer.run(look).await.unwrap();
    assert!(steps.iter().any(|step| step == "OpenWrite"), "{steps:?}");
    assert!(!steps.iter().any(|step| step == "OpenEphemeral"), "{steps:?}");
    assert_eq!(taken, [true, true, true, true, false, false]);
    store.close().await;
}
