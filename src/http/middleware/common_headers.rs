//! Headers that no handler sets: those of every response, and how long a write took.

use std::time::Duration;

use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, STRICT_TRANSPORT_SECURITY,
    VARY, X_CONTENT_TYPE_OPTIONS,
};

use crate::http::header_names::{REQUEST_ID, SERVER_TIMING, TIMING_ALLOW_ORIGIN};
use crate::lane::Timing;

/// Adds the headers of every response; `https`: whether this process itself serves https.
pub(crate) fn add_common_headers(headers: &mut HeaderMap, id: &HeaderValue, https: bool) {
    if https {
        // A year, as browsers recommend: none of them will try http again.
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let tagged = headers.contains_key(ETAG);
    if !headers.contains_key(CACHE_CONTROL) {
        // With a tag a browser may keep a copy, which it must revalidate each time.
        let keep = if tagged { "private, no-cache" } else { "no-store" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    }
    // What may be kept is the token's user's.
    if headers.contains_key(VARY) {
        if tagged {
            headers.append(VARY, HeaderValue::from_static("Authorization"));
        }
    } else {
        let vary = if tagged { "Authorization, Origin" } else { "Origin" };
        headers.insert(VARY, HeaderValue::from_static(vary));
    }
}

/// Adds how long each part of a write took, in milliseconds (W3C Server Timing). A page of another origin
/// that may read the response may read the timing, too, in its Performance API.
pub(crate) fn add_server_timing(headers: &mut HeaderMap, timing: &Timing) {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let queue = milliseconds(timing.queue);
    let text = match timing.commit.map(milliseconds) {
        Some(commit) => format!("queue;dur={queue:.3}, commit;dur={commit:.3}"),
        None => format!("queue;dur={queue:.3}"),
    };
    headers.insert(SERVER_TIMING, text.try_into().expect("names and numbers are visible ASCII"));
    if let Some(origin) = headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).cloned() {
        headers.insert(TIMING_ALLOW_ORIGIN, origin);
    }
}
