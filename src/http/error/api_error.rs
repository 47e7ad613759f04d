//! A request that failed, and what of the inside it stands for.

use std::borrow::Cow;
use std::fmt;

use actix_web::error::BlockingError;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};

use super::code::Code;
use super::details::{Details, FieldError};
use crate::auth::AuthError;
use crate::domain::{Refusal, Seq};
use crate::error::Error;

/// Wrong fields that an error's message names; its `details` list them all.
const FIELDS_IN_MESSAGE: usize = 8;

/// A request that failed, as the client is told; what only the log may know is apart.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    pub(crate) message: Cow<'static, str>,
    pub(crate) details: Option<Box<Details>>,
    /// The seq at which this answer is true.
    pub(crate) seq: Option<Seq>,
    /// The methods that would do, with a 405.
    pub(crate) allow: Option<&'static str>,
    /// The cause, for the log.
    pub(crate) cause: Option<Cow<'static, str>>,
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), details: None, seq: None, allow: None, cause: None }
    }

    /// The error in an answer the framework made by itself.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        Self::new(Code::of_status(status), status.canonical_reason().unwrap_or("Error"))
    }

    /// A task that does not exist, for whatever reason.
    pub(crate) fn no_task(seq: Option<Seq>) -> Self {
        Self { seq, ..Self::new(Code::NotFound, "Task not found") }
    }

    /// Fields that are wrong. The message names the first of them.
    pub(crate) fn invalid(fields: Vec<FieldError>) -> Self {
        let named = fields.iter().take(FIELDS_IN_MESSAGE);
        let named = named.map(|error| format!("{} {}", error.field, error.message));
        let mut message = named.collect::<Vec<_>>().join("; ");
        if fields.len() > FIELDS_IN_MESSAGE {
            message = format!("{message}; and {} more", fields.len() - FIELDS_IN_MESSAGE);
        }
        Self::new(Code::ValidationError, message).with(Details::Fields(fields))
    }

    /// One parameter, or one header, that is wrong.
    pub(crate) fn wrong(name: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::invalid(vec![FieldError::new(name, message)])
    }

    /// A refusal as that of one operation of a batch.
    pub(crate) fn of_operation(error: Error) -> Self {
        let index = if let Error::Refused { operation, .. } = error { Some(operation) } else { None };
        let error = Self::from(error);
        let Some(index) = index else { return error };
        let task = match error.details.as_deref() {
            Some(Details::Task(task)) => Some(task.clone()),
            _ => None,
        };
        error.with(Details::Operation { index, task })
    }

    /// A refusal of the caller, with the reason the log gets.
    pub(crate) fn unauthorized(message: &'static str, cause: impl Into<Cow<'static, str>>) -> Self {
        Self { cause: Some(cause.into()), ..Self::new(Code::Unauthorized, message) }
    }

    /// With more to say than the message.
    pub(crate) fn with(self, details: Details) -> Self {
        Self { details: Some(Box::new(details)), ..self }
    }

    fn because(self, cause: impl fmt::Display) -> Self {
        Self { cause: Some(cause.to_string().into()), ..self }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    /// Only the status: the middleware `request_log` adds the rest.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused { refusal, seq, current, operation: _ } => {
                let refused = match refusal {
                    Refusal::NotFound => Self::no_task(None),
                    Refusal::IdTaken => Self::new(Code::Conflict, "This id belongs to another task"),
                    Refusal::PreconditionFailed => {
                        let message = "The task is not in the version that If-Match names";
                        let details = current.map(|task| Box::new(Details::Task(task)));
                        Self { details, ..Self::new(Code::PreconditionFailed, message) }
                    }
                    Refusal::QuotaExceeded { limit } => {
                        Self::new(Code::QuotaExceeded, format!("There can be no more than {limit} tasks"))
                    }
                };
                Self { seq: Some(seq), ..refused }
            }
            Error::KeyReused { seq } => {
                let message = "This idempotency key was used for another request";
                Self { seq: Some(seq), ..Self::new(Code::IdempotencyKeyReused, message) }
            }
            Error::SeqAhead { seq } => {
                let message = "The store has not come to this seq; read the whole list without asking for it";
                Self { seq: Some(seq), ..Self::new(Code::ResyncRequired, message) }
            }
            Error::Overloaded(what) => {
                Self::new(Code::Overloaded, "The service is overloaded; try again soon").because(what)
            }
            Error::StoreUnavailable(what) => {
                Self::new(Code::StoreUnavailable, "The store is not available; try again soon").because(what)
            }
            Error::OutcomeUnknown => Self::new(
                Code::OutcomeUnknown,
                "Whether the write was carried out is not known; read to find out",
            ),
            Error::ForeignSubject => Self::unauthorized("Unauthorized access", error.to_string()),
            Error::Internal(what) => {
                Self::new(Code::InternalServerError, "Internal server error").because(what)
            }
        }
    }
}

/// Work done aside that came to nothing: it panicked.
impl From<BlockingError> for ApiError {
    fn from(error: BlockingError) -> Self {
        Self::new(Code::InternalServerError, "Internal server error").because(error)
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Expired => Self::unauthorized("Token expired", "the token is expired"),
            AuthError::Invalid(cause) => Self::unauthorized("Invalid token", cause),
            AuthError::KeysUnavailable => {
                let message = "Tokens cannot be checked for now; try again soon";
                Self::new(Code::StoreUnavailable, message).because(error)
            }
        }
    }
}
