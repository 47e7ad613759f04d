//! The store in PostgreSQL: the production store.
//!
//! - [`store`]: the store itself, and which connection serves which call
//! - [`options`]: how the database is reached
//! - [`migrate`]: brings its tables up to date
//! - [`commit`], [`read`], [`retention`]: what is asked of it; the longer statements stand in `sql/`
//! - [`task_row`]: the columns of a task, the only place that knows them
//! - [`check`], [`copy`]: for whoever keeps the service
//! - [`connection`]: how connections come about, and what their errors mean
//! - [`cluster`]: several servers, several processes

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
