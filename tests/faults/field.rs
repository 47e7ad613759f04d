//! The setting of a run: the servers, their store, what lies between them, and how each fault is inflicted.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::ops::Range;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use tokio::task::block_in_place;
use tokio_postgres::Client;

use crate::backends::{Of, connect, name, pids, signal, terminate};
use crate::disk::Disk;
use crate::fault::Fault;
use crate::proxy::{Proxy, Way};
use crate::replica::Replica;
use crate::support::cluster::Cluster;
use crate::support::command::PATIENCE;
use crate::support::{Kind, Server, Store, User};

/// Who serves the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// One server.
    One,
    /// Three that know of each other (`MODE=cluster`): to clients they are one.
    Replicas,
    /// Two that do not know of each other (`MODE=sole`).
    TwoAlone,
}

impl Service {
    fn servers(self) -> usize {
        match self {
            Self::One => 1,
            Self::Replicas => 3,
            Self::TwoAlone => 2,
        }
    }

    fn mode(self) -> &'static str {
        if self == Self::Replicas { "cluster" } else { "sole" }
    }
}

/// Connections that PostgreSQL allows each server here.
const CONNECTIONS: usize = 24;

/// One or several servers on their own store.
pub struct Field {
    /// How often each fault was inflicted.
    pub done: BTreeMap<String, usize>,
    replicas: Vec<Replica>,
    /// The server that the fault strikes.
    struck: usize,
    cluster: Option<Cluster>,
    /// Dropped after what is on it.
    disk: Option<Disk>,
}

impl Field {
    /// Servers on an empty store, prepared for these faults; on PostgreSQL, each by way of a proxy.
    pub async fn new(kind: Kind, service: Service, faults: &[Fault]) -> Self {
        let small = faults.iter().any(|fault| matches!(fault, Fault::FillDisk | Fault::FillLog));
        let mut field =
            Self { done: BTreeMap::new(), replicas: Vec::new(), struck: 0, cluster: None, disk: None };
        match kind {
            Kind::Sqlite => {
                // Its write-ahead log alone may need 32.
                field.disk = small.then(|| Disk::new(64));
                let store = match &field.disk {
                    Some(disk) => Store::at(&format!("sqlite://{}/tasklane.db", disk.path().display())),
                    None => Store::new(kind).await,
                };
                field.replicas.push(Replica::start(store, None, service.mode()));
            }
            Kind::Postgres => {
                field.disk = small.then(|| Disk::new(192));
                let limit = format!("max_connections={}", service.servers() * CONNECTIONS);
                let cluster = block_in_place(|| match &field.disk {
                    Some(disk) => {
                        let settings = [&*limit, "min_wal_size=48MB", "max_wal_size=64MB"];
                        Cluster::at(&disk.path().join("cluster"), &settings)
                    }
                    None => Cluster::with(&[&limit]),
                });
                for number in 0..service.servers() {
                    let mut url = reqwest::Url::parse(&cluster.url).unwrap();
                    let there = (url.host_str().unwrap().to_owned(), url.port().unwrap());
                    let proxy = Proxy::start(TcpListener::bind("127.0.0.1:0").unwrap(), there);
                    url.set_port(Some(proxy.port)).unwrap();
                    url.query_pairs_mut().append_pair("application_name", &name(number));
                    let replica = Replica::start(Store::at(url.as_str()), Some(proxy), service.mode());
                    field.replicas.push(replica);
                }
                field.cluster = Some(cluster);
            }
        }
        field
    }

    /// For each server, a client of it for each of these users.
    pub fn doors(&self, subjects: &[String]) -> Vec<Vec<User>> {
        let of = |replica: &Replica| subjects.iter().map(|subject| replica.server.user(subject)).collect();
        self.replicas.iter().map(of).collect()
    }

    /// The server that the fault strikes.
    pub fn server(&self) -> &Server {
        &self.replicas[self.struck].server
    }

    fn replica(&mut self) -> &mut Replica {
        &mut self.replicas[self.struck]
    }

    /// Inflicts the fault, and repairs it again.
    pub async fn inflict(&mut self, fault: Fault, random: &mut StdRng) {
        *self.done.entry(format!("{fault:?}")).or_default() += 1;
        self.struck = random.random_range(0..self.replicas.len());
        match fault {
            Fault::KillServer => {
                self.replica().server.kill();
                let longest = if self.replicas.len() > 1 { 1_500 } else { 300 };
                some_millis(random, 0..longest).await;
                self.replica().start_again();
            }
            Fault::StopServer => self.replica().stop_and_start(),
            Fault::StopServerAtOnce => {
                self.server().terminate();
                some_millis(random, 0..20).await;
                self.server().signal("TERM");
                block_in_place(|| self.replica().server.wait());
                self.replica().start_again();
            }
            Fault::PauseServer => self.pause_server(random, 500..3_000).await,
            Fault::PauseServerForLong => self.pause_server(random, 16_000..20_000).await,
            Fault::PauseServerForAMinute => self.pause_server(random, 60_000..70_000).await,
            Fault::KillPostgres => {
                block_in_place(|| self.cluster().kill());
                some_millis(random, 0..1_500).await;
                block_in_place(|| self.cluster().restart());
            }
            Fault::RestartPostgres => block_in_place(|| self.cluster().restart()),
            Fault::KillBoth => {
                for replica in &mut self.replicas {
                    replica.server.kill();
                }
                block_in_place(|| {
                    self.cluster().kill();
                    self.cluster().restart();
                });
                self.replicas.iter_mut().for_each(Replica::start_again);
            }
            Fault::PauseBackends => self.pause_backends(Of::All, random, 500..4_000).await,
            Fault::PauseBackendsForLong => self.pause_backends(Of::All, random, 16_000..20_000).await,
            Fault::PauseListeners => self.pause_backends(Of::Listeners, random, 1_000..3_000).await,
            Fault::LateCommit => {
                let pids = pids(&self.admin().await, Of::Server(self.struck)).await;
                signal(&pids, "STOP");
                some_millis(random, 50..300).await;
                self.replica().server.kill();
                self.replica().start_again();
                some_millis(random, 500..1_500).await;
                signal(&pids, "CONT");
            }
            Fault::TerminateBackends => self.terminate(Of::All, random).await,
            Fault::EndListeners => self.terminate(Of::Listeners, random).await,
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
                let file = rusqlite::Connection::open(self.replicas[0].store.file().unwrap()).unwrap();
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

    /// Stops all servers gracefully and starts new ones, which have only the store.
    pub fn stop_and_start(&mut self) {
        for replica in &mut self.replicas {
            replica.stop();
        }
        self.replicas.iter_mut().for_each(Replica::start_again);
    }

    /// Whether PostgreSQL is the store.
    pub fn on_postgres(&self) -> bool {
        self.cluster.is_some()
    }

    /// The disk that the store is on.
    pub fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("it was made for this fault")
    }

    /// The PostgreSQL cluster.
    pub fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().expect("this fault is of PostgreSQL")
    }

    fn proxy(&self) -> &Proxy {
        self.replicas[self.struck].proxy.as_ref().expect("this fault is of PostgreSQL")
    }

    async fn open_after(&self, random: &mut StdRng, millis: Range<u64>) {
        some_millis(random, millis).await;
        self.proxy().set(Way::Open);
    }

    /// Afterwards every stream lacks bytes: no connection can continue.
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

    /// A superuser's connection that bypasses the proxy.
    pub async fn admin(&self) -> Client {
        self.try_admin().await.expect("PostgreSQL runs")
    }

    /// The same, where PostgreSQL may be down.
    pub async fn try_admin(&self) -> Option<Client> {
        connect(&self.cluster().url).await
    }

    async fn pause_server(&self, random: &mut StdRng, millis: Range<u64>) {
        self.server().signal("STOP");
        some_millis(random, millis).await;
        self.server().signal("CONT");
    }

    async fn pause_backends(&self, of: Of, random: &mut StdRng, millis: Range<u64>) {
        let pids = pids(&self.admin().await, of).await;
        signal(&pids, "STOP");
        some_millis(random, millis).await;
        signal(&pids, "CONT");
    }

    async fn terminate(&self, of: Of, random: &mut StdRng) {
        let admin = self.admin().await;
        for _ in 0..random.random_range(10..40) {
            terminate(&admin, of).await;
            some_millis(random, 0..100).await;
        }
    }

    async fn use_up_connections(&self, random: &mut StdRng) {
        let admin = self.admin().await;
        terminate(&admin, Of::All).await;
        let mut taken = Vec::new();
        for _ in 0..4 * CONNECTIONS * self.replicas.len() {
            match connect(&self.cluster().url).await {
                Some(client) => taken.push(client),
                None => some_millis(random, 10..40).await,
            }
        }
        drop(taken);
    }
}

/// Waits for a random number of milliseconds in this range.
pub async fn some_millis(random: &mut StdRng, range: Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(range))).await;
}
