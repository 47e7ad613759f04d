//! Connections to PostgreSQL.
//!
//! - [`connect`]: how a connection is opened and set up
//! - [`failover`]: detects fail-over and restore: a new timeline or system identifier starts a new epoch
//! - [`pooler`]: finds a pooler that shares the server's sessions
//! - [`tls`]: encryption and certificate checks
//! - [`read_pool`]: the connections that all reads share
//! - [`thread_connections`]: the connections of the HTTP workers' threads
//! - [`error`]: what the driver's errors mean

pub(crate) mod connect;
pub(crate) mod error;
pub(crate) mod failover;
pub(crate) mod pooler;
pub(crate) mod read_pool;
pub(crate) mod thread_connections;
pub(crate) mod tls;
