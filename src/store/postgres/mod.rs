//! The store in PostgreSQL, for production.
//!
//! - [`store`]: the store itself, its background tasks, and which connection serves which call
//! - [`options`]: how to reach the database, and time-outs
//! - [`migrate`]: migrates its tables
//! - [`commit`], [`read`], [`retention`]: the service's writes and reads; longer statements are in `sql/`
//! - [`batch_columns`]: what is committed, as parameters
//! - [`task_row`]: the columns of a task, the only place that knows them
//! - [`check`], [`copy`]: the operator's commands
//! - [`connection`]: how connections are opened and pooled, and what their errors mean
//! - [`cluster`]: several servers, and several processes

mod batch_columns;
mod check;
mod cluster;
mod commit;
mod connection;
mod copy;
mod migrate;
mod options;
mod read;
mod retention;
mod rows;
mod store;
mod task_row;

pub use options::PostgresOptions;
pub use store::PostgresStore;
