//! Ends and pauses the servers' connections, from PostgreSQL's side.

use tokio_postgres::{Client, NoTls};

/// A connection, if PostgreSQL can be reached.
pub async fn connect(url: &str) -> Option<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// Which connections are meant.
#[derive(Clone, Copy)]
pub enum Of {
    /// All but the caller's.
    All,
    /// Those of one server.
    Server(usize),
    /// Those that listen for other servers' writes.
    Listeners,
}

impl Of {
    fn condition(self) -> String {
        let others = "backend_type = 'client backend' AND pid <> pg_backend_pid()";
        match self {
            Self::All => others.to_owned(),
            Self::Server(number) => format!("{others} AND application_name = '{}'", name(number)),
            Self::Listeners => format!("{others} AND query LIKE 'LISTEN %'"),
        }
    }
}

/// The application name of a server's connections.
pub fn name(server: usize) -> String {
    format!("server-{server}")
}

/// Ends connections.
pub async fn terminate(admin: &Client, of: Of) {
    let query = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {}", of.condition());
    admin.query(&query, &[]).await.expect("our own connection is not among those ended");
}

/// The server processes of connections.
pub async fn pids(admin: &Client, of: Of) -> Vec<i32> {
    let query = format!("SELECT pid FROM pg_stat_activity WHERE {}", of.condition());
    admin.query(&query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Sends a signal to processes, some of which may be gone by now.
pub fn signal(pids: &[i32], name: &str) {
    for pid in pids {
        let command = format!("kill -{name} {pid}");
        let _ = std::process::Command::new("sh").args(["-c", &command]).output();
    }
}
