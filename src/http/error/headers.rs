//! The headers of an error response.

use actix_web::http::header::{ACCEPT, ALLOW, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use super::api_error::ApiError;
use super::code::Code;
use crate::domain::Revision;
use crate::http::header_names::{JSON, LINEAGE, PROBLEM, SEQ};

/// The content type of errors: `application/problem+json` if the request's `Accept` names it.
pub(crate) fn error_type(headers: &HeaderMap) -> HeaderValue {
    let ranges =
        headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    let mut problems = ranges.filter(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/problem+json"));
        named && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    });
    if problems.next().is_some() { PROBLEM } else { JSON }
}

/// Says in which state of the user's tasks a response was made.
pub(crate) fn set_revision(headers: &mut HeaderMap, at: Revision) {
    headers.insert(SEQ, at.seq.get().into());
    let lineage = HeaderValue::from_bytes(at.lineage.as_bytes());
    headers.insert(LINEAGE, lineage.expect("a lineage is visible ASCII"));
}

impl ApiError {
    /// Sets the headers that say more about the error.
    pub(crate) fn set_headers(&self, headers: &mut HeaderMap) {
        if let Some(at) = self.at {
            set_revision(headers, at);
        }
        if self.code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        // Seconds until a retry makes sense.
        let pause = match self.code {
            Code::Overloaded | Code::OutcomeUnknown | Code::RateLimited => "1",
            Code::StoreUnavailable => "2",
            _ => return,
        };
        headers.insert(RETRY_AFTER, HeaderValue::from_static(pause));
    }
}
