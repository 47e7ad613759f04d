//! Tags as both stores keep them: a JSON list, or NULL if there are none.

use crate::domain::Tags;

/// Encodes tags.
pub(super) fn json_of_tags(tags: &Tags) -> Option<String> {
    (!tags.as_slice().is_empty()).then(|| serde_json::json!(tags.as_slice()).to_string())
}

/// Decodes tags; `None` if the text is invalid.
pub(super) fn tags_of_json(json: &str) -> Option<Tags> {
    serde_json::from_str(json).ok().map(Tags::from_store)
}
