//! The header names and values of our own, and the reading of conditional headers.

use std::io::Write;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};

use crate::domain::Seq;

pub(super) const SEQ: HeaderName = HeaderName::from_static("x-tasklane-seq");
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An entity tag (RFC 9110, section 8.8.3) in place, without an allocation.
pub(super) struct Tag {
    text: [u8; 24],
    len: usize,
}

impl Tag {
    /// A task's: `"<version>"`.
    pub(super) fn strong(version: Seq) -> Self {
        Self::new("\"", version)
    }

    /// A list's: `W/"<seq>"`.
    pub(super) fn weak(seq: Seq) -> Self {
        Self::new("W/\"", seq)
    }

    fn new(open: &str, number: Seq) -> Self {
        let mut text = [0; 24];
        let mut free = text.as_mut_slice();
        write!(free, "{open}{number}\"").expect("an i64 has 20 characters at most");
        let len = 24 - free.len();
        Self { text, len }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }

    /// The header's value.
    pub(super) fn value(&self) -> HeaderValue {
        HeaderValue::from_bytes(self.as_bytes()).expect("digits, quotes and W/ are visible ASCII")
    }

    /// Whether `If-None-Match` names this tag (weakly compared, RFC 9110, section 13.1.2), so that
    /// the client's copy is still good.
    pub(super) fn is_named_in(&self, headers: &HeaderMap) -> bool {
        headers.get_all(IF_NONE_MATCH).any(|value| names(value.as_bytes(), opaque(self.as_bytes())))
    }
}

/// A tag without its mark of weakness.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether a list of tags holds `wanted`, or is `*`. A quoted tag may itself hold commas.
fn names(mut list: &[u8], wanted: &[u8]) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    loop {
        while let [b' ' | b'\t' | b',', rest @ ..] = list {
            list = rest;
        }
        let tag = opaque(list);
        let [b'"', inner @ ..] = tag else { return false };
        let Some(end) = inner.iter().position(|byte| *byte == b'"') else { return false };
        if &tag[..end + 2] == wanted {
            return true;
        }
        list = &tag[end + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_the_quoted_number() {
        for (number, text) in [(0, "0"), (7, "7"), (120, "120"), (i64::MAX, "9223372036854775807")] {
            assert_eq!(Tag::strong(Seq::new(number)).value(), format!("\"{text}\"").as_str());
            assert_eq!(Tag::weak(Seq::new(number)).value(), format!("W/\"{text}\"").as_str());
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
    fn a_tag_is_looked_for_in_every_header_line() {
        let mut headers = HeaderMap::new();
        headers.append(IF_NONE_MATCH, HeaderValue::from_static("\"1\""));
        headers.append(IF_NONE_MATCH, HeaderValue::from_static("\"2\""));
        assert!(Tag::weak(Seq::new(2)).is_named_in(&headers));
        assert!(Tag::strong(Seq::new(2)).is_named_in(&headers));
        assert!(!Tag::strong(Seq::new(3)).is_named_in(&headers));
    }
}
