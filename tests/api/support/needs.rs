//! What some tests need beyond Rust and a C compiler. Where it is missing they are left out, and each test
//! binary prints one line that says so; with `TEST_EVERYTHING` set, as by `scripts/test`, they fail instead.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Something that not every machine has.
#[allow(dead_code, reason = "no test binary needs all of it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// A throw-away cluster, by its superuser's URL in `TEST_POSTGRES_URL`.
    Postgres,
    /// curl, to call the service as the documentation does.
    Curl,
    /// strace, to trace and kill a process at its system calls.
    Strace,
    /// PgBouncer, a pooler between the service and PostgreSQL.
    Pgbouncer,
    /// eatmydata, to turn syncs into no-ops.
    Eatmydata,
    /// libfaketime, to set a process's clock.
    Faketime,
    /// The right to mount a small disk for a test.
    Mount,
}

impl Need {
    fn is_there(self) -> bool {
        match self {
            Self::Postgres => std::env::var_os("TEST_POSTGRES_URL").is_some_and(|url| !url.is_empty()),
            Self::Curl => on_path("curl"),
            Self::Strace => on_path("strace"),
            Self::Pgbouncer => on_path("pgbouncer") || Path::new("/usr/sbin/pgbouncer").exists(),
            Self::Eatmydata => on_path("eatmydata"),
            Self::Faketime => faketime().is_some(),
            Self::Mount => {
                let sudo = || Command::new("sudo").args(["-n", "true"]).output();
                may_administer() || sudo().is_ok_and(|output| output.status.success())
            }
        }
    }
}

/// Debian's and Ubuntu's libfaketime, which answers the system's calls for the time.
pub fn faketime() -> Option<&'static str> {
    let places = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    ];
    places.into_iter().find(|place| Path::new(place).exists())
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether this process has Linux's `CAP_SYS_ADMIN`.
fn may_administer() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    effective.is_some_and(|bits| bits & 1 << 21 != 0)
}

/// What was already reported as missing.
static TOLD: LazyLock<Mutex<HashSet<Need>>> = LazyLock::new(Mutex::default);

/// Whether the calling test is to be left out; see [`needs!`].
pub fn is_missing(need: Need) -> bool {
    if need.is_there() {
        return false;
    }
    assert!(
        std::env::var_os("TEST_EVERYTHING").is_none(),
        "this test needs {need:?}, and TEST_EVERYTHING forbids leaving it out"
    );
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(need) {
        // Written past the capture of test output. If nobody reads it, the tests go on.
        let _ = writeln!(
            std::io::stderr(),
            "\nLEFT OUT: tests of `{}` that need {need:?}; `scripts/test` runs them, or see CONTRIBUTING.md",
            env!("CARGO_CRATE_NAME")
        );
    }
    true
}

/// `needs!(Postgres)` as a test's first line leaves the test out where there is none.
macro_rules! needs {
    ($($need:ident),+) => {
        $(if crate::needs::is_missing(crate::needs::Need::$need) {
            return;
        })+
    };
}
