//! What every request passes before and after its handler.
//!
//! - [`request_log`]: the outermost: request id, error form, metrics, log
//! - [`cors`]: other origins
//! - [`fast_path`]: the usual reads, answered before routing
//! - [`rate_limit`]: how often one user, or one address, may ask
//! - [`chunked_body`]: answers wait for a chunked body's end
//! - [`send_timeout`]: cuts connections whose client does not read
//! - [`trace_context`] reads `traceparent`

pub(crate) mod chunked_body;
pub(crate) mod cors;
pub(crate) mod fast_path;
pub(crate) mod rate_limit;
pub(crate) mod request_log;
pub(crate) mod send_timeout;
pub(crate) mod trace_context;
