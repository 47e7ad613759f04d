//! Connections to PostgreSQL.
//!
//! - [`connect`]: how one is opened, and what is set on it
//! - [`failover`]: detects fail-over and restore: a new timeline or system identifier starts a new epoch
//! - [`tls`]: its encryption
//! - [`read_pool`]: those that all reads share
//! - [`thread_connections`]: those of the HTTP workers' own threads
//! - [`error`]: what the driver's errors mean

pub(crate) mod connect;
pub(crate) mod error;
pub(crate) mod failover;
pub(crate) mod read_pool;
pub(crate) mod thread_connections;
pub(crate) mod tls;
