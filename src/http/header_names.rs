//! Header names that the HTTP library does not define, what a name may be, and content types.

use actix_web::http::header::{HeaderName, HeaderValue};

pub(crate) const SEQ: HeaderName = HeaderName::from_static("x-tasklane-seq");
pub(crate) const LINEAGE: HeaderName = HeaderName::from_static("x-tasklane-lineage");
pub(crate) const MIN_SEQ: HeaderName = HeaderName::from_static("x-tasklane-min-seq");
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
pub(crate) const CONFIRM: HeaderName = HeaderName::from_static("x-confirm-delete");
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
pub(crate) const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Whether it is a token, as names of headers and methods are (RFC 9110, section 5.6.2).
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_!#$%&'*+.^`|~".contains(byte))
}
