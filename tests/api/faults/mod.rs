//! Crowds, kills and damage: nothing acknowledged is lost, and nobody sees what is not so.
//!
//! - `many_writers`: many at once, without a gap, a repeat or an error
//! - `overload`: more at once than the service takes
//! - `restart`: stops, good and bad
//! - `durability`: the syncs before an acknowledgement
//! - `postgres_killed`: PostgreSQL dies under the server
//! - `standby`: a real standby, and its promotion
//! - `two_processes`: two processes on one PostgreSQL, without knowing of each other
//! - `cluster`: `MODE=cluster`, several processes as one
//! - `migration_killed`: kill -9 in the middle of a migration
//! - `damaged_file`: a SQLite file that something has happened to
//! - `clock`: a clock that is wrong

#[cfg(target_os = "linux")]
mod clock;
mod cluster;
mod damaged_file;
#[cfg(target_os = "linux")]
mod durability;
mod many_writers;
mod migration_killed;
mod overload;
mod postgres_killed;
mod restart;
mod standby;
mod two_processes;
