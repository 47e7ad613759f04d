//! What an error says in headers.

use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use super::api_error::ApiError;
use super::code::Code;
use crate::domain::Seq;
use crate::http::header_names::{JSON, PROBLEM, SEQ};

/// Whether the request wants errors as `application/problem+json`: its `Accept` names that type.
pub(crate) fn wants_problem(headers: &HeaderMap) -> bool {
    headers.get_all("accept").filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(',')).any(
        |range| {
            let mut parts = range.split(';').map(str::trim);
            let named =
                parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/problem+json"));
            named && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        },
    )
}

/// What an error says in headers.
#[derive(Clone, Copy)]
pub(crate) struct ErrorHeaders {
    code: Code,
    seq: Option<Seq>,
    allow: Option<&'static str>,
}

impl ApiError {
    /// What it says in headers.
    pub(crate) const fn headers(&self) -> ErrorHeaders {
        ErrorHeaders { code: self.code, seq: self.seq, allow: self.allow }
    }
}

impl ErrorHeaders {
    /// Sets them, the content type included.
    pub(crate) fn set(self, problem: bool, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, if problem { PROBLEM } else { JSON });
        if let Some(seq) = self.seq {
            headers.insert(SEQ, seq.get().into());
        }
        if self.code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        // Seconds after which to try again.
        let pause = match self.code {
            Code::Overloaded | Code::OutcomeUnknown | Code::RateLimited => "1",
            Code::StoreUnavailable => "2",
            _ => return,
        };
        headers.insert(RETRY_AFTER, HeaderValue::from_static(pause));
    }
}
