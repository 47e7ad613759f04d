//! The demo page of a development server: a small to-do app, embedded in the binary, and a token for it.
//!
//! The token gives access to the demo user's tasks, so it is issued on this machine only: to a peer on
//! loopback that names this server by a loopback name. A page of another origin in the same browser is
//! recognised by `Origin` and `Sec-Fetch-Site`, and a foreign name that resolves to this machine (DNS
//! rebinding) by `Host`. A proxy that adds no header is recognised by nothing: so the page also shows the key in
//! the address that the server prints.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY, VIA,
};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde_json::json;
use url::Url;

use super::pages::{file, not_found, page_with_policy};
use crate::auth::Signer;
use crate::config::is_on_loopback;
use crate::http::api::Api;
use crate::http::error::ApiError;

/// The page may load and run files of this server only, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers that a proxy adds. Behind a proxy every peer seems to be on loopback.
const PROXY_HEADERS: [HeaderName; 5] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
];

const PAGE_KEY: HeaderName = HeaderName::from_static("x-page-key");

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The media type and the content of a file of the page. `client.js` and `store.js` are
/// `clients/typescript`, compiled.
fn content(name: &str) -> Option<(&'static str, &'static [u8])> {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    macro_rules! part {
        ($name:literal) => {
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/demo/", $name))
        };
    }
    Some(match name {
        "app.css" => ("text/css; charset=utf-8", part!("app.css")),
        "app.js" => (SCRIPT, part!("app.js")),
        "row.js" => (SCRIPT, part!("row.js")),
        "session.js" => (SCRIPT, part!("session.js")),
        "client.js" => (SCRIPT, part!("client.js")),
        "store.js" => (SCRIPT, part!("store.js")),
        "icon.svg" => ("image/svg+xml", part!("icon.svg")),
        _ => return None,
    })
}

/// The page.
pub(crate) async fn get_demo() -> HttpResponse {
    let page = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/demo/index.html"));
    let mut response = page_with_policy(Bytes::from_static(page), POLICY);
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// The page's files.
pub(crate) async fn get_demo_file(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let (kind, bytes) = content(&name).ok_or_else(not_found)?;
    Ok(file(kind, Bytes::from_static(bytes)))
}

/// Issues a token for the page.
pub(crate) async fn create_demo_token(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let is_local = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let is_own = is_local && is_own_page(request.headers()) && has_key(request.headers());
    let signer = Api::of(&request).demo.as_ref().filter(|_| is_own);
    let signer = signer.ok_or_else(not_found)?;
    Ok(HttpResponse::build(StatusCode::CREATED).json(json!({"token": signer.issue_demo()})))
}

/// Whether a request shows the key in the address that the server prints.
fn has_key(headers: &HeaderMap) -> bool {
    let shown = headers.get(PAGE_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    verify_slices_are_equal(shown, Signer::page_key().as_bytes()).is_ok()
}

/// Whether a request from loopback was made by the page itself, or by a program other than a browser.
fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let Some(host) = text(HOST).filter(|_| headers.get_all(HOST).count() == 1) else { return false };
    is_loopback(host)
        && PROXY_HEADERS.iter().all(|name| !headers.contains_key(name))
        && text(ORIGIN).is_none_or(|origin| origin.strip_prefix("http://") == Some(host))
        && text(FETCH_SITE).is_none_or(|site| site == "same-origin")
}

/// Whether a `Host` header names this machine, whatever the port.
fn is_loopback(host: &str) -> bool {
    Url::parse(&format!("http://{host}")).is_ok_and(|url| is_on_loopback(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_own(headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        is_own_page(&map)
    }

    #[test]
    fn a_page_of_another_origin_is_recognised() {
        let host = ("host", "localhost:8000");
        assert!(is_own(&[host]));
        assert!(is_own(&[host, ("origin", "http://localhost:8000"), ("sec-fetch-site", "same-origin")]));
        for other in [
            ("origin", "http://localhost:3000"),
            ("origin", "https://localhost:8000"),
            ("origin", "null"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "none"),
            ("x-forwarded-for", "192.0.2.1"),
            ("via", "1.1 proxy"),
            ("host", "localhost:8000"),
        ] {
            assert!(!is_own(&[host, other]), "{other:?}");
        }
    }

    #[test]
    fn only_names_of_this_machine_are_accepted() {
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "127.8.0.1", "[::1]:8000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "example.org", "localhost.example.org", "192.0.2.1", "0.0.0.0", "[::]", "a@b:c"] {
            assert!(!is_loopback(host), "{host}");
        }
        assert!(!is_own(&[("host", "rebound.example.org:8000")]) && !is_own(&[]));
    }
}
