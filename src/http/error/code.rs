//! The machine-readable half of an error, and its status.

use actix_web::http::StatusCode;
use serde::Serialize;

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
    /// Its status.
    pub(super) const fn status(self) -> StatusCode {
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
    pub(super) fn of_status(status: StatusCode) -> Self {
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
