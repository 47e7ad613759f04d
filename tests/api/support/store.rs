//! A test's store: a folder for SQLite, a database on the throw-away cluster for PostgreSQL.

use std::path::{Path, PathBuf};

use reqwest::Url;
use tempfile::TempDir;
use uuid::Uuid;

/// Which of the two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Sqlite,
    /// A database of `TEST_POSTGRES_URL`'s cluster.
    Postgres,
}

/// A store, empty at first, deleted when dropped. Servers on it can be started and stopped.
pub struct Store {
    kind: Kind,
    url: String,
    /// The folder the server runs in; it holds SQLite's file.
    dir: TempDir,
    /// Dropped, and so deleted, after the servers on it.
    _database: Option<Database>,
}

impl Store {
    /// Makes an empty store.
    pub async fn new(kind: Kind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        match kind {
            Kind::Sqlite => {
                let url = format!("sqlite://{}", dir.path().join("tasklane.db").display());
                Self { kind, url, dir, _database: None }
            }
            Kind::Postgres => {
                let admin = std::env::var("TEST_POSTGRES_URL")
                    .expect("a test on PostgreSQL begins with `needs!(Postgres)`");
                let database = Database::create(admin).await;
                Self { kind, url: database.url(), dir, _database: Some(database) }
            }
        }
    }

    /// Which of the two it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its `DATABASE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder its servers run in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs statements on it, past every rule of the service. No server may be running on it.
    pub async fn damage(&self, statements: &[&str]) {
        match self.kind {
            Kind::Sqlite => {
                let connection = rusqlite::Connection::open(self.file().unwrap()).unwrap();
                for statement in statements {
                    connection.execute_batch(statement).unwrap();
                }
            }
            Kind::Postgres => {
                for statement in statements {
                    run(&self.url, statement).await.unwrap();
                }
            }
        }
    }

    /// Makes every deletion and idempotency key this many hours older. No server may be running on it.
    pub async fn age(&self, hours: u32) {
        let columns = [("tombstones", "deleted_at"), ("idempotency_keys", "kept_at")];
        match self.kind {
            Kind::Sqlite => {
                let connection = rusqlite::Connection::open(self.file().unwrap()).unwrap();
                for (table, column) in columns {
                    let micros = i64::from(hours) * 3_600_000_000;
                    let update = format!("UPDATE {table} SET {column} = {column} - {micros}");
                    connection.execute_batch(&update).unwrap();
                }
            }
            Kind::Postgres => {
                for (table, column) in columns {
                    let update = format!("UPDATE {table} SET {column} = {column} - interval '{hours} hours'");
                    run(&self.url, &update).await.unwrap();
                }
            }
        }
    }

    /// SQLite's file.
    pub fn file(&self) -> Option<PathBuf> {
        self.url.strip_prefix("sqlite://").map(PathBuf::from)
    }

    /// A store at this address.
    pub fn at(url: &str) -> Self {
        let kind = if url.starts_with("sqlite:") { Kind::Sqlite } else { Kind::Postgres };
        Self { kind, url: url.to_owned(), dir: tempfile::tempdir().unwrap(), _database: None }
    }
}

/// A database made for one test.
struct Database {
    admin: String,
    name: String,
}

impl Database {
    async fn create(admin: String) -> Self {
        let database = Self { admin, name: format!("tasklane_api_{}", Uuid::new_v4().simple()) };
        run(&database.admin, &format!("CREATE DATABASE {}", database.name)).await.unwrap();
        database
    }

    fn url(&self) -> String {
        let mut url = Url::parse(&self.admin).expect("TEST_POSTGRES_URL is not a URL");
        url.set_path(&self.name);
        url.into()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (admin, drop) = (self.admin.clone(), format!("DROP DATABASE {} WITH (FORCE)", self.name));
        // On another thread: the test's runtime may be shutting down and must not be blocked.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&admin, &drop))
        });
        if !matches!(dropping.join(), Ok(Ok(()))) {
            eprintln!("the database {} was left behind", self.name);
        }
    }
}

/// Runs one statement as the cluster's superuser.
pub(super) async fn run(url: &str, statement: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let connection = tokio::spawn(connection);
    client.batch_execute(statement).await?;
    drop(client);
    let _ = connection.await;
    Ok(())
}
