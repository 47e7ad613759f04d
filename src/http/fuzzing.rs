//! The parsers of requests, for the fuzz targets in `fuzz/`; also compiled with the tests, so that changes
//! do not break them unnoticed.

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};

use super::handlers::{account, batch, changes, events};
use super::header_names::{CONFIRM, IDEMPOTENCY_KEY, LAST_EVENT_ID, MIN_SEQ};
use super::request::conditional::{EntityTag, conditions_on_list, conditions_on_task, min_seq};
use super::request::{caller, idempotency_key, list_query, path, task_body};
use crate::domain::{NewTask, Patch, Revision, Seq, StoreIdentity};
use crate::lane::cursor;

/// Reads a body with every parser of bodies.
pub fn body(bytes: &[u8]) {
    let _ = task_body::parse::<NewTask>(bytes);
    let _ = task_body::parse::<Patch>(bytes);
    let _ = task_body::parse::<task_body::Completed>(bytes);
    let _ = batch::parse(bytes);
    let _ = account::parse(bytes);
}

/// Reads a header's value with every parser of headers.
///
/// # Panics
/// When two parsers contradict each other.
pub fn headers(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let mut headers = HeaderMap::new();
    for name in [IF_NONE_MATCH, IF_MATCH, AUTHORIZATION, IDEMPOTENCY_KEY, LAST_EVENT_ID, CONFIRM, MIN_SEQ] {
        headers.append(name, value.clone());
    }
    let conditions = conditions_on_task(&headers);
    let _ = conditions_on_list(&headers);
    let lineage = StoreIdentity::default().lineage("ann");
    for number in [0, 7, i64::MAX] {
        let at = Revision { seq: Seq::new(number), lineage };
        let named = conditions.if_none_match.as_ref().expect("there is one").names(at.seq, lineage);
        assert_eq!(EntityTag::strong(at).is_named_in(&headers), named);
        assert_eq!(EntityTag::weak(at).is_named_in(&headers), named);
    }
    let _ = caller::bearer(&headers);
    let _ = idempotency_key::key(&headers);
    let _ = min_seq(&headers);
    let _ = events::since(&headers, "");
    let _ = account::confirms(&headers, "ann");
}

/// Reads a text with every parser of query strings and paths.
///
/// # Panics
/// When an accepted cursor, rendered and read again, is another position.
pub fn path_and_query(text: &str) {
    if let Ok((query, lineages)) = list_query::parse(text)
        && let Some(after) = &query.after
    {
        let again =
            format!("sort={}&cursor={}", query.sort, cursor(query.sort, after, lineages.last().copied()));
        assert_eq!(list_query::parse(&again).ok().and_then(|(query, _)| query.after).as_ref(), Some(after));
    }
    let _ = changes::changes_query(text);
    let _ = events::since(&HeaderMap::new(), text);
    let _ = path::user_segment(text).map(|named| path::names(named, "ann"));
}
