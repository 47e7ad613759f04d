//! What the SQLite store promises beyond the common contract.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tasklane::domain::{Seq, TaskId};
use tasklane::store::check::audit;
use tasklane::store::sqlite::{self, SqliteStore};
use tasklane::store::{Batch, Outcome, Store};

use crate::fixture::{User, commit, load, put, recall, record, run, task};

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

#[test]
fn neither_reads_nor_a_backup_in_the_midst_of_an_import_or_an_erasure_show_a_part_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.db");
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    let user = User::new();
    let made = |seq: i64| put(&task(TaskId::generate(), "imported", seq));
    assert_eq!(run(commit(&*store, user.batch(0, vec![made(1)]))), Outcome::Committed);
    let mut import = user.batch(1, (2..=40_001).map(made).collect());
    import.keys = vec![record("key", 1)];
    let erasure = Batch { erase: true, reached: Seq::new(40_002), ..user.batch(40_001, vec![]) };
    // Rows at the start of each, and what a backup then shows: seq and tasks.
    for (batch, rows, shown) in [(import, 1, (1, 1)), (erasure, 40_001, (40_002, 0))] {
        let committing = {
            let store = Arc::clone(&store);
            std::thread::spawn(move || run(commit(&*store, batch)))
        };
        let count = |path| {
            let connection = Connection::open(path).unwrap();
            connection.query_row("SELECT count(*) FROM tasks", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        while count(&path) == rows {
            std::thread::yield_now();
        }
        let stored = run(load(&*store, &user)).unwrap();
        assert_eq!((stored.seq.get(), stored.tasks.len()), shown);
        assert_eq!(run(recall(&*store, &user, "key")).record, None);
        let copy = folder.path().join(format!("backup of {rows}.db"));
        sqlite::backup(&path, &copy).unwrap();
        assert_eq!(committing.join().unwrap(), Outcome::Committed);
        assert!((2..40_001).contains(&count(&copy)), "the backup was not taken in the midst");
        let copied = SqliteStore::open(&copy).unwrap();
        assert_eq!(run(audit(&copied, |_, _| ())).unwrap().faults, Vec::<String>::new());
        let stored = run(load(&copied, &user)).unwrap();
        assert_eq!((stored.seq.get(), stored.tasks.len()), shown);
        assert_eq!(count(&copy), i64::try_from(shown.1).unwrap(), "the rest is removed when it is opened");
        let next = user.batch(shown.0, vec![made(100_000)]);
        let next = Batch { reached: Seq::new(100_000), ..next };
        assert_eq!(run(commit(&copied, next)), Outcome::Committed);
        assert_eq!(run(load(&copied, &user)).unwrap().tasks.len(), shown.1 + 1);
    }
}

#[test]
fn a_user_with_rows_that_could_not_be_removed_writes_nothing_until_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.db");
    let store = SqliteStore::open(&path).unwrap();
    let (user, other) = (User::new(), User::new());
    let made = |seq| vec![put(&task(TaskId::generate(), "kept", seq))];
    for user in [&user, &other] {
        assert_eq!(run(commit(&store, user.batch(0, made(1)))), Outcome::Committed);
    }
    // What an import leaves whose disk is full.
    let left = format!(
        "UPDATE users SET unswept = zeroblob(16) WHERE id = x'{user}';
         INSERT INTO tasks (user_id, id, created_at, updated_at, version, completed, title)
         VALUES (x'{user}', randomblob(16), 1, 1, 2, 0, 'left')",
        user = user.id.as_uuid().simple()
    );
    Connection::open(&path).unwrap().execute_batch(&left).unwrap();
    let before = run(load(&store, &user));
    assert_eq!(before.clone().unwrap().tasks.len(), 1);
    let group = [user.batch(1, made(2)), other.batch(1, made(2)), user.batch(0, made(1))];
    let [batch, others, late] = group.map(Arc::new);
    let outcomes = run(store.commit(&[batch.clone(), others]));
    assert!(matches!(outcomes[..], [Outcome::Unavailable(_), Outcome::Committed]), "{outcomes:?}");
    assert_eq!(run(store.commit(&[late])), [Outcome::Conflict]);
    assert_eq!(run(load(&store, &user)), before);
    run(store.close());
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(run(load(&store, &user)), before);
    assert_eq!(run(store.commit(&[batch])), [Outcome::Committed]);
    assert_eq!(run(load(&store, &user)).unwrap().tasks.len(), 2);
}

/// Every file of a store and its backup, with what group and others may do with it.
fn modes(folder: &Path) -> Vec<(String, u32)> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let mode = |file: &fs::DirEntry| fs::symlink_metadata(file.path()).unwrap().mode() & 0o077;
    files.map(|file| (file.file_name().into_string().unwrap(), mode(&file))).collect()
}

#[test]
fn nobody_but_the_owner_may_read_a_file_of_the_store_or_enter_its_new_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (inner, copies) = (folder.path().join("new/data"), folder.path().join("copies"));
    let path = inner.join("tasks.db");
    let store = SqliteStore::open(&path).unwrap();
    let batch = User::new().batch(0, vec![put(&task(TaskId::generate(), "kept", 1))]);
    assert_eq!(run(commit(&store, batch)), Outcome::Committed);
    fs::create_dir(&copies).unwrap();
    sqlite::backup(&path, &copies.join("copy.db")).unwrap();
    let found: Vec<_> = [&inner, &copies].into_iter().flat_map(|folder| modes(folder)).collect();
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["tasks.db", "tasks.db-wal", "tasks.db-shm", "tasks.db.lock", "copy.db"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(found.iter().all(|(_, mode)| *mode == 0), "{found:?}");
    assert!(modes(folder.path()).contains(&("new".to_owned(), 0)));
    // Files of an earlier version are tightened.
    run(store.close());
    for name in ["tasks.db", "tasks.db.lock"] {
        fs::set_permissions(inner.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let _store = SqliteStore::open(&path).unwrap();
    assert!(modes(&inner).iter().all(|(_, mode)| *mode == 0), "{:?}", modes(&inner));
}

#[test]
fn no_file_of_ours_is_written_through_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (folder.path().join("tasks.db"), folder.path().join("elsewhere"));
    let link = |name: &str| std::os::unix::fs::symlink(&elsewhere, folder.path().join(name)).unwrap();
    link("tasks.db.new");
    let store = SqliteStore::open(&path).unwrap();
    for name in ["copy.db.partial", "taken.db"] {
        link(name);
    }
    sqlite::backup(&path, &folder.path().join("copy.db")).unwrap();
    let refused = sqlite::backup(&path, &folder.path().join("taken.db")).unwrap_err().to_string();
    assert!(refused.contains("is there already"), "{refused}");
    run(store.close());
    fs::remove_file(folder.path().join("tasks.db.lock")).unwrap();
    link("tasks.db.lock");
    let refused = SqliteStore::open(&path).err().unwrap().to_string();
    assert!(refused.contains("tasks.db.lock: it is a link"), "{refused}");
    assert!(!elsewhere.exists());
}

#[test]
fn erased_texts_are_in_no_file_of_the_store_and_in_no_backup_made_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("tasks.db"), folder.path().join("copy.db"));
    let store = SqliteStore::open(&path).unwrap();
    let user = User::new();
    let many = (1..=300).map(|seq| put(&task(TaskId::generate(), &format!("PLANTED {seq}"), seq))).collect();
    let written =
        Batch { reached: Seq::new(300), email: Some("PLANTED@example.org".into()), ..user.batch(0, many) };
    assert_eq!(run(commit(&store, written)), Outcome::Committed);
    let holders = || {
        let files = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        files
            .filter(|file| fs::read(file).unwrap().windows(7).any(|part| part == b"PLANTED"))
            .collect::<Vec<_>>()
    };
    assert!(!holders().is_empty(), "it was written");
    let erasing = Batch { erase: true, reached: Seq::new(301), ..user.batch(300, vec![]) };
    assert_eq!(run(commit(&store, erasing)), Outcome::Committed);
    sqlite::backup(&path, &copy).unwrap();
    assert_eq!(holders(), Vec::<PathBuf>::new());
    run(store.close());
    assert_eq!(holders(), Vec::<PathBuf>::new());
}

#[test]
fn a_folder_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let refused = SqliteStore::open(folder.path()).err().unwrap().to_string();
    assert!(refused.contains("it is a folder"), "{refused}");
    assert!(!folder.path().with_extension("lock").exists());
}
