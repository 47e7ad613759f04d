//! The error of a request, and which error of the lanes or of authentication becomes which.

use std::borrow::Cow;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};

use super::code::Code;
use super::details::{Details, FieldError, TaskJson};
use crate::auth::AuthError;
use crate::domain::{Refusal, Revision};
use crate::error::Error;

/// How many wrong fields an error's message names; its `details` list them all.
const FIELDS_IN_MESSAGE: usize = 8;

/// The error of a request. Clients see all of it but the `cause`, which is for the log only.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    pub(crate) message: Cow<'static, str>,
    pub(crate) details: Option<Box<Details>>,
    /// Where the user was when the error was found.
    pub(crate) at: Option<Revision>,
    /// With 405, the methods that the route takes.
    pub(crate) allow: Option<&'static str>,
    /// The cause, for the log only.
    pub(crate) cause: Option<Cow<'static, str>>,
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), details: None, at: None, allow: None, cause: None }
    }

    /// Stands for an error response that the framework made.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        Self::new(Code::of_status(status), status.canonical_reason().unwrap_or("Error"))
    }

    /// 404 for a task; `at` is the user's, where it is known.
    pub(crate) fn no_task(at: Option<Revision>) -> Self {
        Self { at, ..Self::new(Code::NotFound, "Task not found") }
    }

    /// The replay of a write to a task that is gone since, and whose text was too long to be kept with the key.
    pub(crate) fn task_gone_since(at: Revision) -> Self {
        let message = "The write was carried out; its task has been deleted since";
        Self { at: Some(at), ..Self::new(Code::NotFound, message) }
    }

    /// 410: the changes that the request asks for are no longer known.
    pub(crate) fn changes_lost(at: Revision) -> Self {
        let message = "What changed since then cannot be told any more; read the whole list";
        Self { at: Some(at), ..Self::new(Code::ResyncRequired, message) }
    }

    /// 410: what the request goes on from is of another user, or of an earlier life of the store.
    pub(crate) fn other_lineage(at: Revision) -> Self {
        let message = "This was not given out for these tasks as they are stored now; read the whole list";
        Self { at: Some(at), ..Self::new(Code::ResyncRequired, message) }
    }

    /// 412: the request's conditions do not hold; `at` is the user's, where it is known.
    pub(crate) fn condition_failed(at: Option<Revision>) -> Self {
        let message = "The condition of If-Match or If-None-Match does not hold";
        Self { at, ..Self::new(Code::PreconditionFailed, message) }
    }

    /// Wrong fields. The message names the first [`FIELDS_IN_MESSAGE`] of them.
    pub(crate) fn invalid(fields: Vec<FieldError>) -> Self {
        let named = fields.iter().take(FIELDS_IN_MESSAGE);
        let named = named.map(|error| format!("{} {}", error.field, error.message));
        let mut message = named.collect::<Vec<_>>().join("; ");
        if fields.len() > FIELDS_IN_MESSAGE {
            message = format!("{message}; and {} more", fields.len() - FIELDS_IN_MESSAGE);
        }
        Self::new(Code::ValidationError, message).with(Details::Fields(fields))
    }

    /// One wrong parameter, header or field.
    pub(crate) fn wrong(name: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::invalid(vec![FieldError::new(name, message)])
    }

    /// The error of a batch or an import: a refusal's `details` give the operation's index.
    pub(crate) fn of_operation(error: Error) -> Self {
        let Error::Refused { operation, .. } = error else { return error.into() };
        let error = Self::from(error);
        let task = match error.details.as_deref() {
            Some(Details::Task(task)) => Some(task.clone()),
            _ => None,
        };
        error.with(Details::Operation { operation, task })
    }

    /// 401; only the log shows the cause.
    pub(crate) fn unauthorized(message: &'static str, cause: impl Into<Cow<'static, str>>) -> Self {
        Self { cause: Some(cause.into()), ..Self::new(Code::Unauthorized, message) }
    }

    /// Adds one wrong field as `details`.
    pub(crate) fn about(self, field: &'static str, message: &'static str) -> Self {
        self.with(Details::Fields(vec![FieldError::new(field, message)]))
    }

    /// Adds `details`.
    pub(crate) fn with(self, details: Details) -> Self {
        Self { details: Some(Box::new(details)), ..self }
    }

    /// Adds the cause.
    pub(crate) fn because(self, cause: impl fmt::Display) -> Self {
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

    /// Without the body, which the middleware `request_log` adds.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status_code());
        self.set_headers(response.headers_mut());
        response
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused { refusal, at, current, operation: _ } => {
                let refused = match refusal {
                    Refusal::NotFound => Self::no_task(None),
                    Refusal::IdTaken => Self::new(Code::Conflict, "This id belongs to another task"),
                    Refusal::PreconditionFailed => {
                        let details = current.map(|task| Box::new(Details::Task(TaskJson(task))));
                        Self { details, ..Self::condition_failed(None) }
                    }
                    Refusal::QuotaExceeded { limit } => {
                        Self::new(Code::QuotaExceeded, format!("There can be no more than {limit} tasks"))
                    }
                    Refusal::BytesExceeded { limit } => {
                        let message = format!(
                            "Tasks, deletions and idempotency keys can take no more than {limit} bytes"
                        );
                        Self::new(Code::QuotaExceeded, message)
                    }
                };
                Self { at: Some(at), ..refused }
            }
            Error::KeyReused { at } => {
                let message = "This idempotency key was used for another request";
                Self { at: Some(at), ..Self::new(Code::IdempotencyKeyReused, message) }
            }
            Error::SeqAhead { at } => {
                let message = "The store has not come to this seq; read the whole list without asking for it";
                Self { at: Some(at), ..Self::new(Code::ResyncRequired, message) }
            }
            Error::Overloaded(what) => {
                Self::new(Code::Overloaded, "The service is overloaded; try again soon").because(what)
            }
            Error::OverShare(what) => {
                Self::new(Code::RateLimited, "You have too much under way; try again soon").because(what)
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
