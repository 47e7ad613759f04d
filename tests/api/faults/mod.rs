//! Load, kills and damage: nothing acknowledged is lost, and every answer is true.
//!
//! - `many_writers`: many writers at once, without a gap, a repeat or an error
//! - `overload`: more requests than the service accepts
//! - `restart`: graceful stops and kills
//! - `durability`: the syncs before an acknowledgement
//! - `postgres_killed`: PostgreSQL dies under the server
//! - `standby`: a real standby and its promotion
//! - `two_processes`: two processes on one PostgreSQL that do not know of each other
//! - `cluster`: `MODE=cluster`, several processes as one
//! - `migration_killed`: kill -9 in the middle of a migration
//! - `slices_killed`: kill -9 in the midst of an import and an erasure that SQLite writes in slices
//! - `damaged_file`: a damaged SQLite file
//! - `clock`: a wrong clock

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
mod slices_killed;
mod standby;
mod two_processes;
