//! The task operations. Each extracts, parses, makes one call and maps what came of it.

use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};

use crate::domain::{Command, NewTask, Patch, TaskId};
use crate::http::error::refusals::{
    BodyRefused, ConditionFailed, KeyRefused, Refused, ResyncRequired, TaskMissing,
};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::request::body::{Body, ParsedBody};
use crate::http::request::caller::Caller;
use crate::http::request::conditional::{EntityTag, IfMatch, MinSeq};
use crate::http::request::idempotency_key::KeyHeader;
use crate::http::request::list_query::{self, TaskQuery};
use crate::http::request::path::{TaskPath, UserPath};
use crate::http::request::query::with_cursor;
use crate::http::request::task_body::{Completed, TaskBody, TaskList};
use crate::http::response::task::{listed, unmodified};
use crate::lane::{Query, Snapshot};

/// What a handler comes to.
pub(crate) type HandlerResult = Result<HttpResponse, ApiError>;

/// A user with more tasks than this has them searched and sorted aside, where no other request waits.
pub(crate) const MANY: usize = 2000;

/// List the tasks
///
/// All of them, newest first (by `created_at`, then `id`, descending), unless parameters say otherwise;
/// never silently capped. With `limit` the answer is a page: `next_cursor`, and `Link` with
/// `rel="next"`, lead to the next one, whatever is added or removed meanwhile. `If-None-Match` with the
/// list's `ETag` spares an unchanged list, whatever its parameters. Unknown parameters are ignored.
#[utoipa::path(
    get, path = "", tag = "tasks", params(UserPath, TaskQuery, MinSeq),
    responses(
        (status = 200, description = "The tasks", body = TaskList, headers(
            ("ETag" = String, description = "`W/\"<seq>\"`"),
            ("Link" = String, description = "`<…>; rel=\"next\"`, if there is a next page"),
            ("X-Tasklane-Seq" = i64, description = "The seq at which this is true"))),
        (status = 304, description = "The client's copy is still good"),
        (status = 422, description = "Parameters are wrong; `details` lists every one", body = ErrorBody),
        ResyncRequired, Refused,
    )
)]
pub(crate) async fn list_tasks(caller: Caller) -> HandlerResult {
    let request = caller.request();
    let query = list_query::parse(request.query_string())?;
    let snapshot = caller.snapshot().await?;
    let seq = snapshot.seq();
    let whole = query.limit.is_none_or(|limit| limit >= snapshot.len());
    if whole && query == (Query { limit: query.limit, ..Query::default() }) {
        return Ok(whole_list(request, &snapshot));
    }
    if let Some(unmodified) = unmodified(request, &EntityTag::weak(seq), seq) {
        return Ok(unmodified);
    }
    let (body, cursor) = if snapshot.len() > MANY {
        web::block(move || page(&snapshot, &query)).await?
    } else {
        page(&snapshot, &query)
    };
    let uri = request.uri();
    let next = cursor.map(|cursor| with_cursor(uri.path(), uri.query().unwrap_or_default(), &cursor));
    Ok(listed(seq, body, next))
}

/// All of a user's tasks, in their usual order.
pub(crate) fn whole_list(request: &HttpRequest, snapshot: &Snapshot) -> HttpResponse {
    let seq = snapshot.seq();
    unmodified(request, &EntityTag::weak(seq), seq).unwrap_or_else(|| listed(seq, snapshot.list(), None))
}

fn page(snapshot: &Snapshot, query: &Query) -> (Bytes, Option<String>) {
    let page = snapshot.select(query);
    (page.body(), page.next_cursor())
}

/// Create a task
///
/// A client may choose the `id`, which makes the request safe to send again: the same create answers
/// 200 with the stored task, and writes nothing. An `Idempotency-Key` does so without an `id`.
#[utoipa::path(
    post, path = "", tag = "tasks", params(UserPath, KeyHeader), request_body = NewTask,
    responses(
        (status = 201, description = "The new task", body = TaskBody, headers(
            ("Location" = String, description = "The task's path"),
            ("ETag" = String, description = "`\"<version>\"`"),
            ("Idempotent-Replayed" = String, description = "`true`: done before under this key; the answer is the one from then"),
            ("X-Tasklane-Seq" = i64, description = "This write's own seq: the task's version"))),
        (status = 200, description = "The same create came before; the stored task", body = TaskBody, headers(
            ("ETag" = String, description = "`\"<version>\"`"),
            ("X-Tasklane-Seq" = i64, description = "The seq at which this is true"))),
        (status = 409, description = "The id belongs to another task (`CONFLICT`), or there are as many tasks as allowed (`QUOTA_EXCEEDED`)", body = ErrorBody),
        BodyRefused, Refused,
    )
)]
pub(crate) async fn create_task(caller: Caller, body: Body) -> HandlerResult {
    let ParsedBody { form, bytes } = body.read::<NewTask>().await?;
    let answer = caller.change(Command::CreateTask(Box::new(form)), &bytes).await?;
    Ok(caller.written(&answer))
}

/// Read a task
#[utoipa::path(
    get, path = "", tag = "tasks", params(UserPath, TaskPath, MinSeq),
    responses(
        (status = 200, description = "The task", body = TaskBody, headers(
            ("ETag" = String, description = "`\"<version>\"`"),
            ("X-Tasklane-Seq" = i64, description = "The seq at which this is true"))),
        (status = 304, description = "The client's copy is still good"),
        (status = 422, description = "`X-Tasklane-Min-Seq` is no seq", body = ErrorBody),
        TaskMissing, ResyncRequired, Refused,
    )
)]
pub(crate) async fn get_task(caller: Caller) -> HandlerResult {
    let id = caller.task_id()?;
    one_task(&caller, &*caller.snapshot().await?, id)
}

/// A task, if there is one of this id.
pub(crate) fn one_task(caller: &Caller, snapshot: &Snapshot, id: TaskId) -> HandlerResult {
    let task = snapshot.get(id).ok_or_else(|| ApiError::no_task(Some(snapshot.seq())))?;
    Ok(caller.task(task, snapshot.seq()))
}

/// Change a task
///
/// What is left out stays; `null` clears (for `tags` it is the same as `[]`). `PUT` and `PATCH` do the
/// same. With `If-Match` the task changes only if it is still in that version.
#[utoipa::path(
    patch, path = "", tag = "tasks", params(UserPath, TaskPath, IfMatch, KeyHeader),
    request_body = Patch,
    responses(
        (status = 200, description = "The task as it is now", body = TaskBody, headers(
            ("ETag" = String, description = "`\"<version>\"`"),
            ("Idempotent-Replayed" = String, description = "`true`: done before under this key; the answer is the one from then"),
            ("X-Tasklane-Seq" = i64, description = "This write's own seq: the task's version"))),
        TaskMissing, ConditionFailed, BodyRefused, Refused,
    )
)]
pub(crate) async fn update_task(caller: Caller, body: Body) -> HandlerResult {
    let id = caller.task_id()?;
    let ParsedBody { form, bytes } = body.read::<Patch>().await?;
    let answer = caller.change(Command::UpdateTask { id, patch: Box::new(form) }, &bytes).await?;
    Ok(caller.written(&answer))
}

/// Tick or untick a task
///
/// With an empty body the state is flipped. `completed_at` is set and cleared with it.
#[utoipa::path(
    patch, path = "", tag = "tasks", params(UserPath, TaskPath, IfMatch, KeyHeader),
    request_body = Completed,
    responses(
        (status = 200, description = "The task as it is now", body = TaskBody, headers(
            ("ETag" = String, description = "`\"<version>\"`"),
            ("Idempotent-Replayed" = String, description = "`true`: done before under this key; the answer is the one from then"),
            ("X-Tasklane-Seq" = i64, description = "This write's own seq: the task's version"))),
        TaskMissing, ConditionFailed, BodyRefused, Refused,
    )
)]
pub(crate) async fn complete_task(caller: Caller, body: Body) -> HandlerResult {
    let id = caller.task_id()?;
    let ParsedBody { form, bytes } = body.read_unless_empty().await?;
    let completed = form.map(|Completed(completed)| completed);
    let answer = caller.change(Command::CompleteTask { id, completed }, &bytes).await?;
    Ok(caller.written(&answer))
}

/// Delete a task
#[utoipa::path(
    delete, path = "", tag = "tasks", params(UserPath, TaskPath, IfMatch, KeyHeader),
    responses(
        (status = 204, description = "The task is gone", headers(
            ("Idempotent-Replayed" = String, description = "`true`: done before under this key; the answer is the one from then"),
            ("X-Tasklane-Seq" = i64, description = "This deletion's own seq"))),
        TaskMissing, ConditionFailed, KeyRefused, Refused,
    )
)]
pub(crate) async fn delete_task(caller: Caller) -> HandlerResult {
    let id = caller.task_id()?;
    let answer = caller.change(Command::DeleteTask { id }, b"").await?;
    Ok(caller.written(&answer))
}
