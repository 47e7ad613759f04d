//! The store in one SQLite file: nothing to install, durable, one process at a time.
//!
//! - [`store`]: the store itself, and which thread does what
//! - [`worker`]: a thread that owns a connection
//! - [`open`]: opens, creates and migrates the file
//! - [`commit`]: the service's writes
//! - [`read`], [`retention`]: its reads, and the purge
//! - [`task_row`]: the columns of a task, the only place that knows them
//! - [`check`], [`copy`], [`backup()`]: the operator's commands

mod backup;
mod check;
mod commit;
mod copy;
mod open;
mod read;
mod retention;
mod store;
mod task_row;
mod worker;

pub use backup::backup;
pub use store::SqliteStore;

#[cfg(test)]
mod tests;
