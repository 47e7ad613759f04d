//! Real faults under load: one or several processes of the real binary and a real PostgreSQL are killed,
//! stopped, cut off and starved while clients work, and a checker judges every answer. Nothing acknowledged
//! may be lost, nothing refused may appear, no read may be stale. `SEED=<n>` repeats the choices of a run,
//! not its timing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test may block a thread of its own")]

#[macro_use]
#[path = "../api/support/needs.rs"]
mod needs;
#[path = "../model/history.rs"]
mod history;
#[path = "../model/mod.rs"]
mod model;
#[path = "../model/possible.rs"]
mod possible;
#[allow(dead_code, reason = "shared with tests/store")]
#[path = "../store/proxy.rs"]
mod proxy;
#[allow(dead_code, unused_imports, unused_macros, reason = "shared with tests/api, which uses all of it")]
#[path = "../api/support/mod.rs"]
mod support;

mod backends;
mod checker;
mod disk;
mod driver;
#[cfg(target_os = "linux")]
mod failover;
mod fault;
mod field;
mod follower;
#[cfg(target_os = "linux")]
mod leaks;
mod order;
mod parts;
mod record;
mod replica;
mod replicas;
mod scripts;
mod trial;
mod violations;
mod violations_of_many;
