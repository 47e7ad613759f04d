//! The operations on tasks: `/tasks` and `/tasks/{id}`.

use std::sync::Arc;

use actix_web::HttpResponse;
use utoipa::IntoResponses;

use crate::domain::{Command, NewTask, Patch, TaskId};
use crate::http::api::Api;
use crate::http::error::refusals::{
    BodyRefused, ConditionFailed, KeyRefused, Refused, ResyncRequired, TaskMissing,
};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::request::body::ReadBody;
use crate::http::request::list_query::{self, TaskQuery};
use crate::http::request::query::with_cursor;
use crate::http::request::task_body::{Completed, TaskBody, TaskList};
use crate::http::request::{Body, Caller, Conditional, EntityTag, KeyHeader, MinSeq, TaskPath, UserPath};
use crate::http::response::large::of_tasks;
use crate::http::response::task::listed;
use crate::lane::{Query, Selection, Snapshot};

/// The result of a handler.
pub(crate) type HandlerResult = Result<HttpResponse, ApiError>;

/// List the tasks
///
/// All of them, newest first (by `created_at`, then `id`, descending), unless parameters say otherwise;
/// never silently capped. With `limit` the response is a page: `next_cursor`, and `Link` with
/// `rel="next"`, lead to the next one, whatever is created or deleted meanwhile. `If-None-Match` with the
/// list's `ETag` gives 304 for an unchanged list, whatever its parameters. Unknown parameters are ignored.
#[utoipa::path(
    get, path = "", tag = "tasks", params(UserPath, TaskQuery, MinSeq, Conditional),
    responses(
        (status = 200, description = "The tasks", body = TaskList, headers(
            ("ETag" = String, description = "`W/\"<seq>-<lineage>\"`"),
            ("Link" = String, description = "`<…>; rel=\"next\"`, if there is a next page"))),
        (status = 304, description = "The client's copy is current"),
        (status = 422, description = "Parameters are wrong; `details` lists every one", body = ErrorBody),
        ConditionFailed, ResyncRequired, Refused,
    )
)]
pub(crate) async fn list_tasks(caller: Caller) -> HandlerResult {
    let request = caller.request();
    let (query, lineages) = list_query::parse(request.query_string())?;
    let snapshot = caller.snapshot().await?;
    let at = snapshot.revision();
    if lineages.iter().any(|lineage| *lineage != at.lineage) {
        return Err(ApiError::other_lineage(at));
    }
    let whole = query.limit.is_none_or(|limit| limit >= snapshot.len());
    if whole && query == (Query { limit: query.limit, ..Query::default() }) {
        return whole_list(&caller, &snapshot);
    }
    if let Some(unmodified) = caller.condition(&EntityTag::weak(at), at)? {
        return Ok(unmodified);
    }
    let (registry, user) = (caller.registry(), caller.who().user());
    let page = match snapshot.usual_page(&query) {
        Some(page) => page,
        None if snapshot.selects_quickly(&query) => snapshot.select(&query),
        None => {
            let mut selection = Selection::new(snapshot, query);
            registry.work().run_slices(user, move || selection.step()).await?
        }
    };
    let uri = request.uri();
    let next = page.next_cursor();
    let next = next.map(|cursor| with_cursor(uri.path(), uri.query().unwrap_or_default(), &cursor));
    let next = next.map(|path| Api::of(request).link(&path));
    Ok(listed(at, of_tasks(registry.budget(), user, page.body())?, next))
}

/// All of a user's tasks, in the default order.
pub(crate) fn whole_list(caller: &Caller, snapshot: &Arc<Snapshot>) -> HandlerResult {
    let at = snapshot.revision();
    if let Some(unmodified) = caller.condition(&EntityTag::weak(at), at)? {
        return Ok(unmodified);
    }
    let (registry, who) = (caller.registry(), caller.who());
    let body = of_tasks(registry.budget(), who.user(), registry.list(who, snapshot))?;
    Ok(listed(at, body, None))
}

/// Create a task
///
/// A client may choose the `id`, which makes the request safe to retry: the same create again answers 200
/// with the stored task, and writes nothing. An `Idempotency-Key` does the same without an `id`. Conditions are
/// those of the list: `If-None-Match: *` never holds.
#[utoipa::path(
    post, path = "", tag = "tasks", params(UserPath, Conditional, KeyHeader), request_body = NewTask,
    responses(
        (status = 201, description = "The new task", body = TaskBody, headers(
            ("Location" = String, description = "The task's path"),
            ("ETag" = String, description = "`\"<version>-<lineage>\"`"),
            ("Idempotent-Replayed" = String, description = "`true`: a repeat under the same key; this is the first response again"))),
        (status = 200, description = "A repeat of the same create; the stored task", body = TaskBody, headers(
            ("ETag" = String, description = "`\"<version>-<lineage>\"`"))),
        (status = 409, description = "The id belongs to another task (`CONFLICT`), or there are as many tasks as allowed (`QUOTA_EXCEEDED`)", body = ErrorBody),
        ConditionFailed, BodyRefused, Refused,
    )
)]
pub(crate) async fn create_task(caller: Caller, body: Body) -> HandlerResult {
    let (new, body) = body.read::<NewTask>(caller.who()).await?;
    let reply = caller.change(Command::CreateTask(Box::new(new)), body).await?;
    caller.written(&reply)
}

/// Read a task
#[utoipa::path(
    get, path = "", tag = "tasks", params(UserPath, TaskPath, MinSeq, Conditional),
    responses(
        (status = 200, description = "The task", body = TaskBody, headers(
            ("ETag" = String, description = "`\"<version>-<lineage>\"`"))),
        (status = 304, description = "The client's copy is current"),
        (status = 422, description = "`X-Tasklane-Min-Seq` is not a seq", body = ErrorBody),
        TaskMissing, ConditionFailed, ResyncRequired, Refused,
    )
)]
pub(crate) async fn get_task(caller: Caller) -> HandlerResult {
    let id = caller.task_id()?;
    one_task(&caller, &*caller.snapshot().await?, id)
}

/// The task with this id, if there is one.
pub(crate) fn one_task(caller: &Caller, snapshot: &Snapshot, id: TaskId) -> HandlerResult {
    let task = snapshot.get(id).ok_or_else(|| ApiError::no_task(Some(snapshot.revision())))?;
    caller.task(task, snapshot.revision())
}

/// The task as it is now
#[derive(IntoResponses)]
#[response(status = 200, headers(
    ("ETag" = String, description = "`\"<version>-<lineage>\"`"),
    ("Idempotent-Replayed" = String, description = "`true`: a repeat under the same key; this is the first response again")))]
#[expect(dead_code, reason = "only its schema is used")]
struct ChangedTask(TaskBody);

/// Change a task
///
/// Fields that are left out stay; `null` clears (for `tags` it is the same as `[]`). `PUT` and `PATCH` do
/// the same. With `If-Match` the task changes only if it is still in that version.
#[utoipa::path(
    patch, path = "", tag = "tasks", params(UserPath, TaskPath, Conditional, KeyHeader), request_body = Patch,
    responses(ChangedTask, TaskMissing, ConditionFailed, BodyRefused, Refused)
)]
pub(crate) async fn update_task(caller: Caller, body: Body) -> HandlerResult {
    let id = caller.task_id()?;
    let (patch, body) = body.read::<Patch>(caller.who()).await?;
    let reply = caller.change(Command::UpdateTask { id, patch: Box::new(patch) }, body).await?;
    caller.written(&reply)
}

/// Complete or reopen a task
///
/// With an empty body the state is flipped. `completed_at` is set and cleared with it.
#[utoipa::path(
    patch, path = "", tag = "tasks", params(UserPath, TaskPath, Conditional, KeyHeader), request_body = Completed,
    responses(ChangedTask, TaskMissing, ConditionFailed, BodyRefused, Refused)
)]
pub(crate) async fn complete_task(caller: Caller, body: Body) -> HandlerResult {
    let id = caller.task_id()?;
    let (state, body) = body.read_unless_empty(caller.who()).await?;
    let completed = state.map(|Completed(completed)| completed);
    let reply = caller.change(Command::CompleteTask { id, completed }, body).await?;
    caller.written(&reply)
}

/// Delete a task
#[utoipa::path(
    delete, path = "", tag = "tasks", params(UserPath, TaskPath, Conditional, KeyHeader),
    responses(
        (status = 204, description = "The task is deleted", headers(
            ("Idempotent-Replayed" = String, description = "`true`: a repeat under the same key; this is the first response again"))),
        TaskMissing, ConditionFailed, KeyRefused, Refused,
    )
)]
pub(crate) async fn delete_task(caller: Caller) -> HandlerResult {
    let id = caller.task_id()?;
    let reply = caller.change(Command::DeleteTask { id }, ReadBody::default()).await?;
    caller.written(&reply)
}
