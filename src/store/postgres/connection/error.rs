//! What an error of PostgreSQL means for a write, and what of it may be told.

use std::error::Error as _;
use std::fmt::{self, Write};
use std::io;

use deadpool_postgres::PoolError;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::store::StoreError;

/// An error, classed by what it says of the statement that met it.
#[derive(Clone, Debug)]
pub(crate) struct PostgresError {
    pub(crate) kind: Kind,
    text: String,
}

/// What an error says of the statement that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not applied: the server cannot keep these values, now or ever.
    Data,
    /// Not applied: two users want one e-mail address, or two processes carry out one key, at the same instant. The
    /// next try sees who won.
    Taken,
    /// Not applied: somebody else's lock, or time ran out on the server. Other users may fare better.
    Contention,
    /// Not applied, nor would another batch be: no room, read-only, shutting down, a defect.
    Refusal,
    /// The server is not there to take a statement, and may be in a moment. Only before sending.
    NotYet,
    /// The connection broke: whatever was sent may or may not be applied.
    Broken,
}

impl PostgresError {
    /// An answer that did not come in time; the server may still be at it.
    pub(crate) fn no_answer(within: std::time::Duration) -> Self {
        Self { kind: Kind::Broken, text: format!("no answer within {within:?}") }
    }

    /// An answer that was not waited for, as another server has taken over.
    pub(crate) fn left_behind() -> Self {
        Self { kind: Kind::Broken, text: "another server was promoted".to_owned() }
    }

    /// A connection that did not come about in time.
    pub(crate) fn no_connection(within: std::time::Duration) -> Self {
        Self { kind: Kind::NotYet, text: format!("no connection within {within:?}") }
    }

    /// Something about the database itself that has to be put right first.
    pub(crate) const fn unfit(text: String) -> Self {
        Self { kind: Kind::Refusal, text }
    }

    /// What an error says of a statement that was sent.
    pub(crate) fn of(error: &Error) -> Self {
        let kind = error.as_db_error().map_or(Kind::Broken, kind_of);
        Self { kind, text: describe(error) }
    }

    /// What an error says that came up while connecting: nothing of ours was sent yet.
    pub(crate) fn of_connecting(error: &Error) -> Self {
        let kind = match error.as_db_error() {
            // Starting up, or all slots taken: worth another try. A wrong password is not.
            Some(db) if is_class(db, "57") || is_class(db, "53") || is_class(db, "08") => Kind::NotYet,
            Some(_) => Kind::Refusal,
            // A certificate that will not do will not do later either.
            None if is_about_tls(error) => Kind::Refusal,
            None => Kind::NotYet,
        };
        Self { kind, text: describe(error) }
    }

    /// What went wrong on the way to a pooled connection.
    pub(crate) fn of_pool(error: &PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::of_connecting(error),
            PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => Self {
                kind: Kind::Contention,
                text: "no connection came free in time: raise DB_POOL_SIZE, or look for slow statements"
                    .to_owned(),
            },
            other => Self { kind: Kind::NotYet, text: other.to_string() },
        }
    }
}

impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An error's SQLSTATE and primary message; a server's DETAIL and CONTEXT can hold users' texts.
pub(crate) fn describe(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("SQLSTATE {}: {}", db.code().code(), db.message());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing into a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

fn is_about_tls(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let cause = cause.and_then(io::Error::get_ref);
    cause.and_then(|cause| cause.downcast_ref::<rustls::Error>()).is_some()
}

fn is_class(error: &DbError, class: &str) -> bool {
    error.code().code().starts_with(class)
}

/// Classes of SQLSTATE: PostgreSQL's documentation, appendix A.
fn kind_of(error: &DbError) -> Kind {
    let code = error.code();
    // An ERROR ends a statement's transaction with nothing applied, unless it comes from a proxy in
    // between that lost the server (class 08) or says itself that it does not know.
    let definite = error.parsed_severity() == Some(Severity::Error)
        && !is_class(error, "08")
        && *code != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
        && *code != SqlState::ADMIN_SHUTDOWN
        && *code != SqlState::CRASH_SHUTDOWN;
    if !definite {
        return Kind::Broken;
    }
    if *code == SqlState::UNIQUE_VIOLATION
        && matches!(error.constraint(), Some("users_email_key" | "idempotency_keys_pkey"))
    {
        return Kind::Taken;
    }
    if is_class(error, "22") || is_class(error, "23") || is_class(error, "54") {
        return Kind::Data;
    }
    if is_class(error, "40") || *code == SqlState::LOCK_NOT_AVAILABLE || *code == SqlState::QUERY_CANCELED {
        return Kind::Contention;
    }
    Kind::Refusal
}

impl From<PostgresError> for StoreError {
    fn from(fault: PostgresError) -> Self {
        Self(format!("PostgreSQL: {fault}"))
    }
}
