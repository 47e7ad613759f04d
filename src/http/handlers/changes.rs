//! What a client needs to stay in step without reading the list again: counts, and the change feed.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes};
use chrono_tz::Tz;

use super::tasks::{HandlerResult, MANY};
use crate::domain::{Seq, Timestamp};
use crate::http::docs::schemas::{MinSeq, Refused, UserPath};
use crate::http::docs::sync_schemas::{
    ChangeList, ChangesQuery, ResyncRequired, SummaryCounts, SummaryQuery,
};
use crate::http::error::{ApiError, Code, ErrorBody};
use crate::http::request::caller::Caller;
use crate::http::request::conditional::EntityTag;
use crate::http::request::list_query::{LARGEST_PAGE, seq};
use crate::http::request::query::{Parameters, number};
use crate::http::response::task::{found, listed, unmodified};
use crate::lane::{Changes, Event, Snapshot};

/// Count the tasks
///
/// Exact counts, as of one seq. `overdue`, `due_today`, `by_priority` and `by_tag` count open tasks only.
/// They depend on the clock, so there is no `ETag`.
#[utoipa::path(
    get, path = "", tag = "sync", params(UserPath, SummaryQuery, MinSeq),
    responses(
        (status = 200, description = "The counts", body = SummaryCounts, headers(
            ("X-Tasklane-Seq" = i64, description = "The seq at which this is true"))),
        (status = 422, description = "`tz` is no name of a time zone, or the header no seq", body = ErrorBody),
        ResyncRequired, Refused,
    )
)]
pub(crate) async fn get_summary(caller: Caller) -> HandlerResult {
    let mut given = Parameters::new(caller.request().query_string());
    let zone =
        given.read("tz", "must be an IANA time zone, such as `Europe/Berlin`", |name| name.parse().ok());
    given.check()?;
    let zone = zone.unwrap_or(Tz::UTC);
    let snapshot = caller.snapshot().await?;
    let seq = snapshot.seq();
    let body = if snapshot.len() > MANY {
        web::block(move || counts(&snapshot, zone)).await?
    } else {
        counts(&snapshot, zone)
    };
    Ok(found(StatusCode::OK, seq, body))
}

fn counts(snapshot: &Snapshot, zone: Tz) -> Bytes {
    let summary = snapshot.summary(Timestamp::now(), &zone);
    serde_json::to_vec(&summary).expect("counts by text are always valid JSON").into()
}

/// Read what changed
///
/// Every task that changed after `since`, in its latest form, and every deletion, in the order of their
/// seqs. Go on from the answer's `seq`; while `has_more` is true there is more already. 410 means: read
/// the whole list, and go on from its seq.
#[utoipa::path(
    get, path = "", tag = "sync", params(UserPath, ChangesQuery, MinSeq),
    responses(
        (status = 200, description = "The changes", body = ChangeList, headers(
            ("ETag" = String, description = "`W/\"<seq>\"`"),
            ("X-Tasklane-Seq" = i64, description = "The seq at which this is true"))),
        (status = 304, description = "The client's copy is still good"),
        (status = 422, description = "Parameters are wrong; `details` lists every one", body = ErrorBody),
        ResyncRequired, Refused,
    )
)]
pub(crate) async fn list_changes(caller: Caller) -> HandlerResult {
    let (since, limit) = changes_query(caller.request().query_string())?;
    let snapshot = caller.snapshot().await?;
    let seq = snapshot.seq();
    let changes = snapshot.changes(since, limit).ok_or_else(|| {
        let message = "What changed since then cannot be told any more; read the whole list";
        ApiError { seq: Some(seq), ..ApiError::new(Code::ResyncRequired, message) }
    })?;
    let unmodified: Option<HttpResponse> = unmodified(caller.request(), &EntityTag::weak(seq), seq);
    Ok(unmodified.unwrap_or_else(|| listed(seq, body(&changes), None)))
}

pub(crate) fn changes_query(query: &str) -> Result<(Seq, usize), ApiError> {
    let mut given = Parameters::new(query);
    let since = given.read("since", "must be a seq", seq);
    if since.is_none() && given.is_fine() {
        given.note("since", "is required: the seq of the list or of the changes read last");
    }
    let limit = given.read("limit", "must be from 1 to 500", |text| number(text, 1..=LARGEST_PAGE));
    given.check()?;
    Ok((since.unwrap_or_default(), limit.unwrap_or(LARGEST_PAGE)))
}

fn body(changes: &Changes) -> Bytes {
    let mut body = Vec::with_capacity(changes.events.len() * 512 + 64);
    body.extend_from_slice(b"{\"changes\":[");
    for (place, (seq, event)) in changes.events.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        write_event(&mut body, *seq, event);
    }
    let end = format!("],\"seq\":{},\"has_more\":{}}}", changes.seq, changes.has_more);
    body.extend_from_slice(end.as_bytes());
    body.into()
}

/// Writes one change: `{"seq":7,"task":{…}}` or `{"seq":8,"id":"…","deleted":true}`.
pub(crate) fn write_event(out: &mut Vec<u8>, seq: Seq, event: &Event) {
    match event {
        Event::Changed(entry) => {
            out.extend_from_slice(format!("{{\"seq\":{seq},\"task\":").as_bytes());
            out.extend_from_slice(&entry.json);
            out.push(b'}');
        }
        Event::Deleted(id) => {
            out.extend_from_slice(format!("{{\"seq\":{seq},\"id\":\"{id}\",\"deleted\":true}}").as_bytes());
        }
    }
}
