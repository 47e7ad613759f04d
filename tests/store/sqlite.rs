//! What the SQLite store promises beyond the common contract.

use rusqlite::Connection;
use tasklane::domain::TaskId;
use tasklane::store::sqlite::SqliteStore;
use tasklane::store::{Outcome, Store};

use crate::fixture::{User, commit, load, put, run, task};

#[test]
fn a_second_open_of_the_same_file_is_refused_until_the_first_closes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/tasks.db");
    let store = SqliteStore::open(&path).unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for path in [&path, &link] {
        let refused = SqliteStore::open(path).err().unwrap().to_string();
        let owner = format!("in use by process {}", std::process::id());
        assert!(refused.contains(&owner) && refused.contains("use another file"), "{refused}");
    }
    run(store.close());
    let again = SqliteStore::open(&path).unwrap();
    run(again.ping()).unwrap();
}

#[test]
fn a_store_dropped_without_closing_releases_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.db");
    drop(SqliteStore::open(&path).unwrap());
    SqliteStore::open(&path).unwrap();
}

#[test]
fn a_closed_store_leaves_everything_in_the_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.db");
    let store = SqliteStore::open(&path).unwrap();
    let batch = User::new().batch(0, vec![put(&task(TaskId::generate(), "kept", 1))]);
    assert_eq!(run(commit(&store, batch)), Outcome::Committed);
    run(store.close());
    let copy = folder.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    let count: i64 = Connection::open(&copy)
        .unwrap()
        .query_row("SELECT count(*) FROM tasks", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
}

#[test]
fn a_lock_by_another_program_makes_the_store_unavailable_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.db");
    let store = SqliteStore::open(&path).unwrap();
    let user = User::new();
    let batch = user.batch(0, vec![put(&task(TaskId::generate(), "waits", 1))]);
    let tool = Connection::open(&path).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    let outcome = run(commit(&store, batch.clone()));
    assert!(matches!(outcome, Outcome::Unavailable(_)), "{outcome:?}");
    assert_eq!(run(load(&store, &user)), None, "reading goes on meanwhile");
    tool.execute_batch("ROLLBACK").unwrap();
    assert_eq!(run(commit(&store, batch)), Outcome::Committed);
}

#[test]
fn a_file_that_is_not_a_database_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "not a database, but long enough to look at".repeat(100)).unwrap();
    let refused = SqliteStore::open(&path).err().unwrap().to_string();
    assert!(refused.contains("notes.txt") && refused.contains("not a database"), "{refused}");
}
