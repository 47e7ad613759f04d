//! Who is asking: the one extractor of everything under `/api`, and the answers made for its caller.

use std::borrow::Cow;
use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, LOCATION};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, dev, web};
use futures_util::future::{Either, LocalBoxFuture};
use percent_encoding::percent_decode_str;

use super::api;
use super::error::{ApiError, FieldError};
use super::headers::{JSON, SEQ, Tag};
use crate::domain::{Command, Identity, Seq, TaskId, UserId};
use crate::error::Error;
use crate::lane::{Effect, Entry, Registry, Snapshot, Written, list_body};

/// Bytes of a token at the most.
const LONGEST_TOKEN: usize = 8 * 1024;

/// Tasks of one page at the most.
const LARGEST_PAGE: usize = 500;

/// A request's caller: its token is verified, and its path names the same user.
pub struct Caller {
    who: Arc<Identity>,
    request: HttpRequest,
}

type Verified = LocalBoxFuture<'static, Result<Caller, actix_web::Error>>;

impl FromRequest for Caller {
    type Error = actix_web::Error;
    type Future = Either<Ready<Result<Self, Self::Error>>, Verified>;

    /// Without a wait where the token was verified before.
    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let token = match bearer(request.headers()) {
            Ok(token) => token,
            Err(error) => return Either::Left(ready(Err(error.into()))),
        };
        if let Some(who) = api(request).verifier.cached(token) {
            return Either::Left(ready(Self::new(who, request).map_err(Into::into)));
        }
        let (token, request) = (token.to_owned(), request.clone());
        Either::Right(Box::pin(async move {
            let who = api(&request).verifier.verify(&token).await.map_err(ApiError::from)?;
            Ok(Self::new(who, &request)?)
        }))
    }
}

impl Caller {
    fn new(who: Arc<Identity>, request: &HttpRequest) -> Result<Self, ApiError> {
        match user_segment(request.uri().path()) {
            Some(named) if !names(named, who.subject()) => Err(crossing(&who, named)),
            _ => {
                // For the edge: the log line and the seq of answers that have none yet.
                request.extensions_mut().insert(Arc::clone(&who));
                Ok(Self { who, request: request.clone() })
            }
        }
    }

    /// Who it is.
    pub(super) fn who(&self) -> &Identity {
        &self.who
    }

    fn registry(&self) -> &Registry {
        &api(&self.request).registry
    }

    /// The caller's tasks as they are.
    pub(super) async fn snapshot(&self) -> Result<Arc<Snapshot>, Error> {
        self.registry().snapshot(&self.who).await
    }

    /// Carries out a write.
    pub(super) async fn submit(&self, command: Command) -> Result<Written, Error> {
        self.registry().submit(&self.who, command).await
    }

    /// The task the path names. One whose id is no UUID does not exist.
    pub(super) fn task_id(&self) -> Result<TaskId, ApiError> {
        let id = segment(self.request.uri().path(), 4).and_then(|id| TaskId::parse(&decoded(id)?));
        id.ok_or_else(|| ApiError::no_task(None))
    }

    /// How many tasks the query asks for; `None` for all of them.
    pub(super) fn limit(&self) -> Result<Option<usize>, ApiError> {
        limit(self.request.query_string())
    }

    /// A task's answer.
    pub(super) fn task(&self, entry: &Entry, seq: Seq) -> HttpResponse {
        let tag = Tag::strong(entry.task.version);
        if tag.is_named_in(self.request.headers()) {
            return unmodified(&tag, seq);
        }
        found(StatusCode::OK, &tag, seq, entry.json.clone())
    }

    /// A list's answer.
    pub(super) fn list(&self, snapshot: &Snapshot, limit: Option<usize>) -> HttpResponse {
        let (tag, seq) = (Tag::weak(snapshot.seq()), snapshot.seq());
        if tag.is_named_in(self.request.headers()) {
            return unmodified(&tag, seq);
        }
        let body = match limit {
            Some(limit) if limit < snapshot.len() => list_body(snapshot.newest_first().take(limit)),
            _ => snapshot.list(),
        };
        found(StatusCode::OK, &tag, seq, body)
    }

    /// A write's answer.
    pub(super) fn written(&self, written: &Written) -> HttpResponse {
        let (status, entry) = match &written.effect {
            Effect::Created(entry) => (StatusCode::CREATED, entry),
            Effect::Exists(entry) | Effect::Updated(entry) => (StatusCode::OK, entry),
            Effect::Deleted => {
                let mut response = HttpResponse::new(StatusCode::NO_CONTENT);
                response.headers_mut().insert(SEQ, written.seq.get().into());
                return response;
            }
        };
        let mut response = found(status, &Tag::strong(entry.task.version), written.seq, entry.json.clone());
        if matches!(written.effect, Effect::Created(_)) {
            // In the form the client gave the path: its own user id, or `me`.
            let place = format!("{}/{}", self.request.uri().path().trim_end_matches('/'), entry.task.id);
            // A path that was parsed as a URI's is visible ASCII.
            response.headers_mut().insert(LOCATION, place.try_into().expect("a URI's path fits a header"));
        }
        response
    }
}

/// Refuses a request under `/api` that has no valid token: whatever else is wrong with it, that comes
/// first.
pub(super) async fn check_access(request: &HttpRequest) -> Result<(), actix_web::Error> {
    let path = request.path();
    if path == "/api" || path.starts_with("/api/") {
        Caller::extract(request).await?;
    }
    Ok(())
}

/// An answer with a body and its tag.
fn found(status: StatusCode, tag: &Tag, seq: Seq, body: web::Bytes) -> HttpResponse {
    let mut response = HttpResponse::with_body(status, actix_web::body::BoxBody::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(ETAG, tag.value());
    headers.insert(SEQ, HeaderValue::from(seq.get()));
    response
}

/// The answer to a client whose copy is still good.
fn unmodified(tag: &Tag, seq: Seq) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::NOT_MODIFIED);
    response.headers_mut().insert(ETAG, tag.value());
    response.headers_mut().insert(SEQ, HeaderValue::from(seq.get()));
    response
}

/// The token of the one `Authorization: Bearer` header (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let missing = |cause| ApiError::unauthorized("Missing authentication token", cause);
    let invalid = |cause| ApiError::unauthorized("Invalid token", cause);
    let mut all = headers.get_all(AUTHORIZATION);
    let value = all.next().ok_or_else(|| missing("no Authorization header"))?;
    if all.next().is_some() {
        return Err(invalid("more than one Authorization header"));
    }
    let value = value.to_str().map_err(|_| invalid("the Authorization header is not ASCII"))?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing("another authorization scheme"));
    }
    match token.trim_ascii() {
        "" => Err(missing("an empty token")),
        token if token.len() > LONGEST_TOKEN => Err(invalid("it is longer than 8 KB")),
        token => Ok(token),
    }
}

/// The part of a path after so many slashes; the first part is the empty one before the first slash.
fn segment(path: &str, place: usize) -> Option<&str> {
    path.split('/').nth(place)
}

/// Whom a path under `/api` names, still encoded.
fn user_segment(path: &str) -> Option<&str> {
    segment(path, 2).filter(|named| !named.is_empty())
}

/// Percent-decoded, unless that gives no UTF-8.
fn decoded(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok()
}

/// Whether a path's user is the one with this subject.
fn names(segment: &str, subject: &str) -> bool {
    decoded(segment).is_some_and(|named| named == "me" || named == subject)
}

/// A refusal of a caller who names another user. The log gets both keys, never the names themselves.
fn crossing(who: &Identity, segment: &str) -> ApiError {
    let named = decoded(segment).map(|named| UserId::of_subject(&named).to_string());
    let named = named.as_deref().unwrap_or("nobody");
    ApiError::unauthorized("Unauthorized access", format!("user {} asked as user {named}", who.user()))
}

/// The `limit` of a query string.
fn limit(query: &str) -> Result<Option<usize>, ApiError> {
    let mut limit = None;
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name == "limit" {
            let digits = Some(value).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
            let number = digits.and_then(|digits| digits.parse().ok());
            let number = number.filter(|number| (1..=LARGEST_PAGE).contains(number) && limit.is_none());
            limit = Some(number.ok_or_else(|| {
                ApiError::invalid(vec![FieldError::new("limit", "must be given once, from 1 to 500")])
            })?);
        }
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn refusal(values: &[&[u8]]) -> String {
        bearer(&headers(values)).unwrap_err().message.into_owned()
    }

    #[test]
    fn the_scheme_is_taken_in_any_case_and_the_token_as_it_is() {
        for value in ["Bearer a.B.c", "bearer a.B.c", "BEARER   a.B.c "] {
            assert_eq!(bearer(&headers(&[value.as_bytes()])).unwrap(), "a.B.c");
        }
    }

    #[test]
    fn a_missing_token_and_a_malformed_one_are_told_apart() {
        for value in ["Bearer", "Bearer ", "Basic abc", "abc", ""] {
            assert_eq!(refusal(&[value.as_bytes()]), "Missing authentication token", "{value}");
        }
        assert_eq!(refusal(&[]), "Missing authentication token");
        assert_eq!(refusal(&[b"Bearer a", b"Bearer a"]), "Invalid token");
        assert_eq!(refusal(&["Bearer ü".as_bytes()]), "Invalid token");
        assert_eq!(refusal(&[format!("Bearer {}", "a".repeat(8193)).as_bytes()]), "Invalid token");
        assert!(bearer(&headers(&[format!("Bearer {}", "a".repeat(8192)).as_bytes()])).is_ok());
    }

    #[test]
    fn a_paths_user_is_decoded_once_and_compared_exactly() {
        for (segment, subject) in [
            ("alice", "alice"),
            ("me", "alice"),
            ("%61lice", "alice"),
            ("auth0%7C12", "auth0|12"),
            ("a%2Fb", "a/b"),
            ("50%25", "50%"),
            ("a+b", "a+b"),
            ("%C3%A9", "é"),
        ] {
            assert!(names(segment, subject), "{segment} {subject}");
        }
        for (segment, subject) in [
            ("Alice", "alice"),
            ("alice%20", "alice"),
            ("50%2525", "50%"),
            ("a+b", "a b"),
            ("%FF", "\u{fffd}"),
        ] {
            assert!(!names(segment, subject), "{segment} {subject}");
        }
    }

    #[test]
    fn the_user_is_the_paths_second_part() {
        assert_eq!(user_segment("/api/alice/tasks"), Some("alice"));
        assert_eq!(user_segment("/api/alice"), Some("alice"));
        assert_eq!(user_segment("/api/"), None);
        assert_eq!(user_segment("/api"), None);
    }

    #[test]
    fn a_limit_is_one_number_from_1_to_500() {
        assert_eq!(limit("").unwrap(), None);
        assert_eq!(limit("sort=x&limits=0").unwrap(), None);
        assert_eq!(limit("a=b&limit=500").unwrap(), Some(500));
        for query in [
            "limit=0",
            "limit=501",
            "limit=",
            "limit",
            "limit=+5",
            "limit=-1",
            "limit=1&limit=2",
            "limit=1e2",
        ] {
            assert!(limit(query).is_err(), "{query}");
        }
    }
}
