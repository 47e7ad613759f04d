//! Idempotency keys: a client's name for one write, so that a retry does not repeat it.
//!
//! After the IETF draft "The Idempotency-Key HTTP Header Field"
//! (draft-ietf-httpapi-idempotency-key-header-07). Its syntax is a structured-field string (RFC 8941,
//! section 3.3.3), `"8e03978e"`; most clients send the bare text, which is accepted, too, and means the
//! same.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, IF_MATCH, IF_NONE_MATCH};
use aws_lc_rs::digest;
use utoipa::IntoParams;

use super::path::task_of;
use crate::domain::TaskId;
use crate::http::error::ApiError;
use crate::http::header_names::IDEMPOTENCY_KEY;
use crate::http::route::Route;
use crate::lane::IdempotencyKey;

/// Characters of a key, at most.
const MAX_CHARACTERS: usize = 255;

/// A name for a write.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct KeyHeader {
    /// A name of the client's choice for this write, quoted or bare: a retry under the same key is not
    /// carried out again, and gets the same response, for at least 24 hours
    #[param(
        rename = "Idempotency-Key",
        required = false,
        min_length = 1,
        max_length = 255,
        example = "8e03978e-40d5-43dd-bc93-6894a57f9324"
    )]
    idempotency_key: Option<String>,
}

/// The request's key, if it has one, with a fingerprint of its method, route, task, body and conditions. It
/// is the same for a path with the user's id and one with `me`.
pub(crate) fn key_of(request: &HttpRequest, body: &[u8]) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(key) = key(request.headers())? else { return Ok(None) };
    let task = task_of(request).map(TaskId::as_uuid);
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut add = |part: &[u8]| {
        // The length first, so that the same bytes split differently have another fingerprint.
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    };
    add(request.method().as_str().as_bytes());
    add(Route::of(request).pattern.as_bytes());
    add(task.as_ref().map_or(&[][..], |id| id.as_bytes()));
    add(body);
    request.headers().get_all(IF_MATCH).for_each(|line| add(line.as_bytes()));
    for line in request.headers().get_all(IF_NONE_MATCH) {
        // Its name tells it from a line of the other.
        add(IF_NONE_MATCH.as_str().as_bytes());
        add(line.as_bytes());
    }
    let fingerprint = digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
    Ok(Some(IdempotencyKey { key: key.into(), fingerprint, sent: body.len() }))
}

pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY);
    let Some(line) = lines.next() else { return Ok(None) };
    let key = lines.next().is_none().then(|| parse(line.as_bytes().trim_ascii())).flatten();
    let wrong =
        || ApiError::wrong("Idempotency-Key", "must be given once, as 1 to 255 printable ASCII characters");
    key.map(Some).ok_or_else(wrong)
}

/// Reads a key: quoted, with `\"` for a quote and `\\` for a backslash in it, or bare.
fn parse(line: &[u8]) -> Option<String> {
    let mut key = String::with_capacity(line.len());
    if let [b'"', inner @ ..] = line {
        let mut bytes = inner.iter();
        loop {
            match *bytes.next()? {
                b'"' => break,
                b'\\' => key.push(char::from(*bytes.next().filter(|byte| matches!(byte, b'"' | b'\\'))?)),
                byte => key.push(char::from(byte)),
            }
        }
        bytes.as_slice().is_empty().then_some(())?;
    } else {
        key.extend(line.iter().map(|byte| char::from(*byte)));
    }
    let printable = key.chars().all(|character| matches!(character, ' '..='~'));
    ((1..=MAX_CHARACTERS).contains(&key.len()) && printable).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_quoted_and_bare() {
        for (line, key) in [
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            (r#""a \"b\" \\""#, r#"a "b" \"#),
            ("a b", "a b"),
        ] {
            assert_eq!(parse(line.as_bytes()).as_deref(), Some(key), "{line}");
        }
        assert!(parse("x".repeat(255).as_bytes()).is_some());
    }

    #[test]
    fn a_malformed_key_is_refused() {
        for line in ["", "\"\"", "\"a", "\"a\"b", r#""a\b""#, "é", "a\tb", "\"a\";x=1", &"x".repeat(256)] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }
}
