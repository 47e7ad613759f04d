//! The minimum cost of loading a user: the statement with which the service reads a cold user, sent through
//! tokio-postgres on open connections, its rows received and dropped.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{io, process};

use clap::Parser;
use serde_json::json;
use tasklane_load::times::Times;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use uuid::Uuid;

/// The service's own.
const LOAD: &str = include_str!("../../../../src/store/postgres/sql/load.sql");

/// The columns of a task that it reads, and what other rows have instead of the last ones.
const TASK: &str = "id, title, description, completed, created_at, updated_at, version,
    priority, tags::text, due_date, completed_at, position";
const UNSET: &str = "NULL::text, NULL::text, NULL::text, NULL::timestamptz, NULL::text";

/// Reads each user once.
#[derive(Parser)]
struct Options {
    /// postgres://…
    url: String,
    /// A file of user ids (UUIDs), one per line.
    users: PathBuf,
    #[arg(long, default_value_t = 1)]
    connections: usize,
}

async fn run(options: Options) -> io::Result<()> {
    let users = std::fs::read_to_string(&options.users)?;
    let users: Vec<Uuid> =
        users.lines().map(Uuid::parse_str).collect::<Result<_, _>>().map_err(io::Error::other)?;
    let (users, next) = (Arc::new(users), Arc::new(AtomicUsize::new(0)));
    let mut readers = JoinSet::new();
    let started = Instant::now();
    let load = LOAD.replace("{task}", TASK).replace("{unset}", UNSET);
    for _ in 0..options.connections {
        let (client, connection) =
            tokio_postgres::connect(&options.url, NoTls).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        let (users, next, load) = (Arc::clone(&users), Arc::clone(&next), load.clone());
        readers.spawn(async move {
            let (mut times, mut rows) = (Times::default(), 0);
            let statement = client.prepare(&load).await?;
            while let Some(user) = users.get(next.fetch_add(1, Ordering::Relaxed)) {
                let started = Instant::now();
                rows += client.query(&statement, &[user, &0_i64]).await?.len();
                times.note(started.elapsed());
            }
            Ok::<_, tokio_postgres::Error>((times, rows))
        });
    }
    let (mut sum, mut rows) = (Times::default(), 0);
    while let Some(reader) = readers.join_next().await {
        let (times, read) = reader?.map_err(io::Error::other)?;
        sum.add(&times);
        rows += read;
    }
    let mut told = sum.to_json();
    told["rows"] = json!(rows);
    told["seconds"] = json!(started.elapsed().as_secs_f64());
    println!("{told}");
    Ok(())
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    if let Err(error) = runtime.and_then(|runtime| runtime.block_on(run(Options::parse()))) {
        eprintln!("select: {error}");
        process::exit(1);
    }
}
