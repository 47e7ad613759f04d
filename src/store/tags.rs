//! Tags as both stores keep them.

use crate::domain::Tags;

/// A JSON list, or nothing at all for the many tasks without.
pub(super) fn json_of_tags(tags: &Tags) -> Option<String> {
    // A list of texts is always valid JSON.
    (!tags.as_slice().is_empty()).then(|| serde_json::json!(tags.as_slice()).to_string())
}

/// Tags as they were kept; `None` if they cannot be read.
pub(super) fn tags_of_json(json: &str) -> Option<Tags> {
    serde_json::from_str(json).ok().map(Tags::from_store)
}
