//! Request bodies: their media type, their size, and how long they may take to arrive.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use actix_web::web::{self, Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use std::future::{Ready, ready};
use tokio::time::timeout;

use super::form::Form;
use super::task_body::parse;
use crate::http::api::Api;
use crate::http::error::{ApiError, Code, FieldError};

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

impl Body {
    /// Reads the body as a form: the form, and the bytes.
    pub(crate) async fn read<T: Form>(self) -> Result<(T, Bytes), ApiError> {
        check_type(self.request.headers())?;
        let bytes = self.bytes(USUAL).await?;
        Ok((parse(&bytes).map_err(ApiError::invalid)?, bytes))
    }

    /// Reads the body as a form, unless it is empty; an empty body may have any media type.
    pub(crate) async fn read_unless_empty<T: Form>(self) -> Result<(Option<T>, Bytes), ApiError> {
        let right_type = check_type(self.request.headers());
        let bytes = self.bytes(USUAL).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok((None, bytes));
        }
        right_type?;
        Ok((Some(parse(&bytes).map_err(ApiError::invalid)?), bytes))
    }

    /// Reads a body that may be large, within limits of its own.
    pub(crate) async fn read_large<T: Send + 'static>(
        self,
        allowance: Allowance,
        parse: fn(&[u8]) -> Result<T, Vec<FieldError>>,
    ) -> Result<(T, Bytes), ApiError> {
        check_type(self.request.headers())?;
        let bytes = self.bytes(allowance).await?;
        let body = bytes.clone();
        // On the blocking thread pool, where no other request waits for it.
        let form = web::block(move || parse(&body)).await?.map_err(ApiError::invalid)?;
        Ok((form, bytes))
    }

    async fn bytes(mut self, allowance: Allowance) -> Result<Bytes, ApiError> {
        let limit = allowance.bytes.max(Api::of(&self.request).config.max_body_bytes);
        let length = self.request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > limit) {
            return Err(too_large(limit));
        }
        let all = timeout(allowance.time, collect(&mut self.payload, limit)).await;
        all.map_err(|_| ApiError::new(Code::RequestTimeout, "The body did not arrive in time"))?
    }
}

async fn collect(payload: &mut Payload, limit: usize) -> Result<Bytes, ApiError> {
    let Some(first) = payload.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(|error| broken(&error))?;
    let mut all = BytesMut::new();
    let mut length = first.len();
    while length <= limit {
        let Some(chunk) = payload.next().await else {
            return Ok(if all.is_empty() { first } else { all.freeze() });
        };
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        let chunk = chunk.map_err(|error| broken(&error))?;
        all.extend_from_slice(&chunk);
        length = all.len();
    }
    Err(too_large(limit))
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

/// Whether a media type is `application/json` or `application/<anything>+json`, with any parameters.
fn is_json(media_type: &str) -> bool {
    let name = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some(subtype) = name.strip_prefix("application/") else { return false };
    subtype == "json" || subtype.strip_suffix("+json").is_some_and(|rest| !rest.is_empty())
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
        collect(&mut payload, 8).await.map_err(|error| error.code)
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
