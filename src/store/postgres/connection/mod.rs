//! Connections to PostgreSQL.
//!
//! - [`connect`]: how one is opened, and what is set on it
//! - [`tls`]: its encryption
//! - [`thread_connections`]: those of the HTTP workers' own threads
//! - [`error`]: what the driver's errors mean

pub(crate) mod connect;
pub(crate) mod error;
pub(crate) mod thread_connections;
pub(crate) mod tls;
