//! Paths under `/api` without a user: `/api/tasks` is `/api/me/tasks`.
//!
//! They are completed before routing, so that a route has one pattern, one label and one document.

use actix_web::dev::ServiceRequest;
use actix_web::http::Uri;
use actix_web::http::uri::PathAndQuery;

use crate::http::request::path::{decoded, user_segment};

/// Puts `me` into a request's path if the name of a route stands where the user would. So a subject with such a name
/// is reached by `me` alone.
pub(crate) fn complete(request: &mut ServiceRequest, routes: &[&str]) {
    let Some(completed) = completed(request.uri(), routes) else { return };
    // As `actix_web::middleware::NormalizePath` does it.
    request.match_info_mut().get_mut().update(&completed);
    request.head_mut().uri = completed;
}

/// The URI with `me`, if it needs it.
fn completed(uri: &Uri, routes: &[&str]) -> Option<Uri> {
    let path = uri.path();
    let rest = path.strip_prefix("/api/")?;
    let named = user_segment(path)?;
    let is = |named: &str| routes.contains(&named);
    let is_route =
        if named.contains('%') { decoded(named).is_some_and(|named| is(&named)) } else { is(named) };
    if !is_route {
        return None;
    }
    let target = match uri.query() {
        Some(query) => format!("/api/me/{rest}?{query}"),
        None => format!("/api/me/{rest}"),
    };
    let mut parts = uri.clone().into_parts();
    // It fails only if the longer target is too long for a URI: then no route matches.
    parts.path_and_query = Some(PathAndQuery::from_maybe_shared(target).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes::UNDER_USER;

    #[test]
    fn the_name_of_a_route_is_not_a_user() {
        let completed = |path: &str| {
            completed(&path.parse().unwrap(), &UNDER_USER)
                .map_or_else(|| path.to_owned(), |uri| uri.to_string())
        };
        for name in UNDER_USER.iter() {
            assert_eq!(completed(&format!("/api/{name}")), format!("/api/me/{name}"));
            assert_eq!(completed(&format!("/api/{name}/?a=b%20c")), format!("/api/me/{name}/?a=b%20c"));
            assert_eq!(completed(&format!("/api/{name}/tasks/x")), format!("/api/me/{name}/tasks/x"));
            assert_eq!(completed(&format!("/api/{name}s")), format!("/api/{name}s"));
        }
        assert_eq!(UNDER_USER.len(), 8, "they stand in the balancers' examples, too: {:?}", *UNDER_USER);
        for example in
            [include_str!("../../../deploy/nginx.conf"), include_str!("../../../deploy/haproxy.cfg")]
        {
            let line = example
                .lines()
                .find(|line| line.contains("me") && line.contains("tasks") && line.contains("batch"));
            assert!(UNDER_USER.iter().all(|name| line.unwrap().contains(name)), "{line:?}");
        }
        assert_eq!(completed("/api/%74asks/x"), "/api/me/%74asks/x");
        assert_eq!(completed("http://host/api/tasks"), "http://host/api/me/tasks");
        for path in ["/", "/api", "/api/", "/api//tasks", "/api/me", "/api/ann/tasks", "/tasks", "/api/TASKS"]
        {
            assert_eq!(completed(path), path);
        }
    }
}
