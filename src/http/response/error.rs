//! Errors as clients see them: one form, one place.
//!
//! A handler returns an [`ApiError`]; the [edge](crate::http::middleware::request_log) turns it, and any error of the
//! framework's own, into the contract's body.

use std::borrow::Cow;
use std::fmt;

use actix_web::error::BlockingError;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, ResponseError};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::auth::AuthError;
use crate::domain::{Refusal, Seq};
use crate::error::Error;
use crate::http::request::header_names::{JSON, PROBLEM, SEQ};

/// Wrong fields that an error's message tells of; its `details` list them all.
const TOLD: usize = 8;

/// The machine-readable half of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// 400 (and any 4xx that has no code of its own).
    BadRequest,
    /// 401: no token, a token that does not count, or another user's path.
    Unauthorized,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 422: `details` lists what is wrong.
    ValidationError,
    /// 409: the chosen id belongs to another task.
    Conflict,
    /// 409: the user has as many tasks as allowed.
    QuotaExceeded,
    /// 410: what changed since this seq cannot be told any more; read the whole list.
    ResyncRequired,
    /// 412: `details` is the task as it is.
    PreconditionFailed,
    /// 413.
    PayloadTooLarge,
    /// 415.
    UnsupportedMediaType,
    /// 422: the idempotency key was used for another request.
    IdempotencyKeyReused,
    /// 428: `X-Confirm-Delete` must confirm it.
    PreconditionRequired,
    /// 408: the body did not arrive in time.
    RequestTimeout,
    /// 429.
    RateLimited,
    /// 503: too much work is waiting. Nothing was written.
    Overloaded,
    /// 503: something the service depends on is out of reach. Nothing was written.
    StoreUnavailable,
    /// 503: the write may or may not be carried out; a later read tells.
    OutcomeUnknown,
    /// 500.
    InternalServerError,
}

impl Code {
    const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::ValidationError | Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::ResyncRequired => StatusCode::GONE,
            Self::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::Conflict | Self::QuotaExceeded => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded | Self::StoreUnavailable | Self::OutcomeUnknown => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code of a status the framework chose.
    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::CONFLICT => Self::Conflict,
            StatusCode::PRECONDITION_FAILED => Self::PreconditionFailed,
            StatusCode::PRECONDITION_REQUIRED => Self::PreconditionRequired,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::ValidationError,
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited,
            StatusCode::SERVICE_UNAVAILABLE => Self::Overloaded,
            _ if status.as_u16() >= 500 => Self::InternalServerError,
            _ => Self::BadRequest,
        }
    }
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The field's name; `body` for the body as a whole; a parameter's or a header's name.
    pub field: Cow<'static, str>,
    /// What is wrong with it. It never repeats the value.
    pub message: Cow<'static, str>,
}

impl FieldError {
    pub(crate) fn new(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// What an error has to say beyond its message.
#[derive(Debug)]
pub(crate) enum Details {
    /// Every field that is wrong.
    Fields(Vec<FieldError>),
    /// The JSON of the task the request was about, as it is.
    Task(Bytes),
    /// Which operation of a batch it was, and the JSON of its task, as it is.
    Operation { place: usize, task: Option<Bytes> },
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Operation<'a> {
            operation: usize,
            task: Option<&'a RawValue>,
        }
        // The JSON is the lane's own.
        let raw = |json| serde_json::from_slice::<&RawValue>(json).ok();
        match self {
            Self::Fields(fields) => fields.serialize(to),
            Self::Task(json) => raw(json).serialize(to),
            Self::Operation { place, task } => {
                Operation { operation: *place, task: task.as_deref().and_then(raw) }.serialize(to)
            }
        }
    }
}

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

    /// Fields that are wrong. The message tells the first of them.
    pub(crate) fn invalid(fields: Vec<FieldError>) -> Self {
        let told = fields.iter().take(TOLD).map(|error| format!("{} {}", error.field, error.message));
        let mut told = told.collect::<Vec<_>>().join("; ");
        if fields.len() > TOLD {
            told = format!("{told}; and {} more", fields.len() - TOLD);
        }
        Self::new(Code::ValidationError, told).with(Details::Fields(fields))
    }

    /// One parameter, or one header, that is wrong.
    pub(crate) fn wrong(name: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::invalid(vec![FieldError::new(name, message)])
    }

    /// A refusal as that of one operation of a batch.
    pub(crate) fn of_operation(error: Error) -> Self {
        let place = if let Error::Refused { operation, .. } = error { Some(operation) } else { None };
        let error = Self::from(error);
        let Some(place) = place else { return error };
        let task = match error.details.as_deref() {
            Some(Details::Task(task)) => Some(task.clone()),
            _ => None,
        };
        error.with(Details::Operation { place, task })
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

    /// What it says in headers.
    pub(crate) const fn marks(&self) -> Marks {
        Marks { code: self.code, seq: self.seq, allow: self.allow }
    }

    /// The contract's JSON form.
    pub(crate) fn body(&self, status: StatusCode, request_id: &str) -> Vec<u8> {
        let form = ErrorBody {
            error: ErrorObject { code: self.code, message: &self.message, details: self.details.as_deref() },
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &self.message,
            request_id,
        };
        // Writing plain strings and numbers into memory has no way to fail.
        serde_json::to_vec(&form).expect("an error is always valid JSON")
    }
}

/// The JSON form of an error.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "error": {"code": "NOT_FOUND", "message": "Task not found", "details": null},
    "type": "about:blank", "title": "Not Found", "status": 404, "detail": "Task not found",
    "request_id": "5f0c9a2e61d4b837-1f"
}))]
pub(crate) struct ErrorBody<'a> {
    #[schema(inline)]
    error: ErrorObject<'a>,
    /// Always `about:blank` (RFC 9457): the status says it all.
    r#type: &'a str,
    /// The status in words.
    title: &'a str,
    /// The status.
    status: u16,
    /// The same text as `error.message`.
    detail: &'a str,
    /// Finds this request in the server's log; the same as the `X-Request-Id` header.
    request_id: &'a str,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ErrorObject<'a> {
    code: Code,
    /// For people.
    message: &'a str,
    #[schema(required, value_type = Option<ErrorDetails>)]
    details: Option<&'a Details>,
}

/// What the code has to say beyond the message; null if nothing.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its form is used")]
enum ErrorDetails {
    /// With `VALIDATION_ERROR`: every field that is wrong.
    Fields(Vec<FieldError>),
    /// With `PRECONDITION_FAILED`: the task as it is.
    Task(Box<crate::http::docs::schemas::Task>),
    /// With a refused batch: which operation it was, from 0, and with `PRECONDITION_FAILED` its task.
    Operation {
        /// The operation's place in the list, from 0.
        #[schema(minimum = 0)]
        operation: i64,
        /// The task as it is.
        #[schema(required)]
        task: Option<Box<crate::http::docs::schemas::Task>>,
    },
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

    /// Only the status: the edge knows the rest.
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

/// Whether the request wants errors as `application/problem+json`: its `Accept` names that type.
pub(crate) fn wants_problem(headers: &HeaderMap) -> bool {
    headers.get_all("accept").filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(',')).any(
        |range| {
            let mut parts = range.split(';').map(str::trim);
            let named =
                parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/problem+json"));
            named && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        },
    )
}

/// What an error says in headers.
#[derive(Clone, Copy)]
pub(crate) struct Marks {
    code: Code,
    seq: Option<Seq>,
    allow: Option<&'static str>,
}

impl Marks {
    /// Sets them, the content type included.
    pub(crate) fn set(self, problem: bool, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, if problem { PROBLEM } else { JSON });
        if let Some(seq) = self.seq {
            headers.insert(SEQ, seq.get().into());
        }
        if self.code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        // Seconds after which to try again.
        let pause = match self.code {
            Code::Overloaded | Code::OutcomeUnknown | Code::RateLimited => "1",
            Code::StoreUnavailable => "2",
            _ => return,
        };
        headers.insert(RETRY_AFTER, HeaderValue::from_static(pause));
    }
}
