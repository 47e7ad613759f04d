//! Conditional requests (RFC 9110, section 13): entity tags, `If-Match`, `If-None-Match`,
//! `X-Tasklane-Min-Seq`.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use utoipa::IntoParams;
use utoipa::openapi::schema::OneOfBuilder;
use utoipa::openapi::{ObjectBuilder, Type};

use super::form::documented;
use crate::domain::{Conditions, GivenRevision, Match, Revision};
use crate::http::error::ApiError;
use crate::http::header_names::MIN_SEQ;

/// What a seq that a client gives must be.
pub(crate) const REVISION: &str = "must be a seq, or `<seq>-<lineage>`";

documented!(GivenRevision as "Revision", {
    let seq = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(i64::MAX));
    let whole = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9]{1,18}-[A-Za-z0-9_-]{6,16}$"));
    let description = "A seq, best with its lineage: `<seq>-<lineage>`.";
    OneOfBuilder::new().item(seq).item(whole).description(Some(description)).build()
});

/// The seq that a read must have reached.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct MinSeq {
    /// A seq that the client knows, such as `X-Tasklane-Seq` of the response to a write, best with its lineage, as
    /// `<seq>-<lineage>`: the response is at that seq or a later one, even if another process of the service answers
    #[param(rename = "X-Tasklane-Min-Seq", required = false)]
    min_seq: GivenRevision,
}

/// The seq that a read must have reached; 0 by default.
pub(crate) fn min_seq(headers: &HeaderMap) -> Result<GivenRevision, ApiError> {
    let mut lines = headers.get_all(MIN_SEQ);
    let Some(line) = lines.next() else { return Ok(GivenRevision::default()) };
    let min_seq = line.to_str().ok().and_then(GivenRevision::parse).filter(|_| lines.next().is_none());
    min_seq.ok_or_else(|| ApiError::wrong("X-Tasklane-Min-Seq", format!("{REVISION}, given once")))
}

/// An entity tag (RFC 9110, section 8.8.3), without an allocation.
pub(crate) struct EntityTag {
    text: [u8; 40],
    len: usize,
}

impl EntityTag {
    /// A task's: `"<version>-<lineage>"`.
    pub(crate) fn strong(version: Revision) -> Self {
        Self::new("\"", version)
    }

    /// That of everything else: `W/"<seq>-<lineage>"`.
    pub(crate) fn weak(at: Revision) -> Self {
        Self::new("W/\"", at)
    }

    fn new(open: &str, Revision { seq, lineage }: Revision) -> Self {
        let mut digits = itoa::Buffer::new();
        let (mut text, mut len) = ([0; 40], 0);
        // An i64 has at most 20 characters, and a lineage 12.
        for part in [open.as_bytes(), digits.format(seq.get()).as_bytes(), b"-", lineage.as_bytes(), b"\""] {
            text[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        Self { text, len }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }

    /// The header's value.
    pub(crate) fn value(&self) -> HeaderValue {
        HeaderValue::from_bytes(self.as_bytes()).expect("digits, letters, quotes and W/ are visible ASCII")
    }

    /// Whether `If-None-Match` names this tag, so that the client's copy is current (weak comparison, RFC
    /// 9110, section 13.1.2). Only a whole tag names it: a number alone may be another user's.
    pub(crate) fn is_named_in(&self, headers: &HeaderMap) -> bool {
        headers.get_all(IF_NONE_MATCH).any(|value| names(value.as_bytes(), opaque(self.as_bytes())))
    }

    /// Whether `If-Match` has this tag (strong comparison, RFC 9110, section 13.1.1), or a task's bare version, which
    /// clients make of the task's `version`.
    fn is_matched_in(&self, headers: &HeaderMap) -> bool {
        let tag = self.as_bytes();
        let end = tag.iter().position(|byte| *byte == b'-').unwrap_or_default();
        let is_this = |given: &[u8]| {
            let bare = given.strip_suffix(b"\"").is_some_and(|version| version == &tag[..end]);
            given.starts_with(b"\"") && (given == tag || bare)
        };
        headers
            .get_all(IF_MATCH)
            .any(|value| is_star(value.as_bytes()) || EntityTags(value.as_bytes()).any(is_this))
    }
}

/// What the conditions of a read say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadCondition {
    /// Answer as usual.
    Holds,
    /// `If-Match` does not hold: 412.
    Failed,
    /// `If-None-Match` says that the client's copy is current: 304.
    Unmodified,
}

/// What the conditions say of something that exists, with its tag if it has one (RFC 9110, section 13.2.2).
pub(crate) fn read_condition(headers: &HeaderMap, tag: Option<&EntityTag>) -> ReadCondition {
    let matched = || match tag {
        Some(tag) => tag.is_matched_in(headers),
        None => headers.get_all(IF_MATCH).any(|value| is_star(value.as_bytes())),
    };
    if headers.contains_key(IF_MATCH) && !matched() {
        return ReadCondition::Failed;
    }
    let named = match tag {
        Some(tag) => tag.is_named_in(headers),
        None => headers.get_all(IF_NONE_MATCH).any(|value| is_star(value.as_bytes())),
    };
    if named { ReadCondition::Unmodified } else { ReadCondition::Holds }
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

/// The conditions of a request. They have no examples: Swagger UI would send them.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct Conditional {
    /// A tag, a list of tags, or `*`: only if what the path names has one of these tags; weak ones match nothing. Of a
    /// task, `"<version>"` will do
    #[param(rename = "If-Match", required = false)]
    if_match: Option<String>,
    /// A tag, a list of tags, or `*`: only if what the path names has none of these tags
    #[param(rename = "If-None-Match", required = false)]
    if_none_match: Option<String>,
}

/// How tags are compared (RFC 9110, section 8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// A weak tag, and a tag that no task can have, match nothing.
    Strong,
    /// A weak tag is as good as a strong one, but only with its lineage.
    Weak,
}

/// The conditions of a write to a task.
pub(crate) fn conditions_on_task(headers: &HeaderMap) -> Conditions {
    Conditions {
        if_match: condition(headers, &IF_MATCH, Comparison::Strong),
        if_none_match: condition(headers, &IF_NONE_MATCH, Comparison::Weak),
    }
}

/// The conditions of a write to the list. Its tag is weak, so that no tag of `If-Match` matches it.
pub(crate) fn conditions_on_list(headers: &HeaderMap) -> Conditions {
    let Conditions { if_match, if_none_match } = conditions_on_task(headers);
    let if_match = if_match.map(|tags| if tags == Match::Any { tags } else { Match::Versions(Vec::new()) });
    Conditions { if_match, if_none_match }
}

fn condition(headers: &HeaderMap, name: &HeaderName, comparison: Comparison) -> Option<Match> {
    let mut lines = headers.get_all(name).peekable();
    lines.peek()?;
    let mut all = Vec::new();
    for line in lines {
        match versions(line.as_bytes(), comparison) {
            Match::Any => return Some(Match::Any),
            Match::Versions(versions) => all.extend(versions),
        }
    }
    Some(Match::Versions(all))
}

/// The condition of a list of tags as in `If-Match`.
pub(crate) fn matching(list: &[u8]) -> Match {
    versions(list, Comparison::Strong)
}

fn versions(list: &[u8], comparison: Comparison) -> Match {
    if is_star(list) {
        return Match::Any;
    }
    let weak = comparison == Comparison::Weak;
    let version = |tag| {
        let tag = if weak { opaque(tag) } else { tag };
        let text = str::from_utf8(tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?).ok()?;
        let version = GivenRevision::parse(text)?;
        // Tags are compared as text: no task has `"007"`.
        let digits = text.split('-').next()?;
        let canonical = itoa::Buffer::new().format(version.seq.get()) == digits;
        (canonical && (version.lineage.is_some() || !weak)).then_some(version)
    };
    Match::Versions(EntityTags(list).filter_map(version).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Lineage, Seq, StoreIdentity};

    fn lineage() -> Lineage {
        StoreIdentity::default().lineage("ann")
    }

    fn revision_of(number: i64) -> Revision {
        Revision { seq: Seq::new(number), lineage: lineage() }
    }

    fn headers(all: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn tags_are_the_quoted_number_and_lineage() {
        let lineage = lineage();
        for number in [0, 7, 120, i64::MAX] {
            let at = revision_of(number);
            assert_eq!(EntityTag::strong(at).value(), format!("\"{number}-{lineage}\"").as_str());
            assert_eq!(EntityTag::weak(at).value(), format!("W/\"{number}-{lineage}\"").as_str());
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
        let (ours, other) = (lineage(), StoreIdentity::default().lineage("bob"));
        let versions = |list: &str| match matching(list.as_bytes()) {
            Match::Any => vec![-1],
            Match::Versions(versions) => {
                versions.into_iter().filter(|one| one.is_of(ours)).map(|one| one.seq.get()).collect()
            }
        };
        assert_eq!(versions(" * "), [-1]);
        assert_eq!(versions("\"12\""), [12]);
        assert_eq!(versions(&format!("\"12-{ours}\", \"13-{other}\"")), [12]);
        assert_eq!(versions("\"1\", W/\"2\" ,\"3\",\"x\",\"4\""), [1, 3, 4]);
        for list in [
            "", "12", "W/\"12\"", "\"012\"", "\"+12\"", "\"12", "'12'", "\"\"", "w/\"12\"", "\"12-\"",
            "\"-12\"",
        ] {
            assert_eq!(versions(list), [0; 0], "{list}");
        }
        assert_eq!(conditions_on_task(&HeaderMap::new()), Conditions::default());
        let two = [(IF_MATCH, "\"1\""), (IF_MATCH, "W/\"2\"")];
        let one = Match::Versions(vec![Seq::new(1).into()]);
        assert_eq!(conditions_on_task(&headers(&two)).if_match, Some(one));
        assert_eq!(conditions_on_list(&headers(&two)).if_match, Some(Match::Versions(Vec::new())));
        let star = headers(&[(IF_MATCH, "\"1\""), (IF_MATCH, "*")]);
        assert_eq!(conditions_on_task(&star).if_match, Some(Match::Any));
        assert_eq!(conditions_on_list(&star).if_match, Some(Match::Any));
    }

    #[test]
    fn if_none_match_of_a_write_names_whole_tags_only() {
        let (ours, other) = (lineage(), StoreIdentity::default().lineage("bob"));
        let named = |list: &str| {
            let condition = conditions_on_task(&headers(&[(IF_NONE_MATCH, list)])).if_none_match.unwrap();
            condition.names(Seq::new(12), ours)
        };
        for list in ["*".to_owned(), format!("\"12-{ours}\""), format!("\"1\", W/\"12-{ours}\"")] {
            assert!(named(&list), "{list}");
        }
        for list in
            ["\"12\"".to_owned(), "W/\"12\"".to_owned(), format!("\"12-{other}\""), format!("\"012-{ours}\"")]
        {
            assert!(!named(&list), "{list}");
        }
    }

    #[test]
    fn a_read_is_answered_as_the_rfc_says_in_its_order() {
        use ReadCondition::{Failed, Holds, Unmodified};
        let (task, list) = (EntityTag::strong(revision_of(12)), EntityTag::weak(revision_of(12)));
        let whole = task.value();
        let whole = whole.to_str().unwrap();
        let (weak, other) = (format!("W/{whole}"), whole.replace("12-", "13-"));
        let read = |tag, all: &[(HeaderName, &str)]| read_condition(&headers(all), tag);
        for (given, of_task, of_list, of_untagged) in [
            (&[][..], Holds, Holds, Holds),
            (&[(IF_MATCH, "*")], Holds, Holds, Holds),
            (&[(IF_MATCH, whole)], Holds, Failed, Failed),
            (&[(IF_MATCH, "\"12\"")], Holds, Failed, Failed),
            (&[(IF_MATCH, "\"1\"")], Failed, Failed, Failed),
            (&[(IF_MATCH, "\"12-\"")], Failed, Failed, Failed),
            (&[(IF_MATCH, &weak)], Failed, Failed, Failed),
            (&[(IF_MATCH, &other)], Failed, Failed, Failed),
            (&[(IF_MATCH, "")], Failed, Failed, Failed),
            (&[(IF_MATCH, &other), (IF_MATCH, whole)], Holds, Failed, Failed),
            (&[(IF_NONE_MATCH, "*")], Unmodified, Unmodified, Unmodified),
            (&[(IF_NONE_MATCH, whole)], Unmodified, Unmodified, Holds),
            (&[(IF_NONE_MATCH, &weak)], Unmodified, Unmodified, Holds),
            (&[(IF_NONE_MATCH, "\"12\"")], Holds, Holds, Holds),
            (&[(IF_NONE_MATCH, &other)], Holds, Holds, Holds),
            (&[(IF_MATCH, "*"), (IF_NONE_MATCH, whole)], Unmodified, Unmodified, Holds),
            (&[(IF_MATCH, &other), (IF_NONE_MATCH, "*")], Failed, Failed, Failed),
        ] {
            assert_eq!(read(Some(&task), given), of_task, "{given:?}");
            assert_eq!(read(Some(&list), given), of_list, "{given:?}");
            assert_eq!(read(None, given), of_untagged, "{given:?}");
        }
    }

    #[test]
    fn a_tag_is_found_in_every_header_line() {
        let lines = [1, 2].map(|number| EntityTag::strong(revision_of(number)).value());
        let lines = lines.each_ref().map(|line| (IF_NONE_MATCH, line.to_str().unwrap()));
        let headers = headers(&lines);
        assert!(EntityTag::weak(revision_of(2)).is_named_in(&headers));
        assert!(EntityTag::strong(revision_of(2)).is_named_in(&headers));
        assert!(!EntityTag::strong(revision_of(3)).is_named_in(&headers));
    }
}
