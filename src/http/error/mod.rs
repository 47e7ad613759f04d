//! Errors as clients see them: one form, one place.
//!
//! A handler returns an [`ApiError`]; the middleware `request_log` makes the contract's answer of it, and of
//! any error of the framework's own.
//!
//! - [`api_error`]: the error, and what each error of the inside becomes
//! - [`code`], [`details`]: what it is made of
//! - [`body`], [`headers`]: the answer's; [`refusals`]: the kinds of answers that operations document

mod api_error;
mod body;
mod code;
mod details;
mod headers;
pub(crate) mod refusals;

pub(crate) use api_error::ApiError;
pub(crate) use body::ErrorBody;
pub(crate) use code::Code;
pub(crate) use details::{Details, FieldError};
pub(crate) use headers::wants_problem;
