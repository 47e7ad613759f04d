//! Request bodies: their media type, their size, and how long they may take to arrive.

use std::rc::Rc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use std::future::{Ready, ready};
use tokio::time::{Instant, timeout_at};

use super::form::Form;
use super::task_body::parse;
use crate::domain::Identity;
use crate::error::Error;
use crate::http::api::Api;
use crate::http::connection::stream::Activity;
use crate::http::error::{ApiError, Code, FieldError};
use crate::work::{WorkPermit, WorkPool};

/// The limits of a large body.
#[derive(Clone, Copy)]
pub(crate) struct Allowance {
    /// At most so many bytes, unless the setting for all bodies allows more.
    pub(crate) bytes: usize,
    /// How long it may take to arrive.
    pub(crate) time: Duration,
}

/// The limits of any other body: of its size, the setting alone.
const USUAL: Allowance = Allowance { bytes: 0, time: Duration::from_secs(10) };

/// Up to so many bytes a body takes nothing of the budget, and is parsed at once.
const SHORT: usize = 16 << 10;

/// From so many bytes on a body gets room for all that was announced, which takes memory as it is filled. Growing by
/// doubling would copy it, and hold it twice meanwhile.
const ROOM_FOR_ALL: usize = 1 << 20;

/// Beyond that it takes so many bytes of the budget at once.
const STEP: usize = 256 << 10;

/// How long a body may take in any case …
const GRACE: Duration = Duration::from_secs(10);

/// … and beyond that, how many bytes a second have to arrive, at least.
const LEAST_RATE: u64 = 16 << 10;

/// A body that has not been read yet: the handler reads it once the caller is known.
pub struct Body {
    request: HttpRequest,
    payload: Payload,
}

impl FromRequest for Body {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Ok(Self { request: request.clone(), payload: payload.take() }))
    }
}

/// A body that was read, and what it takes of the budget; a small one takes nothing.
#[derive(Default)]
pub(crate) struct ReadBody {
    pub(crate) bytes: Bytes,
    pub(crate) permit: Option<WorkPermit>,
}

impl Body {
    /// Reads the body of this user's request as a form: the form, and the body.
    pub(crate) async fn read<T: Form>(self, who: &Identity) -> Result<(T, ReadBody), ApiError> {
        check_type(self.request.headers())?;
        let body = self.read_bytes(who, USUAL).await?;
        Ok((parse(&body.bytes).map_err(ApiError::invalid)?, body))
    }

    /// Reads the body as a form, unless it is empty; an empty body may have any media type.
    pub(crate) async fn read_unless_empty<T: Form>(
        self,
        who: &Identity,
    ) -> Result<(Option<T>, ReadBody), ApiError> {
        let right_type = check_type(self.request.headers());
        let body = self.read_bytes(who, USUAL).await?;
        if body.bytes.trim_ascii().is_empty() {
            return Ok((None, body));
        }
        right_type?;
        Ok((Some(parse(&body.bytes).map_err(ApiError::invalid)?), body))
    }

    /// Reads a body that may be large, within limits of its own.
    pub(crate) async fn read_large(self, who: &Identity, allowance: Allowance) -> Result<ReadBody, ApiError> {
        check_type(self.request.headers())?;
        self.read_bytes(who, allowance).await
    }

    async fn read_bytes(mut self, who: &Identity, allowance: Allowance) -> Result<ReadBody, ApiError> {
        let api = Api::of(&self.request);
        let limit = allowance.bytes.max(api.config.max_body_bytes);
        let length = self.request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let length = length.and_then(|length| length.parse().ok());
        if length.is_some_and(|length: usize| length > limit) {
            return Err(too_large(limit));
        }
        let budget = api.registry.budget();
        if let Some(length) = length.filter(|length| *length > ROOM_FOR_ALL) {
            // Refused before it has come, if there is no room for it now; what is announced takes nothing yet.
            drop(budget.take(who.user(), length)?);
        }
        let limits = Allowance { bytes: limit, ..allowance };
        let connection = self.request.conn_data::<Rc<Activity>>();
        let reads = |reads| connection.map_or((), |connection| connection.read_body(reads));
        // Should this future be dropped, the request ends with it.
        reads(true);
        let body = collect(&mut self.payload, limits, length, || budget.take(who.user(), 0)).await;
        reads(false);
        body
    }
}

/// Reads a form of a large body; beyond some size where no other request waits for it.
pub(crate) async fn parse_large<T: Send + 'static>(
    work: &WorkPool,
    who: &Identity,
    body: &ReadBody,
    parse: fn(&[u8]) -> Result<T, Vec<FieldError>>,
) -> Result<T, ApiError> {
    let bytes = body.bytes.clone();
    let parsed =
        if bytes.len() > SHORT { work.run(who.user(), move || parse(&bytes)).await? } else { parse(&bytes) };
    parsed.map_err(ApiError::invalid)
}

/// Collects a body. Beyond [`SHORT`] it takes from the budget, before it takes the memory.
async fn collect(
    payload: &mut Payload,
    limits: Allowance,
    announced: Option<usize>,
    take: impl FnOnce() -> Result<WorkPermit, Error>,
) -> Result<ReadBody, ApiError> {
    let started = Instant::now();
    let mut take = Some(take);
    let (mut first, mut all, mut permit) = (Bytes::new(), BytesMut::new(), None::<WorkPermit>);
    let mut taken = 0;
    loop {
        let length = first.len().max(all.len());
        // Whoever sends slower than the least rate keeps memory from others.
        let allowed = GRACE + Duration::from_millis(length as u64 * 1000 / LEAST_RATE);
        let deadline = started + allowed.min(limits.time);
        let chunk = timeout_at(deadline, payload.next()).await;
        let chunk =
            chunk.map_err(|_| ApiError::new(Code::RequestTimeout, "The body did not arrive in time"))?;
        let Some(chunk) = chunk else {
            let bytes = if all.is_empty() { first } else { all.freeze() };
            return Ok(ReadBody { bytes, permit });
        };
        let chunk = chunk.map_err(|error| broken(&error))?;
        if length + chunk.len() > limits.bytes {
            return Err(too_large(limits.bytes));
        }
        if length == 0 {
            first = chunk;
            continue;
        }
        let needed = length + chunk.len();
        if needed > taken {
            let doubled = needed.max(2 * taken).min(limits.bytes);
            taken = if doubled < ROOM_FOR_ALL { doubled } else { (needed + STEP).min(limits.bytes) };
            if taken > SHORT {
                if let Some(take) = take.take() {
                    permit = Some(take()?);
                }
                if let Some(permit) = &mut permit {
                    permit.grow_to(taken)?;
                }
            }
            if taken > all.capacity() {
                let room =
                    if doubled < ROOM_FOR_ALL { taken } else { announced.unwrap_or(limits.bytes).max(taken) };
                all.reserve(room - all.len());
            }
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&chunk);
    }
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(Code::PayloadTooLarge, format!("The body must be at most {limit} bytes long"))
}

fn broken(error: &PayloadError) -> ApiError {
    ApiError::new(Code::BadRequest, "The body could not be read").because(error)
}

/// Accepts JSON, and a body without a media type.
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let refused = |message| Err(ApiError::new(Code::UnsupportedMediaType, message));
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return refused("The body must not be compressed");
    }
    match headers.get(CONTENT_TYPE) {
        Some(media_type) if !media_type.to_str().is_ok_and(is_json) => {
            refused("The body must be application/json")
        }
        _ => Ok(()),
    }
}

/// Whether a media type is `application/json` or `application/<token>+json` (RFC 9110, section 5.6.2), with any
/// parameters.
fn is_json(media_type: &str) -> bool {
    let in_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some(subtype) = name.strip_prefix("application/") else { return false };
    let other = subtype.strip_suffix("+json");
    subtype == "json" || other.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(in_token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_and_media_types_based_on_it_are_accepted() {
        for good in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/merge-patch+json",
            "application/json ;x",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "text/json",
            "application/jsonx",
            "application/+json",
            "json",
            "multipart/form-data; a=application/json",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }

    /// Collects a body of these chunks, with a limit of 8 bytes.
    async fn collected(chunks: &[&'static str]) -> Result<Bytes, Code> {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))).collect();
        let mut payload = Payload::Stream { payload: futures_util::stream::iter(chunks).boxed_local() };
        let limits = Allowance { bytes: 8, ..USUAL };
        let read = collect(&mut payload, limits, None, || panic!("it is short")).await;
        read.map(|body| body.bytes).map_err(|error| error.code)
    }

    #[actix_web::test]
    async fn a_body_of_unannounced_length_is_read_to_its_end_or_to_the_limit() {
        assert_eq!(collected(&[]).await.unwrap(), "");
        assert_eq!(collected(&["12345678"]).await.unwrap(), "12345678");
        assert_eq!(collected(&["123", "45", "678"]).await.unwrap(), "12345678");
        for chunks in [&["123456789"] as &[_], &["12345678", "9"], &["1", "2345678", "9"]] {
            assert_eq!(collected(chunks).await.unwrap_err(), Code::PayloadTooLarge);
        }
    }
}
