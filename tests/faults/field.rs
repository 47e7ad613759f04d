//! Where a run takes place: the server, its store, what lies between them, and what is done to them.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::ops::Range;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use tokio::task::block_in_place;
use tokio_postgres::{Client, NoTls};

use crate::disk::Disk;
use crate::proxy::{Proxy, Way};
use crate::support::cluster::Cluster;
use crate::support::command::PATIENCE;
use crate::support::{Kind, Server, Store};

/// What is done to the service while clients work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9 of the server; it is started again on its port.
    KillServer,
    /// SIGTERM; it must end with 0, and is started again.
    StopServer,
    /// SIGTERM, and again at once: it ends whatever is under way.
    StopServerAtOnce,
    /// The server stands still for some seconds.
    PauseServer,
    /// kill -9 of all of PostgreSQL.
    KillPostgres,
    /// A fast stop of PostgreSQL, and a start.
    RestartPostgres,
    /// kill -9 of both.
    KillBoth,
    /// PostgreSQL's processes for the server stand still for some seconds.
    PauseBackends,
    /// The same for longer than the server waits for any answer.
    PauseBackendsForLong,
    /// kill -9 of the server while PostgreSQL holds its last commit back, which is carried out when the next
    /// server has long written for the same users.
    LateCommit,
    /// All connections to PostgreSQL are ended from its side, again and again.
    TerminateBackends,
    /// All connections that PostgreSQL allows are in use by others.
    UseUpConnections,
    /// Somebody else holds the lock on a user's row.
    LockUser,
    /// New connections to PostgreSQL are refused; then those there are reset.
    Refuse,
    /// Every connection to PostgreSQL is reset.
    Reset,
    /// Nothing gets through to or from PostgreSQL, and nobody says so.
    BlackHole,
    /// The same for longer than a client is let wait.
    BlackHoleForLong,
    /// Everything takes longer.
    Slow,
    /// Connections are cut in the middle of a message.
    CutMidway,
    /// What is sent arrives and is carried out, but the answer is lost with the connection.
    CutAnswer,
    /// The same, and the connection stays: the answer just does not come.
    Deaf,
    /// Another program holds the lock of SQLite's file.
    LockFile,
    /// No file of the server may grow.
    LimitFiles,
    /// The disk that the store is on is full.
    FillDisk,
    /// The same, and PostgreSQL's log has to grow: it goes down, and cannot start.
    FillLog,
}

/// All that SQLite can suffer.
pub const OF_SQLITE: [Fault; 7] = [
    Fault::KillServer,
    Fault::StopServer,
    Fault::StopServerAtOnce,
    Fault::PauseServer,
    Fault::LockFile,
    Fault::LimitFiles,
    Fault::FillDisk,
];

/// All that PostgreSQL can suffer.
pub const OF_POSTGRES: [Fault; 23] = [
    Fault::KillServer,
    Fault::StopServer,
    Fault::StopServerAtOnce,
    Fault::PauseServer,
    Fault::KillPostgres,
    Fault::RestartPostgres,
    Fault::KillBoth,
    Fault::PauseBackends,
    Fault::PauseBackendsForLong,
    Fault::LateCommit,
    Fault::TerminateBackends,
    Fault::UseUpConnections,
    Fault::LockUser,
    Fault::Refuse,
    Fault::Reset,
    Fault::BlackHole,
    Fault::BlackHoleForLong,
    Fault::Slow,
    Fault::CutMidway,
    Fault::CutAnswer,
    Fault::Deaf,
    Fault::FillDisk,
    Fault::FillLog,
];

/// Connections that PostgreSQL allows here.
const CONNECTIONS: usize = 24;

/// A server on a store of its own.
pub struct Field {
    /// The server that runs now.
    pub server: Server,
    /// How often each fault was inflicted.
    pub done: BTreeMap<String, usize>,
    port: String,
    store: Store,
    proxy: Option<Proxy>,
    cluster: Option<Cluster>,
    /// Goes after what is on it.
    disk: Option<Disk>,
}

impl Field {
    /// A server on an empty store that can suffer these faults; on PostgreSQL, by way of a proxy.
    pub async fn new(kind: Kind, faults: &[Fault]) -> Self {
        let small = faults.iter().any(|fault| matches!(fault, Fault::FillDisk | Fault::FillLog));
        let (store, proxy, cluster, disk) = match kind {
            Kind::Sqlite => {
                // Its write-ahead log alone may take 32.
                let disk = small.then(|| Disk::new(64));
                let store = match &disk {
                    Some(disk) => Store::at(&format!("sqlite://{}/tasklane.db", disk.path().display())),
                    None => Store::new(kind).await,
                };
                (store, None, None, disk)
            }
            Kind::Postgres => {
                let disk = small.then(|| Disk::new(192));
                let limit = format!("max_connections={CONNECTIONS}");
                let cluster = block_in_place(|| match &disk {
                    Some(disk) => {
                        let settings = [&*limit, "min_wal_size=48MB", "max_wal_size=64MB"];
                        Cluster::at(&disk.path().join("cluster"), &settings)
                    }
                    None => Cluster::with(&[&limit]),
                });
                let mut url = reqwest::Url::parse(&cluster.url).unwrap();
                let there = (url.host_str().unwrap().to_owned(), url.port().unwrap());
                let proxy = Proxy::start(TcpListener::bind("127.0.0.1:0").unwrap(), there);
                url.set_port(Some(proxy.port)).unwrap();
                (Store::at(url.as_str()), Some(proxy), Some(cluster), disk)
            }
        };
        let port = free_port().to_string();
        let server = start(&store, &port);
        Self { server, done: BTreeMap::new(), port, store, proxy, cluster, disk }
    }

    /// Does its worst, and puts things right again.
    pub async fn inflict(&mut self, fault: Fault, random: &mut StdRng) {
        *self.done.entry(format!("{fault:?}")).or_default() += 1;
        match fault {
            Fault::KillServer => {
                self.server.kill();
                some_millis(random, 0..300).await;
                self.start_again();
            }
            Fault::StopServer => self.stop_and_start(),
            Fault::StopServerAtOnce => {
                self.server.terminate();
                some_millis(random, 0..20).await;
                self.server.signal("TERM");
                block_in_place(|| self.server.wait());
                self.start_again();
            }
            Fault::PauseServer => {
                self.server.signal("STOP");
                some_millis(random, 500..3_000).await;
                self.server.signal("CONT");
            }
            Fault::KillPostgres => {
                block_in_place(|| self.cluster().kill());
                some_millis(random, 0..1_500).await;
                block_in_place(|| self.cluster().restart());
            }
            Fault::RestartPostgres => block_in_place(|| self.cluster().restart()),
            Fault::KillBoth => {
                self.server.kill();
                block_in_place(|| {
                    self.cluster().kill();
                    self.cluster().restart();
                });
                self.start_again();
            }
            Fault::PauseBackends => self.pause_backends(random, 500..4_000).await,
            Fault::PauseBackendsForLong => self.pause_backends(random, 16_000..20_000).await,
            Fault::LateCommit => {
                let admin = self.admin().await;
                let pids = others(&admin).await;
                signal(&pids, "STOP");
                some_millis(random, 50..300).await;
                self.server.kill();
                self.start_again();
                some_millis(random, 500..1_500).await;
                signal(&pids, "CONT");
            }
            Fault::TerminateBackends => {
                let admin = self.admin().await;
                for _ in 0..random.random_range(10..40) {
                    terminate_others(&admin).await;
                    some_millis(random, 0..100).await;
                }
            }
            Fault::UseUpConnections => self.use_up_connections(random).await,
            Fault::LockUser => {
                let admin = self.admin().await;
                let place = random.random_range(0..crate::driver::USERS);
                let lock =
                    format!("BEGIN; SELECT 1 FROM users ORDER BY id OFFSET {place} LIMIT 1 FOR UPDATE");
                admin.batch_execute(&lock).await.unwrap();
                some_millis(random, 500..5_000).await;
                admin.batch_execute("ROLLBACK").await.unwrap();
            }
            Fault::Refuse => {
                self.proxy().set(Way::Refuse);
                some_millis(random, 0..300).await;
                self.proxy().reset();
                self.open_after(random, 500..2_000).await;
            }
            Fault::Reset => {
                for _ in 0..random.random_range(3..12) {
                    self.proxy().reset();
                    some_millis(random, 20..200).await;
                }
            }
            Fault::BlackHole => self.swallow(Way::BlackHole, random, 500..4_000).await,
            Fault::BlackHoleForLong => self.swallow(Way::BlackHole, random, 11_000..18_000).await,
            Fault::Deaf => self.swallow(Way::Deaf, random, 100..4_000).await,
            Fault::Slow => {
                self.proxy().set(Way::Slow(Duration::from_millis(random.random_range(20..300))));
                self.open_after(random, 1_000..3_000).await;
            }
            Fault::CutMidway => self.on_and_off(Way::CutMidway, random).await,
            Fault::CutAnswer => self.on_and_off(Way::CutAnswer, random).await,
            Fault::LockFile => {
                let file = rusqlite::Connection::open(self.store.file().unwrap()).unwrap();
                file.busy_timeout(PATIENCE).unwrap();
                block_in_place(|| file.execute_batch("BEGIN IMMEDIATE").unwrap());
                some_millis(random, 500..8_000).await;
                file.execute_batch("ROLLBACK").unwrap();
            }
            Fault::LimitFiles => self.limit_files(random).await,
            Fault::FillDisk => self.fill_disk(random).await,
            Fault::FillLog => self.fill_log(random).await,
        }
    }

    /// Ends the server in good order and starts another one, which has nothing but the store.
    pub fn stop_and_start(&mut self) {
        self.server.terminate();
        let status = block_in_place(|| self.server.wait());
        assert!(status.success(), "after SIGTERM: {status}; it wrote:\n{:#?}", self.server.output().stderr());
        self.start_again();
    }

    fn start_again(&mut self) {
        self.server = block_in_place(|| start(&self.store, &self.port));
    }

    /// Whether PostgreSQL is the store.
    pub fn on_postgres(&self) -> bool {
        self.cluster.is_some()
    }

    /// The disk that the store is on.
    pub fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("it was made for this fault")
    }

    /// The PostgreSQL.
    pub fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().expect("this fault is of PostgreSQL")
    }

    fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("this fault is of PostgreSQL")
    }

    async fn open_after(&self, random: &mut StdRng, millis: Range<u64>) {
        some_millis(random, millis).await;
        self.proxy().set(Way::Open);
    }

    /// Bytes are missing afterwards from every stream: no connection can go on.
    async fn swallow(&self, way: Way, random: &mut StdRng, millis: Range<u64>) {
        self.proxy().set(way);
        self.open_after(random, millis).await;
        self.proxy().reset();
    }

    async fn on_and_off(&self, way: Way, random: &mut StdRng) {
        for _ in 0..random.random_range(3..12) {
            self.proxy().set(way);
            self.open_after(random, 1..60).await;
            some_millis(random, 20..200).await;
        }
    }

    /// A superuser's own connection, around the proxy.
    pub async fn admin(&self) -> Client {
        self.try_admin().await.expect("PostgreSQL runs")
    }

    /// The same, where PostgreSQL may be down.
    pub async fn try_admin(&self) -> Option<Client> {
        connect(&self.cluster().url).await
    }

    async fn pause_backends(&self, random: &mut StdRng, millis: Range<u64>) {
        let admin = self.admin().await;
        let pids = others(&admin).await;
        signal(&pids, "STOP");
        some_millis(random, millis).await;
        signal(&pids, "CONT");
    }

    async fn use_up_connections(&self, random: &mut StdRng) {
        let admin = self.admin().await;
        terminate_others(&admin).await;
        let mut taken = Vec::new();
        for _ in 0..4 * CONNECTIONS {
            match connect(&self.cluster().url).await {
                Some(client) => taken.push(client),
                None => some_millis(random, 10..40).await,
            }
        }
        drop(taken);
    }
}

async fn connect(url: &str) -> Option<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

const OTHERS: &str = "backend_type = 'client backend' AND pid <> pg_backend_pid()";

async fn terminate_others(admin: &Client) {
    let query = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OTHERS}");
    admin.query(&query, &[]).await.expect("our own connection is not among those ended");
}

async fn others(admin: &Client) -> Vec<i32> {
    let rows = admin.query(&format!("SELECT pid FROM pg_stat_activity WHERE {OTHERS}"), &[]).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Sends a signal to processes, of which some may be gone by now.
fn signal(pids: &[i32], name: &str) {
    for pid in pids {
        let command = format!("kill -{name} {pid}");
        let _ = std::process::Command::new("sh").args(["-c", &command]).output();
    }
}

/// Waits for some of so many milliseconds.
pub async fn some_millis(random: &mut StdRng, range: Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(range))).await;
}

fn start(store: &Store, port: &str) -> Server {
    // A file that may not grow is then an error of the write; left alone, the signal would end the server.
    let ignoring = ["/bin/sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    Server::under(&ignoring, store, &[("PORT", port)])
}

/// A port below those that systems take for outgoing connections: it is still free at the next start. No
/// seed chooses it, or two tests with one seed would have the same.
fn free_port() -> u16 {
    for _ in 0..1_000 {
        let port = 10_000 + (uuid::Uuid::new_v4().as_u128() % 5_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
