//! What bodies, parameters and refusals look like on the wire, for the OpenAPI document alone.
//!
//! Requests are read by `forms` and its kin, which list every fault, and tasks are rendered by the lanes.

use serde::Serialize;
use utoipa::{IntoParams, IntoResponses, ToSchema};
use uuid::Uuid;

use crate::http::error::ErrorBody;

/// A path's user.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct UserPath {
    /// The token's subject, percent-encoded where need be, or `me`
    #[param(example = "me")]
    user_id: String,
}

/// A path's user and task.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct TaskPath {
    /// The token's subject, percent-encoded where need be, or `me`
    #[param(example = "me")]
    user_id: String,
    /// The task's id
    #[param(example = "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89")]
    id: Uuid,
}

/// A list's query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct TaskQuery {
    /// Only done ones, or only open ones
    #[param(required = false)]
    completed: Option<bool>,
    /// The same as `completed` in other words
    #[param(required = false)]
    status: Option<Status>,
    /// Only those of this priority
    #[param(required = false)]
    priority: Option<Priority>,
    /// Only those with this tag, letter by letter; given several times, only those with all of them
    #[param(required = false, max_items = 20, example = json!(["home"]))]
    tag: Option<Vec<Tag>>,
    /// Only those due before this date or instant; a date counts as its first instant in UTC
    #[param(required = false, example = "2026-03-01")]
    due_before: Option<DueDate>,
    /// Only those due after this date or instant
    #[param(required = false, example = "2026-02-01T00:00:00Z")]
    due_after: Option<DueDate>,
    /// Only those changed after this seq
    #[param(required = false, minimum = 0)]
    updated_since_seq: Option<i64>,
    /// Only those with this text in title, description or a tag, whatever the case of its letters
    #[param(required = false, max_length = 200, example = "milk")]
    search: Option<String>,
    /// The order; ties are broken by id, tasks without the value come last. Without it: `-created_at`
    #[param(required = false)]
    sort: Option<Sort>,
    /// A page of so many tasks. Without it: all of them; with `cursor` alone: 100
    #[param(minimum = 1, maximum = 500, required = false)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before; opaque, and good for the same `sort` only
    #[param(required = false)]
    cursor: Option<String>,
}

/// Which tasks.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum Status {
    All,
    Pending,
    Completed,
}

/// How much a task matters.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum Priority {
    Low,
    Medium,
    High,
}

/// The order of a list, with `-` from the greatest down.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum Sort {
    #[schema(rename = "created_at")]
    CreatedAt,
    #[schema(rename = "-created_at")]
    CreatedAtDown,
    #[schema(rename = "updated_at")]
    UpdatedAt,
    #[schema(rename = "-updated_at")]
    UpdatedAtDown,
    #[schema(rename = "due_date")]
    DueDate,
    #[schema(rename = "-due_date")]
    DueDateDown,
    #[schema(rename = "priority")]
    Priority,
    #[schema(rename = "-priority")]
    PriorityDown,
    #[schema(rename = "title")]
    Title,
    #[schema(rename = "-title")]
    TitleDown,
    #[schema(rename = "position")]
    Position,
    #[schema(rename = "-position")]
    PositionDown,
}

/// A condition on a write.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct IfMatch {
    /// The task's `ETag`, a list of such, or `*`: write only if the task is in one of these versions
    #[param(rename = "If-Match", required = false, example = "\"7\"")]
    if_match: Option<String>,
}

/// What a read has to show.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct MinSeq {
    /// A seq the client knows of, from `X-Tasklane-Seq` of an answer to a write, say: the answer is of that
    /// seq or a later one, whichever process of several gives it
    #[param(rename = "X-Tasklane-Min-Seq", required = false, minimum = 0, example = 7)]
    min_seq: i64,
}

/// A name for a write.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct KeyHeader {
    /// A name of the client's choice for this write, quoted or bare: sent again, it is not done again, and
    /// gets the same answer, for 24 hours at least
    #[param(
        rename = "Idempotency-Key",
        required = false,
        min_length = 1,
        max_length = 255,
        example = "8e03978e-40d5-43dd-bc93-6894a57f9324"
    )]
    idempotency_key: Option<String>,
}

/// A task.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89", "user_id": "kXf2mPq8RtYvW3zAbC5dEfGhJ7nL9sU1",
    "title": "Buy milk", "description": null, "completed": false, "priority": "high",
    "tags": ["home", "shop"], "due_date": "2026-02-14", "completed_at": null, "position": "a0",
    "created_at": "2026-02-08T10:30:00.123456Z", "updated_at": "2026-02-08T10:30:00.123456Z", "version": 1
}))]
pub(crate) struct Task {
    id: Uuid,
    /// The owner: the token's subject.
    user_id: String,
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    #[schema(max_length = 2000, required)]
    description: Option<String>,
    completed: bool,
    #[schema(required)]
    priority: Option<Priority>,
    /// In the order given.
    #[schema(max_items = 20)]
    tags: Vec<String>,
    /// A date, or an instant, in the form it was given.
    #[schema(required)]
    due_date: Option<String>,
    /// Since when it has been done. In UTC, with six decimals.
    #[schema(format = DateTime, required)]
    completed_at: Option<String>,
    /// The client's own ordering key.
    #[schema(max_length = 64, required)]
    position: Option<String>,
    /// In UTC, with six decimals.
    #[schema(format = DateTime)]
    created_at: String,
    /// In UTC, with six decimals. Raised by every accepted change, even one that changes nothing.
    #[schema(format = DateTime)]
    updated_at: String,
    /// The owner's seq at the task's last change.
    #[schema(minimum = 1)]
    version: i64,
}

/// Tasks, in the order asked for.
#[derive(ToSchema)]
#[schema(example = json!({"tasks": [{
    "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89", "user_id": "kXf2mPq8RtYvW3zAbC5dEfGhJ7nL9sU1",
    "title": "Buy milk", "description": null, "completed": false, "priority": "high",
    "tags": ["home", "shop"], "due_date": "2026-02-14", "completed_at": null, "position": "a0",
    "created_at": "2026-02-08T10:30:00.123456Z", "updated_at": "2026-02-08T10:30:00.123456Z", "version": 1
}], "count": 1, "total": 1, "next_cursor": null}))]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct TaskList {
    tasks: Vec<Task>,
    /// How many tasks are in this answer.
    #[schema(minimum = 0)]
    count: i64,
    /// How many tasks the parameters let through, on all pages together.
    #[schema(minimum = 0)]
    total: i64,
    /// Leads to the next page, if there is one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A task's id.
#[derive(Serialize, ToSchema)]
pub(crate) struct TaskId(Uuid);

/// An instant, a date-time of RFC 3339.
#[derive(Serialize, ToSchema)]
#[schema(format = DateTime, example = "2026-02-09T08:00:00Z")]
pub(crate) struct Instant(String);

/// A title: trimmed of white space, then 1 to 200 characters, none of them U+0000.
#[derive(Serialize, ToSchema)]
#[schema(
    pattern = r"^[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*[^\u0000\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]([^\u0000]{0,198}[^\u0000\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000])?[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*$",
    example = "Buy milk"
)]
pub(crate) struct Title(String);

/// A description, kept as it is; any character but U+0000.
#[derive(Serialize, ToSchema)]
#[schema(max_length = 2000, pattern = r"^[^\u0000]*$", example = "Two litres")]
pub(crate) struct Description(String);

/// A tag: trimmed of white space, then 1 to 50 characters, none of them U+0000.
#[derive(Serialize, ToSchema)]
#[schema(
    pattern = r"^[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*[^\u0000\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]([^\u0000]{0,48}[^\u0000\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000])?[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*$",
    example = "home"
)]
pub(crate) struct Tag(String);

/// A day, or an instant with its offset; given back in the form it came in.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum DueDate {
    /// A date of RFC 3339, such as `2026-03-01`.
    #[schema(value_type = String, format = Date)]
    Day(String),
    /// A date-time of RFC 3339, such as `2026-03-01T18:00:00+01:00`.
    #[schema(value_type = String, format = DateTime)]
    Instant(String),
}

/// The client's own ordering key: printable ASCII, sorted byte by byte.
#[derive(Serialize, ToSchema)]
#[schema(max_length = 64, pattern = "^[ -~]+$", example = "a0")]
pub(crate) struct Position(String);

/// A task to be made.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "title": "Buy milk", "description": "Two litres", "priority": "high", "tags": ["home", "shop"],
    "due_date": "2026-02-14", "position": "a0"
}))]
pub(crate) struct CreateTask {
    /// Chosen by the client, so that the request can be sent again; else by the server.
    id: Option<TaskId>,
    title: Title,
    description: Option<Description>,
    #[schema(default = false, required = false)]
    completed: bool,
    priority: Option<Priority>,
    /// One given twice is kept once.
    #[schema(max_items = 20)]
    tags: Option<Vec<Tag>>,
    due_date: Option<DueDate>,
    position: Option<Position>,
}

/// What is to change; at least one field.
#[derive(Serialize, ToSchema)]
#[schema(min_properties = 1, example = json!({"title": "Buy oat milk", "priority": null}))]
pub(crate) struct UpdateTask {
    #[schema(required = false)]
    title: Title,
    /// `null` clears it.
    description: Option<Description>,
    #[schema(required = false)]
    completed: bool,
    /// `null` clears it.
    priority: Option<Priority>,
    /// In place of all old ones; `null` is the same as `[]`.
    #[schema(max_items = 20)]
    tags: Option<Vec<Tag>>,
    /// `null` clears it.
    due_date: Option<DueDate>,
    /// `null` clears it.
    position: Option<Position>,
}

/// The state to set.
#[derive(ToSchema)]
#[schema(example = json!({"completed": true}))]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct CompleteTask {
    completed: bool,
}

/// Refusals of any operation that needs a token.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum Refused {
    /// No token, a token that does not count, or a path that names another user
    #[response(status = 401)]
    Unauthorized(ErrorBody<'static>),
    /// Too many requests; `Retry-After` tells when to try again
    #[response(status = 429)]
    RateLimited(ErrorBody<'static>),
    /// A defect of the server; `request_id` finds it in the log
    #[response(status = 500)]
    Internal(ErrorBody<'static>),
    /// Not carried out (`OVERLOADED`, `STORE_UNAVAILABLE`), or perhaps carried out (`OUTCOME_UNKNOWN`);
    /// `Retry-After` tells when to try again
    #[response(status = 503)]
    Unavailable(ErrorBody<'static>),
}

/// Refusals of an operation on one task.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum TaskMissing {
    /// The user has no such task
    #[response(status = 404)]
    NotFound(ErrorBody<'static>),
}

/// Refusals by a condition.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum ConditionFailed {
    /// The task is not in the version that `If-Match` names; `details` is the task as it is
    #[response(status = 412)]
    PreconditionFailed(ErrorBody<'static>),
}

/// Refusals of a key, where there is no body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum KeyRefused {
    /// The idempotency key is malformed, or was used for another request (`IDEMPOTENCY_KEY_REUSED`)
    #[response(status = 422)]
    Invalid(ErrorBody<'static>),
}

/// Refusals of a body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum BodyRefused {
    /// The body did not arrive in time
    #[response(status = 408)]
    Timeout(ErrorBody<'static>),
    /// The body is too large
    #[response(status = 413)]
    TooLarge(ErrorBody<'static>),
    /// The body is not JSON
    #[response(status = 415)]
    MediaType(ErrorBody<'static>),
    /// Fields are wrong (`VALIDATION_ERROR`): `details` lists every one. Or the idempotency key was used for
    /// another request (`IDEMPOTENCY_KEY_REUSED`)
    #[response(status = 422)]
    Invalid(ErrorBody<'static>),
}
