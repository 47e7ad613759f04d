//! What a path says: whose tasks, and which one.

use std::borrow::Cow;

use actix_web::HttpRequest;
use percent_encoding::percent_decode_str;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::domain::TaskId;

/// A path's user.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct UserPath {
    /// The token's subject, percent-encoded where need be, or `me`
    #[param(example = "me")]
    user_id: String,
}

/// A path's task.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct TaskPath {
    /// The task's id
    #[param(example = "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89")]
    id: Uuid,
}

/// The task a request's path names, if it names one.
pub(crate) fn task_of(request: &HttpRequest) -> Option<TaskId> {
    segment(request.uri().path(), 4).and_then(|id| TaskId::parse(&decoded(id)?))
}

/// The part of a path after so many slashes; the first part is the empty one before the first slash.
fn segment(path: &str, number: usize) -> Option<&str> {
    let slash = |text: &str| text.bytes().position(|byte| byte == b'/');
    let mut rest = path;
    for _ in 0..number {
        rest = &rest[slash(rest)? + 1..];
    }
    Some(&rest[..slash(rest).unwrap_or(rest.len())])
}

/// Whom a path under `/api` names, still encoded.
pub(crate) fn user_segment(path: &str) -> Option<&str> {
    segment(path, 2).filter(|named| !named.is_empty())
}

/// Percent-decoded, unless that gives no UTF-8.
pub(super) fn decoded(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok()
}

/// Whether a path's user is the one with this subject.
pub(crate) fn names(segment: &str, subject: &str) -> bool {
    let is = |named: &str| named == "me" || named == subject;
    if segment.contains('%') { decoded(segment).is_some_and(|named| is(&named)) } else { is(segment) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
