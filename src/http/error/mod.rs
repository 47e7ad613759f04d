//! Errors as clients see them.
//!
//! A handler returns an [`ApiError`]; the middleware `request_log` makes the response of it, and of any
//! error of the framework.
//!
//! - [`api_error`]: the error, and which error of the lanes or of authentication becomes which
//! - [`code`], [`details`]: its parts
//! - [`body`], [`headers`]: of the error response; [`refusals`]: the error responses that operations document

mod api_error;
mod body;
mod code;
mod details;
mod headers;
pub(crate) mod refusals;

pub(crate) use api_error::ApiError;
pub(crate) use body::ErrorBody;
pub(crate) use code::Code;
pub(crate) use details::{Details, FieldError, TaskJson};
pub(crate) use headers::{error_type, set_revision};
