//! The change feed, and counts: what a client needs to keep up without reading the list again.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use chrono_tz::{TZ_VARIANTS, Tz};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::tasks::HandlerResult;
use crate::domain::{GivenRevision, Lineage, Seq, Timestamp};
use crate::http::error::refusals::{ConditionFailed, Refused, ResyncRequired};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::request::conditional::REVISION;
use crate::http::request::list_query::MAX_PAGE;
use crate::http::request::query::number;
use crate::http::request::task_body::TaskBody;
use crate::http::request::{Caller, Conditional, EntityTag, MinSeq, Parameters, UserPath};
use crate::http::response::large::of_tasks;
use crate::http::response::task::{found, listed};
use crate::lane::{Changes, Event, TasksBody};

/// Bytes of tasks in one response, about: what is left comes with the next one.
const MOST_BYTES: usize = 256 << 10;

/// The time zone of a summary.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct SummaryQuery {
    /// The IANA time zone that decides which day is today; UTC by default
    #[param(required = false, example = "Europe/Berlin")]
    tz: Option<String>,
}

/// Exact counts of tasks.
#[derive(ToSchema)]
#[schema(example = json!({
    "open": 3, "completed": 5, "overdue": 1, "due_today": 1,
    "by_priority": {"low": 0, "medium": 1, "high": 1, "urgent": 0, "none": 1}, "by_tag": {"home": 2}, "seq": 12
}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct SummaryCounts {
    /// Open tasks.
    open: u64,
    /// Completed tasks.
    completed: u64,
    /// Open, and due before now or before today.
    overdue: u64,
    /// Open, and due today.
    due_today: u64,
    #[schema(inline)]
    by_priority: CountsByPriority,
    /// Open tasks by tag; tags that are the same when folded count together, as the oldest of the tasks has it.
    by_tag: std::collections::BTreeMap<String, i64>,
    /// The seq at which this is true.
    seq: u64,
}

/// Open tasks by priority.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct CountsByPriority {
    low: u64,
    medium: u64,
    high: u64,
    urgent: u64,
    /// Without a priority.
    none: u64,
}

/// Count the tasks
///
/// Exact counts at one seq. `overdue`, `due_today`, `by_priority` and `by_tag` count open tasks only. They
/// depend on the clock, so there is no `ETag`.
#[utoipa::path(
    get, path = "", tag = "sync", params(UserPath, SummaryQuery, MinSeq, Conditional),
    responses(
        (status = 200, description = "The counts", body = SummaryCounts),
        (status = 304, description = "`If-None-Match: *`: there are counts"),
        (status = 422, description = "`tz` is not the name of a time zone, or `X-Tasklane-Min-Seq` is not a seq", body = ErrorBody),
        ConditionFailed, ResyncRequired, Refused,
    )
)]
pub(crate) async fn get_summary(caller: Caller) -> HandlerResult {
    let mut given = Parameters::new(caller.request().query_string());
    let zone = given.read("tz", "must be an IANA time zone, such as `Europe/Berlin`", zone);
    given.check()?;
    let zone = zone.unwrap_or(Tz::UTC);
    let snapshot = caller.snapshot().await?;
    let at = snapshot.revision();
    let much = !snapshot.is_small();
    let count = move || snapshot.summary(Timestamp::now(), &zone);
    let summary =
        if much { caller.registry().work().run(caller.who().user(), count).await? } else { count() };
    let body = serde_json::to_vec(&summary).expect("counts by text are always valid JSON");
    Ok(found(StatusCode::OK, at, BoxBody::new(body)))
}

/// The time zone of this name, in upper or lower case. A `+` that was not encoded has become a space.
fn zone(name: &str) -> Option<Tz> {
    let name = name.replace(' ', "+");
    name.parse()
        .ok()
        .or_else(|| TZ_VARIANTS.iter().copied().find(|zone| zone.name().eq_ignore_ascii_case(&name)))
}

/// The part of the change feed to read.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct ChangesQuery {
    /// The seq of the list or of the changes read last, best with its lineage, as `<seq>-<lineage>`; 0 for everything
    #[param(example = "7-mZq3nT0pXw4e")]
    since: GivenRevision,
    /// Changes in the response, at most; 500 by default
    #[param(minimum = 1, maximum = 500, required = false)]
    limit: Option<u32>,
}

/// A part of the change feed.
#[derive(ToSchema)]
#[schema(example = json!({
    "changes": [{"seq": 8, "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89", "deleted": true}],
    "seq": 8, "lineage": "mZq3nT0pXw4e", "has_more": false
}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct ChangeList {
    /// By ascending seq.
    changes: Vec<FeedChange>,
    /// The seq to continue from.
    seq: u64,
    /// What the seqs count in: continue from `<seq>-<lineage>`.
    lineage: String,
    /// Whether there are more changes already.
    has_more: bool,
}

/// The last change of a task.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Change)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum FeedChange {
    /// The task was created or changed.
    Changed {
        #[schema(minimum = 1)]
        seq: i64,
        #[schema(value_type = TaskBody)]
        task: Box<RawValue>,
    },
    /// The task was deleted.
    Deleted {
        #[schema(minimum = 1)]
        seq: i64,
        id: Uuid,
        /// Always true.
        deleted: bool,
    },
}

/// Read the changes
///
/// Every task that changed after `since`, in its latest form, and every deletion, by ascending seq. Continue
/// from the response's `seq`; while `has_more` is true there are more changes already. A response may have fewer
/// changes than `limit` if their tasks are long. After 410, read the whole list, and continue from its seq.
#[utoipa::path(
    get, path = "", tag = "sync", params(UserPath, ChangesQuery, MinSeq, Conditional),
    responses(
        (status = 200, description = "The changes", body = ChangeList, headers(
            ("ETag" = String, description = "`W/\"<seq>-<lineage>\"`"))),
        (status = 304, description = "The client's copy is current"),
        (status = 422, description = "Parameters are wrong; `details` lists every one", body = ErrorBody),
        ConditionFailed, ResyncRequired, Refused,
    )
)]
pub(crate) async fn list_changes(caller: Caller) -> HandlerResult {
    let (since, limit) = changes_query(caller.request().query_string())?;
    let snapshot = caller.snapshot().await?;
    let at = snapshot.revision();
    if !since.is_of(at.lineage) {
        return Err(ApiError::other_lineage(at));
    }
    caller.make_feed(&snapshot).await?;
    let changes = snapshot.changes(since.seq, limit, MOST_BYTES).ok_or_else(|| ApiError::changes_lost(at))?;
    if let Some(unmodified) = caller.condition(&EntityTag::weak(at), at)? {
        return Ok(unmodified);
    }
    let (budget, user) = (caller.registry().budget(), caller.who().user());
    Ok(listed(at, of_tasks(budget, user, TasksBody::Ready(body(&changes, at.lineage)))?, None))
}

pub(crate) fn changes_query(query: &str) -> Result<(GivenRevision, usize), ApiError> {
    let mut given = Parameters::new(query);
    let since = given.read("since", REVISION, GivenRevision::parse);
    if since.is_none() && given.is_fine() {
        given.note("since", "is required: the seq of the list or of the changes read last");
    }
    let limit = given.read("limit", "must be from 1 to 500", |text| number(text, 1..=MAX_PAGE));
    given.check()?;
    Ok((since.unwrap_or_default(), limit.unwrap_or(MAX_PAGE)))
}

fn body(changes: &Changes, lineage: Lineage) -> Bytes {
    let mut body = Vec::with_capacity(changes.events.len() * 512 + 64);
    body.extend_from_slice(b"{\"changes\":[");
    for (index, (seq, event)) in changes.events.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write_event(&mut body, *seq, event);
    }
    let Changes { seq, has_more, .. } = changes;
    let end = format!("],\"seq\":{seq},\"lineage\":\"{lineage}\",\"has_more\":{has_more}}}");
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
