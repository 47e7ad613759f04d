//! As `schemas`, for all that is not about one task: the batch, the feed, the counts, the account.

use serde::Serialize;
use utoipa::{IntoParams, IntoResponses, ToSchema};
use uuid::Uuid;

use super::schemas::{
    CreateTask, Description, DueDate, Instant, Position, Priority, Tag, Task, Title, UpdateTask,
};
use crate::http::error::ErrorBody;

/// Refusals of a stale seq.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum ResyncRequired {
    /// What changed since then cannot be told any more, or the seq asked for lies in the future: read the whole
    /// list, without asking for a seq
    #[response(status = 410)]
    Gone(ErrorBody<'static>),
}

/// The day's place.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct SummaryQuery {
    /// The IANA time zone that says what today is; UTC without it
    #[param(required = false, example = "Europe/Berlin")]
    tz: Option<String>,
}

/// Exact counts.
#[derive(ToSchema)]
#[schema(example = json!({
    "open": 3, "completed": 5, "overdue": 1, "due_today": 1,
    "by_priority": {"low": 0, "medium": 1, "high": 1, "none": 1}, "by_tag": {"home": 2}, "seq": 12
}))]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct SummaryCounts {
    /// Not done.
    #[schema(minimum = 0)]
    open: i64,
    /// Done.
    #[schema(minimum = 0)]
    completed: i64,
    /// Open, and due in the past: before now, or on a day before today.
    #[schema(minimum = 0)]
    overdue: i64,
    /// Open, and due today.
    #[schema(minimum = 0)]
    due_today: i64,
    #[schema(inline)]
    by_priority: CountsByPriority,
    /// Open tasks by tag.
    by_tag: std::collections::BTreeMap<String, i64>,
    /// The seq at which this is true.
    #[schema(minimum = 0)]
    seq: i64,
}

/// Open tasks by priority.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its form is used")]
struct CountsByPriority {
    #[schema(minimum = 0)]
    low: i64,
    #[schema(minimum = 0)]
    medium: i64,
    #[schema(minimum = 0)]
    high: i64,
    /// Without one.
    #[schema(minimum = 0)]
    none: i64,
}

/// Where a client's knowledge ends.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct ChangesQuery {
    /// The seq of the list, or of the changes, read last; 0 for everything
    #[param(minimum = 0, example = 7)]
    since: i64,
    /// So many changes at the most; 500 without it
    #[param(minimum = 1, maximum = 500, required = false)]
    limit: Option<u32>,
}

/// A stretch of the change feed.
#[derive(ToSchema)]
#[schema(example = json!({
    "changes": [{"seq": 8, "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89", "deleted": true}],
    "seq": 8, "has_more": false
}))]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct ChangeList {
    /// By ascending seq.
    changes: Vec<Change>,
    /// The seq to go on from.
    #[schema(minimum = 0)]
    seq: i64,
    /// Whether more is there already.
    has_more: bool,
}

/// What happened last to a task.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum Change {
    /// It changed.
    Changed {
        #[schema(minimum = 1)]
        seq: i64,
        task: Box<Task>,
    },
    /// It was deleted.
    Deleted {
        #[schema(minimum = 1)]
        seq: i64,
        id: Uuid,
        /// Always true.
        deleted: bool,
    },
}

/// Where an event stream goes on from.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct EventsQuery {
    /// The seq of the list, or of the event, read last. Without it: from now on
    #[param(minimum = 0, required = false, example = 7)]
    since: Option<i64>,
}

/// Where an event stream goes on from, as `EventSource` says it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct LastEventId {
    /// The `id` of the last event, which `EventSource` sends when it comes back; it wins over `since`
    #[param(rename = "Last-Event-ID", minimum = 0, required = false)]
    last_event_id: Option<i64>,
}

/// A pass to the event stream.
#[derive(ToSchema)]
#[schema(example = json!({"ticket": "uZ0e4nJ8m1tqkqk9Yb1b2AAAAYvP5Wg4AAAAAGtJ0gBhbGljZX1mK0m0uQ9mS1b7w7m6C2l8v0G3Nf5yqkqk9Yb1b2E", "expires_in": 30}))]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct TicketAnswer {
    ticket: String,
    /// Seconds.
    #[schema(minimum = 1)]
    expires_in: i64,
}

/// Writes to be carried out together.
#[derive(ToSchema)]
#[schema(example = json!({"operations": [
    {"op": "create", "task": {"title": "Buy milk"}},
    {"op": "update", "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89", "task": {"title": "Buy bread"}, "if_match": 7},
    {"op": "complete", "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89", "completed": true},
    {"op": "delete", "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89"}
]}))]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct Batch {
    #[schema(min_items = 1, max_items = 500)]
    operations: Vec<BatchOperation>,
}

/// One write of a batch.
#[derive(Serialize, ToSchema)]
#[serde(tag = "op", rename_all = "lowercase")]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum BatchOperation {
    /// Make a task.
    Create { task: CreateTask },
    /// Change a task.
    Update { id: Uuid, task: UpdateTask, if_match: Option<Version> },
    /// Tick or untick a task; without `completed` its state is flipped.
    Complete {
        id: Uuid,
        #[schema(required = false)]
        completed: bool,
        if_match: Option<Version>,
    },
    /// Delete a task.
    Delete { id: Uuid, if_match: Option<Version> },
}

/// In which version a task must be: its number, or the text of an `If-Match` header.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum Version {
    Number(i64),
    Tags(String),
}

/// What came of a batch.
#[derive(ToSchema)]
#[schema(example = json!({"results": [{"status": 204}], "seq": 8}))]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct BatchResults {
    /// In the order of the operations.
    results: Vec<BatchResult>,
    /// The seq of the last one.
    #[schema(minimum = 0)]
    seq: i64,
}

/// What one write of a batch did.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its form is used")]
struct BatchResult {
    /// The status the call of its own would have had.
    status: u16,
    /// The task as it then was; not there for a `delete`.
    #[schema(required = false)]
    task: Task,
}

/// All of a user's tasks.
#[derive(ToSchema)]
#[schema(example = json!({
    "user_id": "kXf2mPq8RtYvW3zAbC5dEfGhJ7nL9sU1", "seq": 7, "exported_at": "2026-02-08T10:30:00.123456Z",
    "tasks": []
}))]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct Export {
    user_id: String,
    /// The seq at which this is true.
    #[schema(minimum = 0)]
    seq: i64,
    #[schema(format = DateTime)]
    exported_at: String,
    tasks: Vec<Task>,
}

/// Tasks to be put in: an export, or what has its form.
#[derive(ToSchema)]
#[schema(example = json!({"tasks": [{
    "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89", "title": "Buy milk", "completed": true,
    "completed_at": "2026-02-09T08:00:00Z", "created_at": "2026-02-08T10:30:00.123456Z",
    "updated_at": "2026-02-09T08:00:00Z"
}]}))]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct Import {
    tasks: Vec<ImportTask>,
}

/// A task to be put in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its form is used")]
struct ImportTask {
    id: Uuid,
    title: Title,
    description: Option<Description>,
    #[schema(default = false, required = false)]
    completed: bool,
    priority: Option<Priority>,
    #[schema(max_items = 20)]
    tags: Option<Vec<Tag>>,
    due_date: Option<DueDate>,
    /// Null unless it is done; if it is and this is missing, `updated_at` is taken.
    completed_at: Option<Instant>,
    position: Option<Position>,
    created_at: Instant,
    updated_at: Instant,
}

/// What came of an import.
#[derive(ToSchema)]
#[schema(example = json!({"imported": 120, "unchanged": 3, "seq": 127}))]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct ImportResult {
    /// Tasks that are new.
    #[schema(minimum = 0)]
    imported: i64,
    /// Tasks that were there already, just as they are.
    #[schema(minimum = 0)]
    unchanged: i64,
    /// The seq of the last task that is new; the seq as it was if there is none.
    #[schema(minimum = 0)]
    seq: i64,
}

/// A confirmation.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct ConfirmHeader {
    /// The user's id as the token says it (not `me`), percent-encoded where it is not ASCII
    #[param(rename = "X-Confirm-Delete", example = "kXf2mPq8RtYvW3zAbC5dEfGhJ7nL9sU1")]
    x_confirm_delete: String,
}
