//! The page of development: a small to-do app, whole in the binary, and a token for it.
//!
//! The token lets whoever has it read and write the demo user's tasks, so it is given on this very machine
//! alone: to a peer on loopback that asks this server by a loopback name, and from its own page. A page from
//! elsewhere, in the same browser, is told apart by `Origin` and `Sec-Fetch-Site`; one whose name was
//! made to point here (DNS rebinding) by `Host`.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CONTENT_SECURITY_POLICY, FORWARDED, HOST, HeaderMap, HeaderName, ORIGIN, REFERRER_POLICY, VIA,
};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use url::{Host, Url};

use super::pages::{file, not_found};
use crate::http::api::Api;
use crate::http::error::ApiError;

/// What the page may load and run: files of this server, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a proxy adds. Behind one, everybody comes from loopback.
const OF_PROXIES: [HeaderName; 5] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
];

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The page's file of that name and its type. `client.js` and `store.js` are `clients/typescript`, compiled.
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
    let mut response = file("text/html; charset=utf-8", Bytes::from_static(page));
    let policies = [(CONTENT_SECURITY_POLICY, POLICY), (REFERRER_POLICY, "no-referrer")];
    for (name, value) in policies {
        response.headers_mut().insert(name, value.parse().expect("a policy is visible ASCII"));
    }
    response
}

/// The page's files.
pub(crate) async fn get_demo_file(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let (kind, bytes) = content(&name).ok_or_else(not_found)?;
    Ok(file(kind, Bytes::from_static(bytes)))
}

/// A token for the page.
pub(crate) async fn create_demo_token(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let near = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let signer = Api::of(&request).demo.as_ref().filter(|_| near && is_own_page(request.headers()));
    let signer = signer.ok_or_else(not_found)?;
    Ok(HttpResponse::build(StatusCode::CREATED).json(json!({"token": signer.issue_demo()})))
}

/// Whether a request on loopback is made by nobody but the page itself, or by a program of this machine.
fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let Some(host) = text(HOST).filter(|_| headers.get_all(HOST).count() == 1) else { return false };
    is_loopback(host)
        && OF_PROXIES.iter().all(|name| !headers.contains_key(name))
        && text(ORIGIN).is_none_or(|origin| origin.strip_prefix("http://") == Some(host))
        && text(FETCH_SITE).is_none_or(|site| site == "same-origin")
}

/// Whether a `Host` header names this machine, whatever the port.
fn is_loopback(host: &str) -> bool {
    let url = Url::parse(&format!("http://{host}"));
    url.is_ok_and(|url| match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn asked(headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        is_own_page(&map)
    }

    #[test]
    fn a_page_of_another_origin_is_told_apart() {
        let host = ("host", "localhost:8000");
        assert!(asked(&[host]));
        assert!(asked(&[host, ("origin", "http://localhost:8000"), ("sec-fetch-site", "same-origin")]));
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
            assert!(!asked(&[host, other]), "{other:?}");
        }
    }

    #[test]
    fn only_names_of_this_machine_count() {
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "127.8.0.1", "[::1]:8000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "example.org", "localhost.example.org", "192.0.2.1", "0.0.0.0", "[::]", "a@b:c"] {
            assert!(!is_loopback(host), "{host}");
        }
        assert!(!asked(&[("host", "rebound.example.org:8000")]) && !asked(&[]));
    }
}
