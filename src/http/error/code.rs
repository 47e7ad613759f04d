//! The machine-readable code of an error, and its HTTP status.

use actix_web::http::StatusCode;
use serde::Serialize;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident = $status:ident,)+) => {
        /// The machine-readable code of an error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum Code {
            $($(#[doc = $doc])+ $code,)+
        }

        impl Code {
            const ALL: &[Self] = &[$(Self::$code),+];

            /// The HTTP status of errors with this code.
            pub(super) const fn status(self) -> StatusCode {
                match self {
                    $(Self::$code => StatusCode::$status,)+
                }
            }
        }
    };
}

// The first code of a status stands for errors of the framework.
codes! {
    /// 400, and any other 4xx that has no code of its own.
    BadRequest = BAD_REQUEST,
    /// 401: no token, an invalid token, or another user's path.
    Unauthorized = UNAUTHORIZED,
    /// 404.
    NotFound = NOT_FOUND,
    /// 405.
    MethodNotAllowed = METHOD_NOT_ALLOWED,
    /// 422: `details` lists what is wrong.
    ValidationError = UNPROCESSABLE_ENTITY,
    /// 409: the chosen id belongs to another task.
    Conflict = CONFLICT,
    /// 409: the user has as many tasks as allowed.
    QuotaExceeded = CONFLICT,
    /// 410: the changes since this seq are no longer known; read the whole list.
    ResyncRequired = GONE,
    /// 412: `details` is the task as it is.
    PreconditionFailed = PRECONDITION_FAILED,
    /// 413.
    PayloadTooLarge = PAYLOAD_TOO_LARGE,
    /// 415.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE,
    /// 422: the idempotency key was used for another request.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY,
    /// 428: `X-Confirm-Delete` must confirm the deletion.
    PreconditionRequired = PRECONDITION_REQUIRED,
    /// 408: the body did not arrive in time.
    RequestTimeout = REQUEST_TIMEOUT,
    /// 429.
    RateLimited = TOO_MANY_REQUESTS,
    /// 503: too much work is waiting. Nothing was written.
    Overloaded = SERVICE_UNAVAILABLE,
    /// 503: something the service depends on is unavailable. Nothing was written.
    StoreUnavailable = SERVICE_UNAVAILABLE,
    /// 503: the write may or may not be carried out; a later read shows it.
    OutcomeUnknown = SERVICE_UNAVAILABLE,
    /// 500.
    InternalServerError = INTERNAL_SERVER_ERROR,
}

impl Code {
    /// The code of a status that the framework chose.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let other = if status.is_server_error() { Self::InternalServerError } else { Self::BadRequest };
        Self::ALL.iter().copied().find(|code| code.status() == status).unwrap_or(other)
    }
}
