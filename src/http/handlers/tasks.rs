//! The operations on tasks: `/tasks` and `/tasks/{id}`.

use std::sync::Arc;

use actix_web::error::BlockingError;
use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::IntoResponses;

use crate::domain::{Command, NewTask, Patch, TaskId};
use crate::http::error::refusals::{
    BodyRefused, ConditionFailed, KeyRefused, Refused, ResyncRequired, TaskMissing,
};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::request::list_query::{self, TaskQuery};
use crate::http::request::query::with_cursor;
use crate::http::request::task_body::{Completed, TaskBody, TaskList};
use crate::http::request::{Body, Caller, EntityTag, IfMatch, KeyHeader, MinSeq, TaskPath, UserPath};
use crate::http::response::task::{listed, unmodified};
use crate::lane::{Query, Snapshot};

/// The result of a handler.
pub(crate) type HandlerResult = Result<HttpResponse, ApiError>;

/// With more tasks than this, searching, sorting and counting happen on the blocking thread pool.
const MANY_TASKS: usize = 2000;

/// List the tasks
///
/// All of them, newest first (by `created_at`, then `id`, descending), unless parameters say otherwise;
/// never silently capped. With `limit` the response is a page: `next_cursor`, and `Link` with
/// `rel="next"`, lead to the next one, whatever is created or deleted meanwhile. `If-None-Match` with the
/// list's `ETag` gives 304 for an unchanged list, whatever its parameters. Unknown parameters are ignored.
#[utoipa::path(
    get, path = "", tag = "tasks", params(UserPath, TaskQuery, MinSeq),
    responses(
        (status = 200, description = "The tasks", body = TaskList, headers(
            ("ETag" = String, description = "`W/\"<seq>\"`"),
            ("Link" = String, description = "`<…>; rel=\"next\"`, if there is a next page"))),
        (status = 304, description = "The client's copy is current"),
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
    let page = move |snapshot: &Snapshot| {
        let page = snapshot.select(&query);
        (page.body(), page.next_cursor())
    };
    let (body, cursor) = compute(snapshot, page).await?;
    let uri = request.uri();
    let next = cursor.map(|cursor| with_cursor(uri.path(), uri.query().unwrap_or_default(), &cursor));
    Ok(listed(seq, body, next))
}

/// All of a user's tasks, in the default order.
pub(crate) fn whole_list(request: &HttpRequest, snapshot: &Snapshot) -> HttpResponse {
    let seq = snapshot.seq();
    unmodified(request, &EntityTag::weak(seq), seq).unwrap_or_else(|| listed(seq, snapshot.list(), None))
}

/// Computes something from a user's tasks; if they are many, where no other request waits for it.
pub(crate) async fn compute<T: Send + 'static>(
    snapshot: Arc<Snapshot>,
    work: impl FnOnce(&Snapshot) -> T + Send + 'static,
) -> Result<T, BlockingError> {
    if snapshot.len() > MANY_TASKS { web::block(move || work(&snapshot)).await } else { Ok(work(&snapshot)) }
}

/// Create a task
///
/// A client may choose the `id`, which makes the request safe to retry: the same create again answers 200
/// with the stored task, and writes nothing. An `Idempotency-Key` does the same without an `id`.
#[utoipa::path(
    post, path = "", tag = "tasks", params(UserPath, KeyHeader), request_body = NewTask,
    responses(
        (status = 201, description = "The new task", body = TaskBody, headers(
            ("Location" = String, description = "The task's path"),
            ("ETag" = String, description = "`\"<version>\"`"),
            ("Idempotent-Replayed" = String, description = "`true`: a repeat under the same key; this is the first response again"))),
        (status = 200, description = "A repeat of the same create; the stored task", body = TaskBody, headers(
            ("ETag" = String, description = "`\"<version>\"`"))),
        (status = 409, description = "The id belongs to another task (`CONFLICT`), or there are as many tasks as allowed (`QUOTA_EXCEEDED`)", body = ErrorBody),
        BodyRefused, Refused,
    )
)]
pub(crate) async fn create_task(caller: Caller, body: Body) -> HandlerResult {
    let (new, bytes) = body.read::<NewTask>().await?;
    let reply = caller.change(Command::CreateTask(Box::new(new)), &bytes).await?;
    caller.written(&reply)
}

/// Read a task
#[utoipa::path(
    get, path = "", tag = "tasks", params(UserPath, TaskPath, MinSeq),
    responses(
        (status = 200, description = "The task", body = TaskBody, headers(
            ("ETag" = String, description = "`\"<version>\"`"))),
        (status = 304, description = "The client's copy is current"),
        (status = 422, description = "`X-Tasklane-Min-Seq` is not a seq", body = ErrorBody),
        TaskMissing, ResyncRequired, Refused,
    )
)]
pub(crate) async fn get_task(caller: Caller) -> HandlerResult {
    let id = caller.task_id()?;
    one_task(&caller, &*caller.snapshot().await?, id)
}

/// The task with this id, if there is one.
pub(crate) fn one_task(caller: &Caller, snapshot: &Snapshot, id: TaskId) -> HandlerResult {
    let task = snapshot.get(id).ok_or_else(|| ApiError::no_task(Some(snapshot.seq())))?;
    Ok(caller.task(task, snapshot.seq()))
}

/// The task as it is now
#[derive(IntoResponses)]
#[response(status = 200, headers(
    ("ETag" = String, description = "`\"<version>\"`"),
    ("Idempotent-Replayed" = String, description = "`true`: a repeat under the same key; this is the first response again")))]
#[expect(dead_code, reason = "only its schema is used")]
struct ChangedTask(TaskBody);

/// Change a task
///
/// Fields that are left out stay; `null` clears (for `tags` it is the same as `[]`). `PUT` and `PATCH` do
/// the same. With `If-Match` the task changes only if it is still in that version.
#[utoipa::path(
    patch, path = "", tag = "tasks", params(UserPath, TaskPath, IfMatch, KeyHeader), request_body = Patch,
    responses(ChangedTask, TaskMissing, ConditionFailed, BodyRefused, Refused)
)]
pub(crate) async fn update_task(caller: Caller, body: Body) -> HandlerResult {
    let id = caller.task_id()?;
    let (patch, bytes) = body.read::<Patch>().await?;
    let reply = caller.change(Command::UpdateTask { id, patch: Box::new(patch) }, &bytes).await?;
    caller.written(&reply)
}

/// Complete or reopen a task
///
/// With an empty body the state is flipped. `completed_at` is set and cleared with it.
#[utoipa::path(
    patch, path = "", tag = "tasks", params(UserPath, TaskPath, IfMatch, KeyHeader), request_body = Completed,
    responses(ChangedTask, TaskMissing, ConditionFailed, BodyRefused, Refused)
)]
pub(crate) async fn complete_task(caller: Caller, body: Body) -> HandlerResult {
    let id = caller.task_id()?;
    let (state, bytes) = body.read_unless_empty().await?;
    let completed = state.map(|Completed(completed)| completed);
    let reply = caller.change(Command::CompleteTask { id, completed }, &bytes).await?;
    caller.written(&reply)
}

/// Delete a task
#[utoipa::path(
    delete, path = "", tag = "tasks", params(UserPath, TaskPath, IfMatch, KeyHeader),
    responses(
        (status = 204, description = "The task is deleted", headers(
            ("Idempotent-Replayed" = String, description = "`true`: a repeat under the same key; this is the first response again"))),
        TaskMissing, ConditionFailed, KeyRefused, Refused,
    )
)]
pub(crate) async fn delete_task(caller: Caller) -> HandlerResult {
    let id = caller.task_id()?;
    let reply = caller.change(Command::DeleteTask { id }, b"").await?;
    caller.written(&reply)
}
