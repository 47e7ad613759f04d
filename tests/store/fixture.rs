//! Databases for tests, and short ways to make batches.

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tasklane::domain::{
    Change, Description, DueDate, Position, Priority, Seq, Tags, Task, TaskContent, TaskId, Timestamp, Title,
    UserId,
};
use tasklane::store::copy::Transfer;
use tasklane::store::postgres::{PostgresOptions, PostgresStore};
use tasklane::store::sqlite::SqliteStore;
use tasklane::store::{Batch, KeyRecord, Outcome, Recalled, Store, StoredUser};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// The runtime for PostgreSQL's connections, separate from the tests'.
pub static STORE_RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// Runs a test on a runtime without timers and I/O: a store must not need its caller's.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    Builder::new_current_thread().build().unwrap().block_on(test)
}

/// Runs work that needs timers and I/O.
pub fn on_store_runtime<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    STORE_RUNTIME.spawn(async move { sender.send(work.await) });
    receiver.recv().expect("the work panicked")
}

/// A database for one test, deleted when dropped.
pub enum Database {
    Sqlite(TempDir),
    Postgres(PostgresDatabase),
}

impl Database {
    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub fn postgres() -> Self {
        Self::Postgres(PostgresDatabase::create())
    }

    pub async fn open(&self) -> Arc<dyn Transfer> {
        match self {
            Self::Sqlite(folder) => Arc::new(SqliteStore::open(&folder.path().join("tasks.db")).unwrap()),
            Self::Postgres(database) => Arc::new(database.connect(|_| ()).await),
        }
    }

    /// Runs a statement past the store. `LATER(x)` is a microsecond after the instant `x`, `ZEROES` a
    /// fingerprint.
    pub fn execute(&self, statement: &str) {
        let spelt = |microsecond: &str, zeroes: &str| {
            let later = statement.replace("LATER(", "(").replace("_at)", &format!("_at + {microsecond})"));
            later.replace("ZEROES", zeroes)
        };
        match self {
            Self::Sqlite(folder) => {
                let connection = rusqlite::Connection::open(folder.path().join("tasks.db")).unwrap();
                connection.execute_batch(&spelt("1", "zeroblob(32)")).unwrap();
            }
            Self::Postgres(database) => {
                let (client, statement) =
                    (database.client(), spelt("interval '1 microsecond'", "decode(repeat('00', 32), 'hex')"));
                on_store_runtime(async move { client.batch_execute(&statement).await.unwrap() });
            }
        }
    }

    /// The rows of a table, also those that no read shows.
    pub fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        match self {
            Self::Sqlite(folder) => {
                let connection = rusqlite::Connection::open(folder.path().join("tasks.db")).unwrap();
                connection.query_row(&sql, [], |row| row.get(0)).unwrap()
            }
            Self::Postgres(database) => {
                let client = database.client();
                on_store_runtime(async move { client.query_one(&sql, &[]).await.unwrap().get(0) })
            }
        }
    }

    /// The same data opened by two processes, if the store allows it.
    pub async fn open_twice(&self) -> [Arc<dyn Store>; 2] {
        let first: Arc<dyn Store> = self.open().await;
        match self {
            Self::Sqlite(_) => [Arc::clone(&first), first],
            Self::Postgres(_) => [first, self.open().await],
        }
    }
}

pub struct PostgresDatabase {
    name: String,
}

fn server() -> String {
    std::env::var("TEST_POSTGRES_URL").expect("a test on PostgreSQL begins with `needs!(Postgres)`")
}

fn url_of(database: &str) -> String {
    let server = server();
    let (before, _) = server.rsplit_once('/').expect("TEST_POSTGRES_URL names a database");
    format!("{before}/{database}")
}

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl PostgresDatabase {
    pub fn create() -> Self {
        let name = format!("tasklane_test_{}", Uuid::new_v4().simple());
        let create = format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0");
        on_store_runtime(async move { client(&server()).await.batch_execute(&create).await }).unwrap();
        Self { name }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn url(&self) -> String {
        url_of(&self.name)
    }

    /// The same database at another port, of a proxy.
    pub fn url_via(&self, port: u16) -> String {
        let (_, address) = self.host_and_port();
        self.url().replacen(&format!(":{address}/"), &format!(":{port}/"), 1)
    }

    pub fn host_and_port(&self) -> (String, u16) {
        let config: tokio_postgres::Config = self.url().parse().unwrap();
        let tokio_postgres::config::Host::Tcp(host) = &config.get_hosts()[0] else {
            panic!("TEST_POSTGRES_URL must name a host");
        };
        (host.clone(), config.get_ports()[0])
    }

    pub async fn connect(&self, change: impl FnOnce(&mut PostgresOptions)) -> PostgresStore {
        let mut options = PostgresOptions::new(self.url(), 4);
        change(&mut options);
        PostgresStore::connect(options, STORE_RUNTIME.handle().clone()).await.unwrap()
    }

    /// A plain connection.
    pub fn client(&self) -> Client {
        let url = self.url();
        on_store_runtime(async move { client(&url).await })
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        on_store_runtime(async move { client(&server()).await.batch_execute(&drop).await }).unwrap();
    }
}

/// A test's user.
#[derive(Clone)]
pub struct User {
    pub id: UserId,
    pub subject: String,
}

impl User {
    pub fn new() -> Self {
        let subject = format!("subject of {}", Uuid::new_v4());
        Self { id: UserId::of_subject(&subject), subject }
    }

    /// A batch at `expected` with one seq per change.
    pub fn batch(&self, expected: i64, changes: Vec<Change<Arc<Task>>>) -> Batch {
        let reached = expected + i64::try_from(changes.len()).unwrap();
        Batch {
            id: Uuid::new_v4(),
            user: self.id,
            subject: self.subject.as_str().into(),
            email: None,
            epoch: 0,
            expected: Seq::new(expected),
            reached: Seq::new(reached),
            erase: false,
            changes,
            keys: Vec::new(),
        }
    }
}

/// A task with this title and version; its other fields depend on the version.
pub fn task(id: TaskId, title: &str, version: i64) -> Task {
    let pick = |count: i64| usize::try_from(version.rem_euclid(count)).unwrap();
    let due = [None, Some("2026-02-28"), Some("2026-02-28T10:30:00.5+05:30")][pick(3)];
    let tags = [vec![], vec!["home", title], vec!["työ"]][pick(3)].clone();
    let updated_at = Timestamp::from_micros(1_770_000_000_000_001 + version);
    let completed = version % 2 == 0;
    let content = TaskContent {
        title: Title::from_store(title.to_owned()),
        description: Some(Description::from_store(format!("about {title}"))),
        completed,
        priority: Priority::ALL.get(pick(5)).copied(),
        tags: Tags::from_store(tags.into_iter().map(ToOwned::to_owned).collect()),
        due_date: due.map(|text| DueDate::parse(text).unwrap()),
        position: Position::parse(&"p".repeat(pick(5))),
    };
    Task {
        id,
        content,
        completed_at: completed.then_some(Timestamp::from_micros(1_769_999_999_999_999)),
        created_at: Timestamp::from_micros(1_770_000_000_000_001),
        updated_at,
        version: Seq::new(version),
    }
}

pub fn put(task: &Task) -> Change<Arc<Task>> {
    Change::Put(Arc::new(task.clone()))
}

pub fn delete<T>(id: TaskId, seq: i64) -> Change<T> {
    Change::Delete { id, seq: Seq::new(seq), at: at(seq) }
}

/// The time of the deletion or key with this seq.
pub fn at(seq: i64) -> Timestamp {
    Timestamp::from_micros(1_780_000_000_000_000 + seq)
}

/// An answer stored under `key` by the change with this seq.
pub fn record(key: &str, seq: i64) -> KeyRecord {
    let fingerprint = [u8::try_from(seq.rem_euclid(251)).unwrap(); 32];
    let answer = format!("{{\"seq\":{seq},\"text\":\"'\\\\ \u{1F980}\"}}");
    KeyRecord { key: key.into(), fingerprint, answer: answer.into(), at: at(seq) }
}

pub async fn recall(store: &dyn Store, user: &User, key: &str) -> Recalled {
    store.recall(user.id, key).await.unwrap()
}

pub async fn commit(store: &dyn Store, batch: Batch) -> Outcome {
    let outcomes = store.commit(&[Arc::new(batch)]).await;
    assert_eq!(outcomes.len(), 1);
    outcomes.into_iter().next().unwrap()
}

/// The user as stored: tasks ordered by id, tombstones by seq, without those of tasks that were created
/// again, which a store may return or not.
pub async fn load(store: &dyn Store, user: &User) -> Option<StoredUser> {
    store.load(user.id).await.unwrap().map(in_order)
}

/// See [`load`].
pub fn in_order(mut stored: StoredUser) -> StoredUser {
    stored.tasks.sort_by_key(|task| task.id);
    stored.tombstones.retain(|(_, id)| !stored.tasks.iter().any(|task| task.id == *id));
    stored.tombstones.sort_unstable();
    stored
}

/// The remembered deletions: seq and task.
pub fn tombstones(deleted: &[(i64, TaskId)]) -> Vec<(Seq, TaskId)> {
    deleted.iter().map(|(seq, id)| (Seq::new(*seq), *id)).collect()
}

/// Waits until a connection of this database waits for a lock, and returns its process id.
pub async fn waiter(client: &Client) -> i32 {
    let waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND pid IN
        (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
    for _ in 0..3000 {
        if let Some(row) = client.query_opt(waiting, &[]).await.unwrap() {
            return row.get(0);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody waits for a lock");
}
