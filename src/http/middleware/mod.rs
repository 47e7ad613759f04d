//! What every request passes before and after its handler.
//!
//! - [`request_log`]: the outermost: an id for each request, the contract's form for each error, metrics and log;
//!   [`request_id`], [`common_headers`] and [`log_line`] are its parts
//! - [`cors`]: other origins
//! - [`fast_path`]: the usual reads, answered before routing
//! - [`chunked_body`]: answers wait for a chunked body's end
//! - [`send_timeout`]: cuts connections whose client does not read
//! - [`trace_context`] reads `traceparent`

pub(crate) mod chunked_body;
pub(crate) mod common_headers;
pub(crate) mod cors;
pub(crate) mod fast_path;
pub(crate) mod log_line;
pub(crate) mod request_id;
pub(crate) mod request_log;
pub(crate) mod send_timeout;
pub(crate) mod trace_context;
