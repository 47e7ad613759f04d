//! A database made and filled by the first version is opened by this one.

use refinery::Target;
use rusqlite::Connection;
use tasklane::domain::{Description, NewTask, Seq, Task, TaskId, Timestamp, Title, UserId};
use tasklane::store::sqlite::SqliteStore;
use tasklane::store::{Outcome, Recalled, Store, StoredUser};
use uuid::Uuid;

use crate::fixture::{
    PostgresDatabase, User, commit, delete, load, on_store_runtime, put, recall, record, run, task,
};

mod sqlite {
    refinery::embed_migrations!("migrations/sqlite");
}

mod postgres {
    refinery::embed_migrations!("migrations/postgres");
}

/// The data of the first version.
struct Old {
    user: User,
    open: Task,
    done: Task,
    gone: TaskId,
}

impl Old {
    fn new() -> Self {
        let user = User { id: tasklane::domain::UserId::of_subject("ann's"), subject: "ann's".to_owned() };
        let made = |title: &str, created, version| {
            let title = Title::parse(title).unwrap();
            NewTask::titled(TaskId::generate(), title)
                .make(Timestamp::from_micros(created), Seq::new(version))
        };
        let mut open = made("\u{1F980} open", 1_770_000_000_000_001, 1);
        open.content.description = Some(Description::parse("it's \"so\"").unwrap());
        // Completed at its last change, as far as is known.
        let updated_at = Timestamp::from_micros(1_770_000_777_000_003);
        let mut done = made("done", 1_770_000_000_000_002, 3);
        done.content.completed = true;
        (done.updated_at, done.completed_at) = (updated_at, Some(updated_at));
        Self { user, open, done, gone: TaskId::generate() }
    }

    /// The rows as that version wrote them, one statement each; `id` and `instant` format values.
    fn rows(&self, id: impl Fn(Uuid) -> String, instant: impl Fn(Timestamp) -> String) -> String {
        let user = id(self.user.id.as_uuid());
        let task = |task: &Task| {
            let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
            let description =
                task.content.description.as_ref().map_or("NULL".to_owned(), |it| text(it.as_str()));
            format!(
                "INSERT INTO tasks (user_id, id, title, description, completed, created_at, updated_at, version)
                 VALUES ({user}, {}, {}, {description}, {}, {}, {}, {});",
                id(task.id.as_uuid()),
                text(task.content.title.as_str()),
                task.content.completed,
                instant(task.created_at),
                instant(task.updated_at),
                task.version.get()
            )
        };
        let (batch, gone, now) =
            (id(Uuid::from_u128(7)), id(self.gone.as_uuid()), instant(crate::fixture::at(4)));
        format!(
            "INSERT INTO users (id, subject, email, seq, last_batch, created_at)
             VALUES ({user}, 'ann''s', 'ann@example.com', 4, {batch}, {now});
             {} {}
             INSERT INTO tombstones (user_id, id, seq, deleted_at) VALUES ({user}, {gone}, 4, {now});",
            task(&self.open),
            task(&self.done)
        )
    }

    /// Checks every value, then writes to the database.
    async fn check(self, store: &dyn Store) {
        let Self { user, open, done, gone } = self;
        let mut tasks = vec![open.clone(), done];
        tasks.sort_by_key(|task| task.id);
        let before = StoredUser {
            subject: "ann's".to_owned(),
            email: Some("ann@example.com".to_owned()),
            seq: Seq::new(4),
            horizon: Seq::ZERO,
            key_bytes: 0,
            tasks,
            tombstones: vec![(Seq::new(4), gone)],
        };
        assert_eq!(load(store, &user).await, Some(before));
        assert_eq!(recall(store, &user, "key").await, Recalled { seq: Seq::new(4), record: None });

        let mut again = user.batch(3, vec![delete(open.id, 4)]);
        again.id = Uuid::from_u128(7);
        assert_eq!(commit(store, again).await, Outcome::Committed, "the last batch is recognised");
        let changed = task(open.id, "changed", 5);
        let mut batch = user.batch(4, vec![put(&changed)]);
        batch.keys = vec![record("key", 5)];
        assert_eq!(commit(store, batch).await, Outcome::Committed);
        assert_eq!(recall(store, &user, "key").await.record, Some(record("key", 5)));
        assert_eq!(store.purge(crate::fixture::at(5), crate::fixture::at(0)).await.unwrap(), 1);
        let stored = load(store, &user).await.unwrap();
        assert_eq!((stored.seq, stored.horizon), (Seq::new(5), Seq::new(4)));
        assert!(stored.tombstones.is_empty() && stored.tasks.contains(&changed));
    }
}

#[test]
fn sqlite_keeps_what_the_first_version_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.db");
    let old = Old::new();
    let mut connection = Connection::open(&path).unwrap();
    sqlite::migrations::runner().set_target(Target::Version(1)).run(&mut connection).unwrap();
    let id = |id: Uuid| format!("x'{}'", id.simple());
    connection.execute_batch(&old.rows(id, |at| at.as_micros().to_string())).unwrap();
    connection.close().unwrap();
    let store = SqliteStore::open(&path).unwrap();
    run(old.check(&store));
}

#[test]
fn postgres_keeps_what_the_first_version_wrote() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let old = Old::new();
    let mut client = database.client();
    let rows = old.rows(|id| format!("'{id}'"), |at| format!("'{}'", at.to_rfc3339()));
    on_store_runtime(async move {
        let runner = postgres::migrations::runner().set_target(Target::Version(1));
        runner.run_async(&mut client).await.unwrap();
        client.batch_execute(&rows).await.unwrap();
    });
    let store = run(database.connect(|_| ()));
    run(old.check(&store));
}

#[test]
fn a_postgres_process_of_the_first_version_keeps_working_beside_this_one() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let store = run(database.connect(|_| ()));
    let (old, client) = (Old::new(), database.client());
    let rows = old.rows(|id| format!("'{id}'"), |at| format!("'{}'", at.to_rfc3339()));
    on_store_runtime(async move { client.batch_execute(&rows).await.unwrap() });
    run(old.check(&store));
}

/// The keys that a user has when the sum of their bytes is introduced.
const KEYS: &str =
    "INSERT INTO users (id, subject, seq, created_at) VALUES (ANN, 'ann''s', 1, NOW), (BOB, 'bob', 1, NOW);
    INSERT INTO idempotency_keys (user_id, key, fingerprint, answer, kept_at)
    VALUES (ANN, 'a', ZEROES, '\u{1F980}', NOW), (ANN, 'bcd', ZEROES, '{}', NOW)";

fn keys(id: impl Fn(Uuid) -> String, zeroes: &str, now: &str) -> String {
    let id = |subject| id(UserId::of_subject(subject).as_uuid());
    let rows = KEYS.replace("ANN", &id("ann's")).replace("BOB", &id("bob"));
    rows.replace("ZEROES", zeroes).replace("NOW", now)
}

fn counts_the_keys(store: &dyn Store) {
    for (subject, bytes) in [("ann's", 2 * 100 + 1 + 4 + 3 + 2), ("bob", 0)] {
        let stored = run(store.load(UserId::of_subject(subject))).unwrap().unwrap();
        assert_eq!(stored.key_bytes, bytes);
    }
}

#[test]
fn sqlite_counts_the_keys_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.db");
    let mut connection = Connection::open(&path).unwrap();
    sqlite::migrations::runner().set_target(Target::Version(4)).run(&mut connection).unwrap();
    let rows = keys(|id| format!("x'{}'", id.simple()), "zeroblob(32)", "1770000000000000");
    connection.execute_batch(&rows).unwrap();
    connection.close().unwrap();
    counts_the_keys(&SqliteStore::open(&path).unwrap());
}

#[test]
fn postgres_counts_the_keys_that_are_there() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let mut client = database.client();
    let rows = keys(|id| format!("'{id}'"), "decode(repeat('00', 32), 'hex')", "now()");
    on_store_runtime(async move {
        let runner = postgres::migrations::runner().set_target(Target::Version(2));
        runner.run_async(&mut client).await.unwrap();
        client.batch_execute(&rows).await.unwrap();
    });
    counts_the_keys(&run(database.connect(|_| ())));
}
