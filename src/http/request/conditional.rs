//! Conditional requests (RFC 9110, section 13): entity tags, `If-Match`, `If-None-Match`,
//! `X-Tasklane-Min-Seq`.

use actix_web::http::header::{HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use utoipa::IntoParams;

use super::list_query::seq;
use crate::domain::{Match, Seq};
use crate::http::error::ApiError;
use crate::http::header_names::MIN_SEQ;

/// The seq that a read must have reached.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct MinSeq {
    /// A seq that the client knows, such as `X-Tasklane-Seq` of the response to a write: the response is at
    /// that seq or a later one, even if another process of the service answers
    #[param(rename = "X-Tasklane-Min-Seq", required = false, minimum = 0, example = 7)]
    min_seq: i64,
}

/// The seq that a read must have reached; 0 by default.
pub(crate) fn min_seq(headers: &HeaderMap) -> Result<Seq, ApiError> {
    let mut lines = headers.get_all(MIN_SEQ);
    let Some(line) = lines.next() else { return Ok(Seq::ZERO) };
    let min_seq = line.to_str().ok().and_then(seq).filter(|_| lines.next().is_none());
    min_seq.ok_or_else(|| ApiError::wrong("X-Tasklane-Min-Seq", "must be a seq, given once"))
}

/// An entity tag (RFC 9110, section 8.8.3), without an allocation.
pub(crate) struct EntityTag {
    text: [u8; 24],
    len: usize,
}

impl EntityTag {
    /// A task's: `"<version>"`.
    pub(crate) fn strong(version: Seq) -> Self {
        Self::new("\"", version)
    }

    /// A list's: `W/"<seq>"`.
    pub(crate) fn weak(seq: Seq) -> Self {
        Self::new("W/\"", seq)
    }

    fn new(open: &str, number: Seq) -> Self {
        let mut digits = itoa::Buffer::new();
        let (mut text, mut len) = ([0; 24], 0);
        // An i64 has at most 20 characters.
        for part in [open, digits.format(number.get()), "\""] {
            text[len..len + part.len()].copy_from_slice(part.as_bytes());
            len += part.len();
        }
        Self { text, len }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }

    /// The header's value.
    pub(crate) fn value(&self) -> HeaderValue {
        HeaderValue::from_bytes(self.as_bytes()).expect("digits, quotes and W/ are visible ASCII")
    }

    /// Whether `If-None-Match` names this tag, so that the client's copy is current (weak comparison, RFC
    /// 9110, section 13.1.2).
    pub(crate) fn is_named_in(&self, headers: &HeaderMap) -> bool {
        headers.get_all(IF_NONE_MATCH).any(|value| names(value.as_bytes(), opaque(self.as_bytes())))
    }
}

/// A tag without `W/`.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether a list of tags is `*`.
fn is_star(list: &[u8]) -> bool {
    list.trim_ascii() == b"*"
}

/// Whether a list of tags has `wanted`, or is `*`.
fn names(list: &[u8], wanted: &[u8]) -> bool {
    is_star(list) || EntityTags(list).any(|tag| opaque(tag) == wanted)
}

/// The tags of a list, up to the first malformed one. A quoted tag may have commas.
struct EntityTags<'a>(&'a [u8]);

impl<'a> Iterator for EntityTags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let [b' ' | b'\t' | b',', rest @ ..] = self.0 {
            self.0 = rest;
        }
        let prefix = self.0.len() - opaque(self.0).len();
        let [b'"', inner @ ..] = &self.0[prefix..] else { return None };
        let end = inner.iter().position(|byte| *byte == b'"')?;
        let (tag, rest) = self.0.split_at(prefix + end + 2);
        self.0 = rest;
        Some(tag)
    }
}

/// A condition on a write.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct IfMatch {
    /// The task's `ETag`, a list of tags, or `*`: write only if the task is in one of these versions
    #[param(rename = "If-Match", required = false, example = "\"7\"")]
    if_match: Option<String>,
}

/// The condition of `If-Match`, if there is one (strong comparison, RFC 9110, section 13.1.1): a weak tag,
/// and a tag that no task can have, match nothing.
pub(crate) fn if_match(headers: &HeaderMap) -> Option<Match> {
    let mut lines = headers.get_all(IF_MATCH).peekable();
    lines.peek()?;
    let mut all = Vec::new();
    for line in lines {
        match matching(line.as_bytes()) {
            Match::Any => return Some(Match::Any),
            Match::Versions(versions) => all.extend(versions),
        }
    }
    Some(Match::Versions(all))
}

/// The condition of a list of tags.
pub(crate) fn matching(list: &[u8]) -> Match {
    if is_star(list) {
        return Match::Any;
    }
    let version = |tag: &[u8]| {
        let digits = std::str::from_utf8(tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?).ok()?;
        let version = Seq::new(digits.parse().ok()?);
        // Tags are compared as text: no task has `"007"`.
        (EntityTag::strong(version).as_bytes() == tag).then_some(version)
    };
    Match::Versions(EntityTags(list).filter_map(version).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_the_quoted_number() {
        for (number, text) in [(0, "0"), (7, "7"), (120, "120"), (i64::MAX, "9223372036854775807")] {
            assert_eq!(EntityTag::strong(Seq::new(number)).value(), format!("\"{text}\"").as_str());
            assert_eq!(EntityTag::weak(Seq::new(number)).value(), format!("W/\"{text}\"").as_str());
        }
    }

    #[test]
    fn if_none_match_is_a_list_of_strong_or_weak_tags_or_a_star() {
        for list in [
            "\"12\"",
            "W/\"12\"",
            "*",
            " * ",
            "\"1\", W/\"12\"",
            "\"a,b\",\"12\"",
            ", \"12\" ,",
            "\"\",\"12\"",
        ] {
            assert!(names(list.as_bytes(), b"\"12\""), "{list}");
        }
        for list in ["", "12", "\"1\"", "\"123\"", "\"12", "w/\"12\"", "\"x\"*", "\"1,12\"", "**", "'12'"] {
            assert!(!names(list.as_bytes(), b"\"12\""), "{list}");
        }
    }

    #[test]
    fn if_match_is_a_list_of_strong_tags_or_a_star_and_nothing_else_matches() {
        let versions = |list: &str| match matching(list.as_bytes()) {
            Match::Any => vec![-1],
            Match::Versions(versions) => versions.into_iter().map(Seq::get).collect(),
        };
        assert_eq!(versions(" * "), [-1]);
        assert_eq!(versions("\"12\""), [12]);
        assert_eq!(versions("\"1\", W/\"2\" ,\"3\",\"x\",\"4\""), [1, 3, 4]);
        for list in ["", "12", "W/\"12\"", "\"012\"", "\"+12\"", "\"12", "'12'", "\"\"", "w/\"12\""] {
            assert_eq!(versions(list), [0; 0], "{list}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(if_match(&headers), None);
        headers.append(IF_MATCH, HeaderValue::from_static("\"1\""));
        headers.append(IF_MATCH, HeaderValue::from_static("W/\"2\""));
        assert_eq!(if_match(&headers), Some(Match::Versions(vec![Seq::new(1)])));
        headers.append(IF_MATCH, HeaderValue::from_static("*"));
        assert_eq!(if_match(&headers), Some(Match::Any));
    }

    #[test]
    fn a_tag_is_found_in_every_header_line() {
        let mut headers = HeaderMap::new();
        headers.append(IF_NONE_MATCH, HeaderValue::from_static("\"1\""));
        headers.append(IF_NONE_MATCH, HeaderValue::from_static("\"2\""));
        assert!(EntityTag::weak(Seq::new(2)).is_named_in(&headers));
        assert!(EntityTag::strong(Seq::new(2)).is_named_in(&headers));
        assert!(!EntityTag::strong(Seq::new(3)).is_named_in(&headers));
    }
}
