//! Why the bytes of a client are no request that can be answered by a route.

use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;

use crate::http::error::{ApiError, Code};

/// Why bytes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusedBytes {
    /// They are no request; the text is the rule that they break.
    Malformed(&'static str),
    /// The target is longer than any that could be meant.
    TargetTooLong,
    /// The head is longer than may be held, or has too many lines.
    HeadTooLarge,
    /// The head did not arrive in time.
    Late,
    /// A proxy is asked for, which this is not.
    Connect,
}

impl RefusedBytes {
    /// Makes a refusal of the response to the request that stands for the bytes, and returns its error.
    pub(crate) fn replace<B>(self, response: &mut ServiceResponse<B>) -> ApiError {
        let error = match self {
            Self::Malformed(rule) => {
                ApiError::new(Code::BadRequest, format!("The request is malformed: {rule}"))
            }
            Self::TargetTooLong => ApiError::new(Code::BadRequest, "The request's target is too long"),
            Self::HeadTooLarge => ApiError::new(Code::BadRequest, "The request's head is too large"),
            Self::Late => ApiError::new(Code::RequestTimeout, "The request did not arrive in time"),
            Self::Connect => {
                ApiError { allow: Some(""), ..ApiError::new(Code::MethodNotAllowed, "Method Not Allowed") }
            }
        };
        let status = match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
        };
        *response.response_mut().status_mut() = status;
        error.set_headers(response.headers_mut());
        error
    }
}
