//! How to reach the database, and time-outs.

use std::fmt;
use std::time::Duration;

use crate::config::StoreConfig;

/// How to reach the server, and how long to wait for it.
///
/// Each time-out is longer than the one before it: a lock wait ends before its statement, and the statement
/// before its caller gives up. So the server's own clear error comes first, if there is one.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host[:port][,host…]/database[?parameters]`; see `connection/tls.rs` for
    /// `sslmode` and `sslrootcert`.
    pub url: String,
    /// Connections, the committer's included; at least two are used. Too few: cold users wait for each
    /// other. Too many: a few processes use up the server's `max_connections`. One more is opened while a
    /// large batch is committed.
    pub pool_size: usize,
    /// For each host to accept a connection.
    pub connect_timeout: Duration,
    /// For a pooled connection to become free.
    pub wait_timeout: Duration,
    /// For a row lock held by another transaction. Meanwhile all commits of this process wait.
    pub lock_timeout: Duration,
    /// For one statement, on the server.
    pub statement_timeout: Duration,
    /// For the answer to one statement. A connection that gives none is dropped.
    pub answer_timeout: Duration,
    /// For a server that is still starting, at the start of the store.
    pub startup_patience: Duration,
    /// Whether to accept, with a warning, a server whose settings lose commits when its machine crashes.
    pub allow_unsafe: bool,
}

impl PostgresOptions {
    /// The usual time-outs, and no unsafe server.
    #[must_use]
    pub const fn new(url: String, pool_size: usize) -> Self {
        Self {
            url,
            pool_size,
            connect_timeout: Duration::from_secs(3),
            wait_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(15),
            startup_patience: Duration::from_secs(15),
            allow_unsafe: false,
        }
    }

    /// The options from the settings, for the database at `url`.
    pub(crate) fn configured(url: &str, config: &StoreConfig) -> Self {
        Self { allow_unsafe: config.allow_unsafe_store, ..Self::new(url.to_owned(), config.db_pool_size) }
    }

    /// The same options for the operator's commands: no statement is too long, and locks are waited for.
    /// Only the loss of the server, which the connection detects, ends a statement.
    #[must_use]
    pub fn patient(self) -> Self {
        Self {
            lock_timeout: Duration::from_mins(1),
            statement_timeout: Duration::ZERO,
            answer_timeout: Duration::from_hours(24),
            ..self
        }
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL holds a password.
        f.debug_struct("PostgresOptions").field("pool_size", &self.pool_size).finish_non_exhaustive()
    }
}
