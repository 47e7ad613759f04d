//! PostgreSQL, seen from beside the servers: their connections are ended and stopped there.

use tokio_postgres::{Client, NoTls};

/// A connection, if PostgreSQL can be reached.
pub async fn connect(url: &str) -> Option<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// Whose connections are meant.
#[derive(Clone, Copy)]
pub enum Of {
    /// All but the asker's.
    All,
    /// Those of one server.
    Server(usize),
    /// Those that listen for what other servers wrote.
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

/// What a server's connections are called.
pub fn name(server: usize) -> String {
    format!("server-{server}")
}

/// Ends connections.
pub async fn terminate(admin: &Client, of: Of) {
    let query = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {}", of.condition());
    admin.query(&query, &[]).await.expect("our own connection is not among those ended");
}

/// The processes behind connections.
pub async fn pids(admin: &Client, of: Of) -> Vec<i32> {
    let query = format!("SELECT pid FROM pg_stat_activity WHERE {}", of.condition());
    admin.query(&query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Sends a signal to processes, of which some may be gone by now.
pub fn signal(pids: &[i32], name: &str) {
    for pid in pids {
        let command = format!("kill -{name} {pid}");
        let _ = std::process::Command::new("sh").args(["-c", &command]).output();
    }
}
