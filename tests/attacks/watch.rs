//! What the server takes meanwhile: memory, processor, threads, disk, log. It is ended when it takes so much that
//! the machine would suffer.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::backends;
use crate::site::Site;

/// Beyond this resident memory the server is ended.
pub const MOST_MEMORY: u64 = 1_500 << 20;

/// Beyond this growth of its store the attack is ended.
pub const MOST_DISK: u64 = 1 << 30;

/// A thread that looks every few milliseconds.
pub struct Watch {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    memory: AtomicU64,
    threads: AtomicU64,
    ended: AtomicBool,
}

impl Watch {
    pub fn start(site: &Arc<Site>) -> Self {
        let seen = Arc::new(Seen::default());
        let (site, looking) = (Arc::clone(site), Arc::clone(&seen));
        let before = file_bytes(&site);
        let thread = std::thread::spawn(move || {
            while !looking.stop.load(Ordering::Relaxed) {
                let memory = status(site.server.id(), "VmRSS:").map_or(0, |kilobytes| kilobytes << 10);
                looking.memory.fetch_max(memory, Ordering::Relaxed);
                looking
                    .threads
                    .fetch_max(status(site.server.id(), "Threads:").unwrap_or(0), Ordering::Relaxed);
                if memory > MOST_MEMORY {
                    looking.ended.store(true, Ordering::Relaxed);
                    site.server.signal("KILL");
                    site.finish();
                    break;
                }
                if file_bytes(&site).saturating_sub(before) > MOST_DISK {
                    site.finish();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { seen, thread: Some(thread) }
    }

    /// Ends looking. Returns the most memory and threads that were seen, and whether the server was ended for
    /// taking too much.
    pub fn stop(mut self) -> (u64, u64, bool) {
        self.seen.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the watch panicked");
        }
        let seen = &self.seen;
        (
            seen.memory.load(Ordering::Relaxed),
            seen.threads.load(Ordering::Relaxed),
            seen.ended.load(Ordering::Relaxed),
        )
    }
}

/// A number of `/proc/<pid>/status`, if the process is there and has memory.
fn status(process: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Whether the server runs; one that was ended and not yet waited for does not.
pub fn runs(site: &Site) -> bool {
    status(site.server.id(), "VmRSS:").is_some()
}

/// Processor time that the server has used, in hundredths of a second.
pub fn processor(site: &Site) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", site.server.id())).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Bytes of log so far.
pub fn log(site: &Site) -> u64 {
    site.server.output().stderr().iter().map(|line| line.len() as u64 + 1).sum()
}

/// Bytes of SQLite's files.
fn file_bytes(site: &Site) -> u64 {
    let Some(file) = site.store.file() else { return 0 };
    ["", "-wal", "-shm"]
        .iter()
        .filter_map(|suffix| fs::metadata(PathBuf::from(format!("{}{suffix}", file.display()))).ok())
        .map(|file| file.len())
        .sum()
}

/// Bytes that the store takes for good: SQLite's log is carried over into its file first.
pub async fn disk(site: &Site) -> u64 {
    if let Some(file) = site.store.file() {
        let carry_over = || {
            let connection = rusqlite::Connection::open(file)?;
            connection.busy_timeout(Duration::from_secs(2))?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        };
        if let Err(error) = carry_over() {
            eprintln!("SQLite's log counts as it is: {error}");
        }
        return file_bytes(site);
    }
    let Some(admin) = backends::connect(site.store.url()).await else { return 0 };
    let found = admin.query_one("SELECT pg_database_size(current_database())", &[]).await;
    found.map_or(0, |row| row.get::<_, i64>(0).cast_unsigned())
}

impl Site {
    /// Rows of a table of the store.
    #[expect(clippy::cast_precision_loss, reason = "it is far from 2^52")]
    pub async fn count(&self, table: &str) -> f64 {
        let query = format!("SELECT count(*) FROM {table}");
        let rows: Option<i64> = if let Some(file) = self.store.file() {
            let read = || rusqlite::Connection::open(file)?.query_row(&query, [], |row| row.get(0));
            read().ok()
        } else {
            let admin = backends::connect(self.store.url()).await.unwrap();
            admin.query_one(&query, &[]).await.ok().map(|row| row.get(0))
        };
        rows.unwrap() as f64
    }
}
