//! The store in one SQLite file: nothing to install, durable, one process at a time.
//!
//! - [`store`]: the store itself, and which thread does what
//! - [`worker`]: a thread with a connection
//! - [`open`]: opens the file, makes it, brings its tables up to date
//! - [`commit`], [`read`], [`retention`]: what is asked of it
//! - [`task_row`]: the columns of a task, the only place that knows them
//! - [`check`], [`copy`], [`backup()`]: for whoever keeps the service

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
