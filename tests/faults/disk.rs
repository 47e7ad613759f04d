//! A disk that is filled under load, and freed again.

use std::fs::{File, remove_file};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rand::rngs::StdRng;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::field::{Field, some_millis};
use crate::support::{Answer, User};

/// A small file system for one run. Dropping it unmounts it.
pub struct Disk {
    dir: TempDir,
}

impl Disk {
    /// Mounts one of this size.
    pub fn new(megabytes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m,mode=1777");
        let mounted = as_root(&["mount", "-t", "tmpfs", "-o", &size, "tasklane-test"], dir.path());
        assert!(
            mounted.as_ref().is_ok_and(|output| output.status.success()),
            "a disk that is full needs a small one of its own: run this as root, or as one who may do so by sudo without \
             a password; in a container, with CAP_SYS_ADMIN. Mounting a tmpfs: {mounted:?}"
        );
        Self { dir }
    }

    /// Its mount point.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Fills all free space.
    pub fn fill(&self) {
        let mut filler = File::create(self.path().join("filler")).unwrap();
        for size in [1 << 20, 4096, 1] {
            let piece = vec![0; size];
            loop {
                match filler.write_all(&piece) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("another error than a full disk: {error}"),
                }
            }
        }
    }

    /// Frees it again.
    pub fn empty(&self) {
        remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: processes that still have it open keep it until they end.
        let _ = as_root(&["umount", "-l"], self.dir.path());
    }
}

fn as_root(command: &[&str], place: &Path) -> std::io::Result<Output> {
    // The folder is new, so nothing is mounted there yet.
    let direct = Command::new(command[0]).args(&command[1..]).arg(place).output();
    match direct {
        Ok(output) if output.status.success() => Ok(output),
        _ => Command::new("sudo").arg("-n").args(command).arg(place).output(),
    }
}

impl Field {
    /// The disk is full: writes are refused and reads work. Once there is room again, everything works by
    /// itself.
    pub(crate) async fn fill_disk(&mut self, random: &mut StdRng) {
        if self.on_postgres() {
            // The log has spare segments, so that it is the tables that find no room.
            let admin = self.admin().await;
            for _ in 0..3 {
                admin.batch_execute("SELECT txid_current(), pg_switch_wal()").await.unwrap();
            }
            admin.batch_execute("CHECKPOINT").await.unwrap();
        }
        let user = self.warm().await;
        self.disk().fill();
        self.refused_but_read(&user, 3, random).await;
        self.disk().empty();
        written(&user).await;
    }

    /// No file of the server may grow. The error differs from that of a full disk.
    pub(crate) async fn limit_files(&mut self, random: &mut StdRng) {
        let user = self.warm().await;
        self.limit("4096:");
        // Its outcome stays unknown as long as this lasts, so one is enough.
        self.refused_but_read(&user, 1, random).await;
        self.limit("unlimited:");
        written(&user).await;
    }

    fn limit(&self, size: &str) {
        let (pid, size) = (format!("--pid={}", self.server().id()), format!("--fsize={size}"));
        let set = Command::new("prlimit").args([pid, size]).output().expect("prlimit, of util-linux");
        assert!(set.status.success(), "{set:?}");
    }

    /// The disk is full and PostgreSQL's log has to grow: PostgreSQL panics until it can.
    pub(crate) async fn fill_log(&mut self, random: &mut StdRng) {
        let user = self.warm().await;
        self.disk().fill();
        let mut away = 0;
        for _ in 0..200 {
            let admin = self.try_admin().await;
            away = if admin.is_some() { 0 } else { away + 1 };
            if away == 10 {
                break;
            }
            if let Some(admin) = admin {
                let _ = admin.batch_execute("SELECT txid_current(), pg_switch_wal()").await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(away, 10, "PostgreSQL keeps running without room");
        self.refused_but_read(&user, 3, random).await;
        self.disk().empty();
        block_in_place(|| self.cluster().restart());
        written(&user).await;
    }

    /// A user whose requests are not recorded, with tasks in the server's memory.
    async fn warm(&self) -> User {
        let user = self.server().user(&format!("filler {}", Uuid::new_v4()));
        written(&user).await;
        user
    }

    /// Writes until one is refused, and checks that reads work meanwhile.
    async fn refused_but_read(&self, user: &User, rounds: usize, random: &mut StdRng) {
        for round in 0..rounds {
            let mut refused = None;
            for _ in 0..500 {
                refused = Some(write(user).await).filter(|answer| answer.status != 200);
                if refused.is_some() {
                    break;
                }
            }
            let refused = refused.unwrap_or_else(|| panic!("round {round}: no write is refused"));
            let code = refused.expect(503).code();
            assert!(["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"].contains(&&*code), "{code}");
            user.get("/tasks?limit=1").await.expect(200);
            some_millis(random, 100..1_500).await;
        }
    }
}

/// About fifty kilobytes that cannot be compressed.
async fn write(user: &User) -> Answer {
    let operation = |_| {
        let text: String = (0..60).map(|_| Uuid::new_v4().simple().to_string()).collect();
        json!({"op": "create", "task": {"title": "large", "description": text}})
    };
    let body = json!({"operations": (0..25).map(operation).collect::<Vec<Value>>()});
    user.call(Method::POST, "/batch", Some(&body)).await
}

/// Retries a write until it succeeds, once there is room.
async fn written(user: &User) {
    let mut last = None;
    for _ in 0..300 {
        let answer = write(user).await;
        if answer.status == 200 {
            return;
        }
        last = Some(answer.expect(503).code());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("writes are still refused: {last:?}");
}
