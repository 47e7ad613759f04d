//! The caller of a request: the extractor of all operations under `/api`, and what a caller can do.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::{FromRequest, HttpMessage, HttpRequest, dev};
use futures_util::future::{Either, LocalBoxFuture};

use super::body::ReadBody;
use super::conditional::{ReadCondition, conditions_on_list, conditions_on_task, min_seq, read_condition};
use super::idempotency_key::key_of;
use super::path::{decoded, names, task_of, user_segment};
use super::query::Parameters;
use crate::auth::Session;
use crate::domain::{Command, Identity, Operation, TaskId, UserId};
use crate::error::Error;
use crate::http::api::Api;
use crate::http::error::ApiError;
use crate::http::event_tickets::now;
use crate::http::route::Route;
use crate::lane::{MANY_TASKS, Registry, Snapshot, Subscription, Work, Write, WriteReply};
use crate::work::WorkPermit;

/// Bytes of a token, at most.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A request's caller: its token is verified, and its path names the same user.
pub struct Caller {
    session: Session,
    request: HttpRequest,
}

/// The user of a valid token who is refused before the path names a user: it names another one, or none. The
/// middleware `request_log` needs it for the log.
pub(crate) struct Trespasser(pub(crate) UserId);

type Verified = LocalBoxFuture<'static, Result<Caller, actix_web::Error>>;

impl FromRequest for Caller {
    type Error = actix_web::Error;
    type Future = Either<Ready<Result<Self, Self::Error>>, Verified>;

    /// Ready at once if the token's verification is cached.
    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let at_once = |caller: Result<Self, ApiError>| Either::Left(ready(caller.map_err(Into::into)));
        let token = match bearer(request.headers()) {
            Ok(token) => token,
            Err(error) => return at_once(by_ticket(request).unwrap_or(Err(error))),
        };
        if let Some(session) = Api::of(request).verifier.cached(token) {
            return at_once(Self::new(session, request));
        }
        let Some(token) = str::from_utf8(token).ok().filter(|token| token.is_ascii()) else {
            return at_once(Err(ApiError::unauthorized("Invalid token", "it is not ASCII")));
        };
        let (token, request) = (token.to_owned(), request.clone());
        Either::Right(Box::pin(async move {
            let api = Api::of(&request);
            let session = api.verifier.verify(&token).await;
            Ok(Self::new(session.map_err(ApiError::from)?, &request)?)
        }))
    }
}

impl Caller {
    /// The caller with this session.
    ///
    /// # Errors
    /// 401 if the path names another user, 429 if the user has made too many requests.
    pub(crate) fn new(session: Session, request: &HttpRequest) -> Result<Self, ApiError> {
        let who = session.identity();
        match user_segment(request.uri().path()) {
            Some(named) if !names(named, who.subject()) => {
                request.extensions_mut().insert(Trespasser(who.user()));
                Err(other_user(who, named))
            }
            _ => {
                // The middleware `request_log` needs it for the log, and for the seq of responses without
                // one.
                request.extensions_mut().insert(Arc::clone(who));
                Api::of(request).limits.admit(who.user(), request)?;
                Ok(Self { session, request: request.clone() })
            }
        }
    }

    /// The user's identity.
    pub(crate) fn who(&self) -> &Identity {
        self.session.identity()
    }

    /// The session of the token.
    pub(crate) const fn session(&self) -> &Session {
        &self.session
    }

    /// The request.
    pub(crate) const fn request(&self) -> &HttpRequest {
        &self.request
    }

    pub(crate) fn registry(&self) -> &Registry {
        &Api::of(&self.request).registry
    }

    /// The caller's tasks, at the seq of `X-Tasklane-Min-Seq` or later.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, ApiError> {
        let least = min_seq(self.request.headers())?;
        let snapshot = self.registry().snapshot_from(self.who(), least.seq).await?;
        if least.is_of(snapshot.lineage()) {
            Ok(snapshot)
        } else {
            Err(ApiError::other_lineage(snapshot.revision()))
        }
    }

    /// Carries out one operation, if the request's conditions hold; `body` is the request's.
    pub(crate) async fn change(&self, command: Command, body: ReadBody) -> Result<WriteReply, ApiError> {
        let headers = self.request.headers();
        let conditions = match command {
            Command::CreateTask(_) | Command::ImportTask(_) => conditions_on_list(headers),
            _ => conditions_on_task(headers),
        };
        let work = Work::Operations(vec![Operation { command, conditions }]);
        Ok(self.carry_out(work, body, ApiError::from).await?.0)
    }

    /// Checks the conditions of a write to what has no tag: it exists, and `*` is all that names it.
    ///
    /// # Errors
    /// 412.
    pub(crate) fn check_untagged(&self) -> Result<(), ApiError> {
        match read_condition(self.request.headers(), None) {
            ReadCondition::Holds => Ok(()),
            ReadCondition::Failed | ReadCondition::Unmodified => Err(ApiError::condition_failed(None)),
        }
    }

    /// Carries out a write to what has no tag; as [`Caller::carry_out`].
    pub(crate) async fn submit(
        &self,
        work: Work,
        body: ReadBody,
        to_api: fn(Error) -> ApiError,
    ) -> Result<(WriteReply, Option<Arc<WorkPermit>>), ApiError> {
        if let Err(failed) = self.check_untagged() {
            // A wrong key is wrong whatever the conditions (RFC 9110, section 13.2.1).
            key_of(&self.request, &body.bytes)?;
            return Err(failed);
        }
        self.carry_out(work, body, to_api).await
    }

    /// Carries out a write, once for each idempotency key; `body` is the request's, and `to_api` makes the
    /// response of an error. What the write takes of the budget is also taken for its response.
    async fn carry_out(
        &self,
        work: Work,
        body: ReadBody,
        to_api: fn(Error) -> ApiError,
    ) -> Result<(WriteReply, Option<Arc<WorkPermit>>), ApiError> {
        let key = key_of(&self.request, &body.bytes)?;
        let ReadBody { bytes, mut permit } = body;
        if let Work::Operations(operations) = &work
            && (2..=MANY_TASKS).contains(&operations.len())
            && let Some(snapshot) = self.registry().cached(self.who())
        {
            let cost = work.cost(&snapshot).bytes + bytes.len();
            let permit = match &mut permit {
                Some(permit) => permit,
                none => none.insert(self.registry().budget().take(self.who().user(), 0)?),
            };
            permit.grow_to(cost)?;
        }
        drop(bytes);
        let permit = permit.map(Arc::new);
        let write = Write { work, key, permit: permit.clone() };
        let (reply, timing) = self.registry().submit_timed(self.who(), write).await;
        // The middleware `request_log` adds it to the response, whether or not the write succeeded.
        self.request.extensions_mut().insert(timing);
        Ok((reply.map_err(to_api)?, permit))
    }

    /// Makes the change feed of a snapshot; if that takes long, where no other request waits for it.
    pub(crate) async fn make_feed(&self, snapshot: &Arc<Snapshot>) -> Result<(), Error> {
        if snapshot.len() <= MANY_TASKS || snapshot.has_feed() {
            return Ok(());
        }
        let snapshot = Arc::clone(snapshot);
        self.registry().work().run(self.who().user(), move || snapshot.make_feed()).await
    }

    /// Follows the caller's changes from now on.
    pub(crate) async fn follow(&self) -> Result<Subscription, Error> {
        self.registry().follow(self.who()).await
    }

    /// The id of the task in the path; 404 if it is not a UUID.
    pub(crate) fn task_id(&self) -> Result<TaskId, ApiError> {
        task_of(&self.request).ok_or_else(|| ApiError::no_task(None))
    }
}

/// The caller of an event stream with a ticket in place of a token; `None` if there is no ticket.
fn by_ticket(request: &HttpRequest) -> Option<Result<Caller, ApiError>> {
    let opens_stream = Route::of(request).is_stream && request.method() == Method::GET;
    if !opens_stream || request.headers().contains_key(AUTHORIZATION) {
        return None;
    }
    let ticket = Parameters::new(request.query_string()).one("ticket")?;
    let caller = Api::of(request).tickets.take(&ticket, now()).map_err(Into::into).and_then(|session| {
        let refused = || ApiError::unauthorized("Invalid token", "its ticket is unknown, used or too old");
        Caller::new(session.ok_or_else(refused)?, request)
    });
    Some(caller)
}

/// Counts a request that no handler takes, and that needs no token, against its user, if its token is known to be
/// valid. Otherwise it is counted against its address.
///
/// # Errors
/// 429 if the user has made too many requests.
pub(crate) fn count_unhandled(request: &HttpRequest) -> Result<(), ApiError> {
    let api = Api::of(request);
    let Some(session) = bearer(request.headers()).ok().and_then(|token| api.verifier.cached(token)) else {
        return Ok(());
    };
    let (who, path) = (session.identity(), request.uri().path());
    if path.starts_with("/api/") && user_segment(path).is_some_and(|named| names(named, who.subject())) {
        request.extensions_mut().insert(Arc::clone(who));
    } else {
        request.extensions_mut().insert(Trespasser(who.user()));
    }
    api.limits.admit(who.user(), request)
}

/// The token of the only `Authorization` header, which must be `Bearer` (RFC 6750, section 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&[u8], ApiError> {
    let missing = |cause| ApiError::unauthorized("Missing authentication token", cause);
    let invalid = |cause| ApiError::unauthorized("Invalid token", cause);
    let mut all = headers.get_all(AUTHORIZATION);
    let value = all.next().ok_or_else(|| missing("no Authorization header"))?;
    if all.next().is_some() {
        return Err(invalid("more than one Authorization header"));
    }
    let value = value.as_bytes();
    let (scheme, token) = value.split_at(value.iter().position(|byte| *byte == b' ').unwrap_or(value.len()));
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(missing("another authorization scheme"));
    }
    match token.trim_ascii() {
        b"" => Err(missing("an empty token")),
        token if token.len() > MAX_TOKEN_BYTES => Err(invalid("it is longer than 8 KB")),
        token => Ok(token),
    }
}

/// 401 for a path with another user. The log gets the keys of both users, never the names.
fn other_user(who: &Identity, segment: &str) -> ApiError {
    let named = decoded(segment).map(|named| UserId::of_subject(&named).to_string());
    let named = named.as_deref().unwrap_or("nobody");
    ApiError::unauthorized("Unauthorized access", format!("user {} asked as user {named}", who.user()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

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
    fn the_scheme_is_accepted_in_any_case_and_the_token_is_unchanged() {
        for value in ["Bearer a.B.c", "bearer a.B.c", "BEARER   a.B.c "] {
            assert_eq!(bearer(&headers(&[value.as_bytes()])).unwrap(), b"a.B.c");
        }
    }

    #[test]
    fn a_missing_token_and_a_malformed_one_have_different_messages() {
        for value in ["Bearer", "Bearer ", "Basic abc", "abc", ""] {
            assert_eq!(refusal(&[value.as_bytes()]), "Missing authentication token", "{value}");
        }
        assert_eq!(refusal(&[]), "Missing authentication token");
        assert_eq!(refusal(&[b"Bearer a", b"Bearer a"]), "Invalid token");
        assert_eq!(refusal(&[format!("Bearer {}", "a".repeat(8193)).as_bytes()]), "Invalid token");
        assert!(bearer(&headers(&[format!("Bearer {}", "a".repeat(8192)).as_bytes()])).is_ok());
    }
}
