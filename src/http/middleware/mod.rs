//! What runs before and after every handler.
//!
//! - [`request_log`]: the outermost; ids, bodies of errors, metrics and log;
//!   [`request_id`], [`common_headers`], [`log_line`] and [`untagged`] are its parts
//! - [`cors`]: requests from other origins
//! - [`implied_user`]: completes paths without a user
//! - [`fast_path`]: answers the most frequent reads before routing
//! - [`chunked_body`]: keeps a chunked body until its response is sent
//! - [`trace_context`]: reads `traceparent`

pub(crate) mod chunked_body;
pub(crate) mod common_headers;
pub(crate) mod cors;
pub(crate) mod fast_path;
pub(crate) mod implied_user;
pub(crate) mod log_line;
pub(crate) mod request_id;
pub(crate) mod request_log;
pub(crate) mod trace_context;
mod untagged;
