//! A PostgreSQL cluster for one test, which can kill and restart it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A running cluster in its own folder. Dropping it stops it.
pub struct Cluster {
    dir: PathBuf,
    /// Its folder, if it was made for it.
    own: Option<TempDir>,
    /// A superuser's URL to its `postgres` database.
    pub url: String,
}

impl Cluster {
    /// Makes and starts a cluster.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Makes and starts a cluster with these settings, each `name=value`.
    pub fn with(settings: &[&str]) -> Self {
        let dir = enterable();
        let mut cluster = Self::at(&dir.path().join("cluster"), settings);
        cluster.own = Some(dir);
        cluster
    }

    /// Makes and starts a cluster in this folder, which every user of the machine must be able to enter.
    pub fn at(dir: &Path, settings: &[&str]) -> Self {
        let url = script("start", dir, settings);
        assert!(url.starts_with("postgres"), "scripts/postgres start must print the URL; it printed {url:?}");
        Self { dir: dir.to_owned(), own: None, url }
    }

    /// Makes a standby of it, in another folder.
    pub fn standby(&self) -> Self {
        let dir = enterable();
        let place = dir.path().join("cluster");
        let url = script("standby", &place, &[self.dir.to_str().unwrap()]);
        Self { dir: place, own: Some(dir), url }
    }

    /// Runs one statement.
    pub async fn run(&self, statement: &str) {
        super::store::run(&self.url, statement).await.unwrap();
    }

    /// Kills every process of it at once, as a power cut would.
    pub fn kill(&self) {
        script("kill", &self.dir, &[]);
    }

    /// Restarts it as a standby that is promoted at once: the same data on the next timeline.
    pub async fn promote(&self) {
        let dir = &self.dir;
        script("stop", dir, &[]);
        let (data, signal) = (dir.join("data"), dir.join("data/standby.signal"));
        std::fs::write(&signal, "").unwrap();
        let owner = std::fs::metadata(data).unwrap();
        std::os::unix::fs::chown(&signal, Some(owner.uid()), Some(owner.gid())).unwrap();
        script("restart", dir, &[]);
        self.run("SELECT pg_promote()").await;
    }

    /// Restarts it on the same port with the same data.
    pub fn restart(&self) {
        script("restart", &self.dir, &[]);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = Command::new(path()).arg("stop").arg(&self.dir).output();
    }
}

/// A folder that other users can enter: PostgreSQL may have to run as another user.
fn enterable() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

fn path() -> PathBuf {
    std::env::var_os("TEST_POSTGRES_SCRIPT")
        .map_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres").into(), PathBuf::from)
}

fn script(action: &str, dir: &Path, more: &[&str]) -> String {
    let path = path();
    let output = Command::new(&path).arg(action).arg(dir).args(more).output().unwrap_or_else(|error| {
        panic!("cannot run {} ({error}); set TEST_POSTGRES_SCRIPT to scripts/postgres", path.display())
    });
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} {action}: {stdout}{stderr}", path.display());
    stdout.lines().last().unwrap_or_default().trim().to_owned()
}
