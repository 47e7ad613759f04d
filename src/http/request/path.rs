//! The user and the task in a path.

use std::borrow::Cow;

use actix_web::HttpRequest;
use percent_encoding::percent_decode_str;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::domain::TaskId;

/// The user in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct UserPath {
    /// The token's subject, percent-encoded where necessary, or `me`
    #[param(example = "me")]
    user_id: String,
}

/// The task in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct TaskPath {
    /// The task's id
    #[param(example = "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89")]
    id: Uuid,
}

/// The id of the task in a request's path, if it has one.
pub(crate) fn task_of(request: &HttpRequest) -> Option<TaskId> {
    request.uri().path().split('/').nth(4).and_then(|id| TaskId::parse(&decoded(id)?))
}

/// The user in a path under `/api`, still encoded.
pub(crate) fn user_segment(path: &str) -> Option<&str> {
    path.split('/').nth(2).filter(|named| !named.is_empty())
}

/// A percent-decoded segment, if it is UTF-8.
pub(crate) fn decoded(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok()
}

/// Whether a path's user segment names the user with this subject.
pub(crate) fn names(segment: &str, subject: &str) -> bool {
    let is = |named: &str| named == "me" || named == subject;
    if segment.contains('%') { decoded(segment).is_some_and(|named| is(&named)) } else { is(segment) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_in_a_path_is_decoded_once_and_compared_exactly() {
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
    fn the_user_is_the_second_segment_of_a_path() {
        assert_eq!(user_segment("/api/alice/tasks"), Some("alice"));
        assert_eq!(user_segment("/api/alice"), Some("alice"));
        assert_eq!(user_segment("/api/"), None);
        assert_eq!(user_segment("/api"), None);
    }
}
