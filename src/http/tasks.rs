//! The task operations. Each extracts, parses, makes one call and maps what came of it.

use actix_web::HttpResponse;

use super::body::Body;
use super::caller::Caller;
use super::error::ApiError;
use super::forms::Completed;
use super::openapi::{
    BodyRefused, CompleteTask, CreateTask, Refused, Task, TaskList, TaskMissing, TaskPath, TaskQuery,
    UpdateTask, UserPath,
};
use crate::domain::Command;

/// What a handler comes to.
type Answer = Result<HttpResponse, ApiError>;

/// List the tasks
///
/// Newest first: by `created_at`, then `id`, descending. All of them, unless `limit` is given.
/// `If-None-Match` with the list's `ETag` spares an unchanged list.
#[utoipa::path(
    get, path = "/api/{user_id}/tasks", tag = "tasks", params(UserPath, TaskQuery),
    responses(
        (status = 200, description = "The tasks", body = TaskList, headers(
            ("ETag" = String, description = "`W/\"<seq>\"`"),
            ("X-Tasklane-Seq" = i64, description = "The seq at which this is true"))),
        (status = 304, description = "The client's copy is still good"),
        (status = 422, description = "`limit` is wrong", body = super::error::ErrorBody),
        Refused,
    )
)]
pub(super) async fn list_tasks(caller: Caller) -> Answer {
    let limit = caller.limit()?;
    let snapshot = caller.snapshot().await?;
    Ok(caller.list(&snapshot, limit))
}

/// Create a task
///
/// A client may choose the `id`, which makes the request safe to send again: the same create answers
/// 200 with the stored task, and writes nothing.
#[utoipa::path(
    post, path = "/api/{user_id}/tasks", tag = "tasks", params(UserPath), request_body = CreateTask,
    responses(
        (status = 201, description = "The new task", body = Task, headers(
            ("Location" = String, description = "The task's path"),
            ("ETag" = String, description = "`\"<version>\"`"),
            ("X-Tasklane-Seq" = i64, description = "This write's own seq: the task's version"))),
        (status = 200, description = "The same create came before; the stored task", body = Task, headers(
            ("ETag" = String, description = "`\"<version>\"`"),
            ("X-Tasklane-Seq" = i64, description = "The seq at which this is true"))),
        (status = 409, description = "The id belongs to another task (`CONFLICT`), or there are as many tasks as allowed (`QUOTA_EXCEEDED`)", body = super::error::ErrorBody),
        BodyRefused, Refused,
    )
)]
pub(super) async fn create_task(caller: Caller, body: Body) -> Answer {
    let new = body.read().await?;
    let written = caller.submit(Command::CreateTask(new)).await?;
    Ok(caller.written(&written))
}

/// Read a task
#[utoipa::path(
    get, path = "/api/{user_id}/tasks/{id}", tag = "tasks", params(TaskPath),
    responses(
        (status = 200, description = "The task", body = Task, headers(
            ("ETag" = String, description = "`\"<version>\"`"),
            ("X-Tasklane-Seq" = i64, description = "The seq at which this is true"))),
        (status = 304, description = "The client's copy is still good"),
        TaskMissing, Refused,
    )
)]
pub(super) async fn get_task(caller: Caller) -> Answer {
    let id = caller.task_id()?;
    let snapshot = caller.snapshot().await?;
    let task = snapshot.get(id).ok_or_else(|| ApiError::no_task(Some(snapshot.seq())))?;
    Ok(caller.task(task, snapshot.seq()))
}

/// Change a task
///
/// What is left out stays; `"description": null` clears it. `PUT` and `PATCH` do the same.
#[utoipa::path(
    patch, path = "/api/{user_id}/tasks/{id}", tag = "tasks", params(TaskPath), request_body = UpdateTask,
    responses(
        (status = 200, description = "The task as it is now", body = Task, headers(
            ("ETag" = String, description = "`\"<version>\"`"),
            ("X-Tasklane-Seq" = i64, description = "This write's own seq: the task's version"))),
        TaskMissing, BodyRefused, Refused,
    )
)]
pub(super) async fn update_task(caller: Caller, body: Body) -> Answer {
    let id = caller.task_id()?;
    let patch = body.read().await?;
    let written = caller.submit(Command::UpdateTask { id, patch }).await?;
    Ok(caller.written(&written))
}

/// Tick or untick a task
///
/// With an empty body the state is flipped.
#[utoipa::path(
    patch, path = "/api/{user_id}/tasks/{id}/complete", tag = "tasks", params(TaskPath),
    request_body = CompleteTask,
    responses(
        (status = 200, description = "The task as it is now", body = Task, headers(
            ("ETag" = String, description = "`\"<version>\"`"),
            ("X-Tasklane-Seq" = i64, description = "This write's own seq: the task's version"))),
        TaskMissing, BodyRefused, Refused,
    )
)]
pub(super) async fn complete_task(caller: Caller, body: Body) -> Answer {
    let id = caller.task_id()?;
    let completed = body.read_unless_empty().await?.map(|Completed(completed)| completed);
    let written = caller.submit(Command::CompleteTask { id, completed }).await?;
    Ok(caller.written(&written))
}

/// Delete a task
#[utoipa::path(
    delete, path = "/api/{user_id}/tasks/{id}", tag = "tasks", params(TaskPath),
    responses(
        (status = 204, description = "The task is gone", headers(
            ("X-Tasklane-Seq" = i64, description = "This deletion's own seq"))),
        TaskMissing, Refused,
    )
)]
pub(super) async fn delete_task(caller: Caller) -> Answer {
    let id = caller.task_id()?;
    let written = caller.submit(Command::DeleteTask { id }).await?;
    Ok(caller.written(&written))
}
