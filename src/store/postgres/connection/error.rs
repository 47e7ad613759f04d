//! What an error of PostgreSQL means for a write, and what of it may be logged.

use std::error::Error as _;
use std::io;
use std::iter::successors;
use std::time::Duration;

use deadpool_postgres::PoolError;
use tokio::time::timeout;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::store::StoreError;

/// An error, with its meaning for the statement that met it. Its text is one line for the log.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct PostgresError {
    pub(crate) kind: Kind,
    text: String,
}

/// What an error means for the statement that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not applied: the server cannot keep these values, now or ever.
    Data,
    /// Not applied: at the same time another batch took the e-mail address, or stored the key. A retry sees
    /// the winner.
    Taken,
    /// Not applied: another transaction's lock, or the server's time-out. Batches of other users may still
    /// succeed.
    Contention,
    /// Not applied, and no other batch would be: no space, read-only, shutting down, a defect.
    Refusal,
    /// Not sent: the server cannot be reached, or not in time. It may be later.
    NotYet,
    /// The connection broke: what was sent may or may not be applied.
    Broken,
}

impl PostgresError {
    /// No answer came in time; the server may still be working on it.
    pub(crate) fn no_answer(limit: Duration) -> Self {
        Self { kind: Kind::Broken, text: format!("no answer within {limit:?}") }
    }

    /// A transaction took longer than its answer would be awaited; it was not ended.
    pub(crate) fn out_of_time(limit: Duration) -> Self {
        Self { kind: Kind::Contention, text: format!("not done within {limit:?}") }
    }

    /// The answer was not awaited, because another server has taken over.
    pub(crate) fn left_behind() -> Self {
        Self { kind: Kind::Broken, text: "another server was promoted".to_owned() }
    }

    /// No connection was made in time.
    pub(crate) fn no_connection(limit: Duration) -> Self {
        Self { kind: Kind::NotYet, text: format!("no connection within {limit:?}") }
    }

    /// A fault of the database that has to be fixed first.
    pub(crate) const fn unfit(text: String) -> Self {
        Self { kind: Kind::Refusal, text }
    }

    /// The same error, for a statement that was never sent.
    pub(crate) fn not_sent(self) -> Self {
        Self { kind: Kind::NotYet, ..self }
    }

    /// An error of a statement that was sent.
    pub(crate) fn of(error: &Error) -> Self {
        let kind = error.as_db_error().map_or(Kind::Broken, kind_of);
        Self { kind, text: describe(error) }
    }

    /// An error while connecting: no statement was sent yet.
    pub(crate) fn of_connecting(error: &Error) -> Self {
        let kind = match error.as_db_error() {
            // Starting up, or all slots taken: worth a retry. A wrong password is not.
            Some(db) if is_class(db, "57") || is_class(db, "53") || is_class(db, "08") => Kind::NotYet,
            Some(_) => Kind::Refusal,
            // A certificate that is refused now will be refused later.
            None if is_about_tls(error) => Kind::Refusal,
            None => Kind::NotYet,
        };
        Self { kind, text: describe(error) }
    }

    /// An error while getting a connection from the pool.
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

impl From<Error> for PostgresError {
    fn from(error: Error) -> Self {
        Self::of(&error)
    }
}

/// Awaits the answer to a statement, for at most `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, PostgresError> {
    Ok(timeout(limit, answer).await.map_err(|_| PostgresError::no_answer(limit))??)
}

/// An error's SQLSTATE and primary message. The server's DETAIL and CONTEXT are left out: they can contain
/// user text.
pub(crate) fn describe(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("SQLSTATE {}: {}", db.code().code(), db.message());
    }
    let causes = successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn is_about_tls(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let cause = cause.and_then(io::Error::get_ref);
    cause.and_then(|cause| cause.downcast_ref::<rustls::Error>()).is_some()
}

fn is_class(error: &DbError, class: &str) -> bool {
    error.code().code().starts_with(class)
}

/// Classifies a server's error by its SQLSTATE (PostgreSQL's documentation, appendix A).
fn kind_of(error: &DbError) -> Kind {
    let code = error.code();
    // After an ERROR nothing is applied, unless it comes from a proxy that lost the server (class 08), or
    // says that the outcome is unknown.
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
