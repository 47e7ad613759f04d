//! All of a user's data at once: export, import, erasure.

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_DISPOSITION, HeaderMap, HeaderValue};
use percent_encoding::percent_decode;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::tasks::HandlerResult;
use crate::domain::{Command, Operation, Task, Timestamp};
use crate::http::error::refusals::{BodyRefused, ConditionFailed, KeyRefused, Refused, ResyncRequired};
use crate::http::error::{ApiError, Code, ErrorBody, FieldError};
use crate::http::header_names::CONFIRM;
use crate::http::request::body::{ReadBody, parse_large};
use crate::http::request::task_body::{self, TaskBody, import_example};
use crate::http::request::{Allowance, Body, Caller, Conditional, KeyHeader, MinSeq, UserPath, json_fields};
use crate::http::response::large::of_tasks;
use crate::http::response::task::{found, written_all};
use crate::lane::{Effect, TasksBody, Work};

/// Tasks of one import, at most; also in an error's message. So many take some seconds to store, which is
/// within the time that a write may take. Other users' writes do not wait for them.
const MOST_TASKS: usize = 100_000;

/// The limits of an import's body. 100,000 tasks of usual size fit.
const ALLOWANCE: Allowance = Allowance { bytes: 64 << 20, time: Duration::from_mins(2) };

/// An import of more bytes is large.
const LARGE: usize = 1 << 20;

/// How long a large import waits for others.
const TURN: Duration = Duration::from_secs(30);

/// All of a user's tasks.
#[derive(ToSchema)]
#[schema(example = json!({
    "user_id": "kXf2mPq8RtYvW3zAbC5dEfGhJ7nL9sU1", "seq": 7, "exported_at": "2026-02-08T10:30:00.123456Z",
    "tasks": []
}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct Export {
    user_id: String,
    /// The seq at which this is true.
    seq: u64,
    #[schema(format = DateTime)]
    exported_at: String,
    tasks: Vec<TaskBody>,
}

/// Export tasks
///
/// All of a user's tasks at one seq, newest first, in the form that `import` takes.
#[utoipa::path(
    get, path = "", tag = "account", params(UserPath, MinSeq, Conditional),
    responses(
        (status = 200, description = "All tasks", body = Export),
        (status = 304, description = "`If-None-Match: *`: there is an export"),
        (status = 422, description = "`X-Tasklane-Min-Seq` is not a seq", body = ErrorBody),
        ConditionFailed, ResyncRequired, Refused,
    )
)]
pub(crate) async fn export_tasks(caller: Caller) -> HandlerResult {
    let snapshot = caller.snapshot().await?;
    let mut start = b"{\"user_id\":".to_vec();
    serde_json::to_writer(&mut start, &**caller.who().subject()).expect("text is always valid JSON");
    let at = snapshot.revision();
    let (seq, now) = (at.seq, Timestamp::now().to_rfc3339());
    start.extend_from_slice(format!(",\"seq\":{seq},\"exported_at\":\"{now}\",\"tasks\":[").as_bytes());
    let registry = caller.registry();
    let tasks = TasksBody::Chunks(registry.all_tasks(caller.who(), &snapshot, start, b"]}".to_vec()));
    let mut response = found(StatusCode::OK, at, of_tasks(registry.budget(), caller.who().user(), tasks)?);
    let name = HeaderValue::from_static("attachment; filename=\"tasks.json\"");
    response.headers_mut().insert(CONTENT_DISPOSITION, name);
    Ok(response)
}

/// Tasks to import: an export, or JSON in the same form.
#[derive(ToSchema)]
#[schema(example = json!({"tasks": [import_example()]}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct Import {
    tasks: Vec<Task>,
}

/// The result of an import.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"imported": 120, "unchanged": 3, "seq": 127}))]
pub(crate) struct ImportResult {
    /// Tasks that are new.
    #[schema(value_type = u64)]
    imported: usize,
    /// Tasks that existed already, with the same content.
    #[schema(value_type = u64)]
    unchanged: usize,
    /// The seq of the last new task; as before if none is new.
    #[schema(minimum = 0)]
    seq: i64,
}

/// Import tasks
///
/// The form is that of `export`; `user_id`, `seq` and the tasks' versions are ignored. All tasks or none are
/// imported, and all are shown at once. Ids, `created_at`, `updated_at` and `completed_at` are kept. A task that exists
/// already with the same content is left alone, so that an import can be retried; another task with the same
/// id is a 409. The body may have 100,000 tasks and 64 MiB; split what is larger.
#[utoipa::path(
    post, path = "", tag = "account", params(UserPath, Conditional, KeyHeader), request_body = Import,
    responses(
        (status = 200, description = "The tasks are imported", body = ImportResult, headers(
            ("Idempotent-Replayed" = String, description = "`true`: a repeat under the same key; this is the first response again"))),
        (status = 409, description = "An id belongs to another task (`CONFLICT`), or there would be more tasks than allowed (`QUOTA_EXCEEDED`); `details.operation` is the task's index in the list, from 0", body = ErrorBody),
        ConditionFailed, BodyRefused, Refused,
    )
)]
pub(crate) async fn import_tasks(caller: Caller, body: Body) -> HandlerResult {
    let mut body = body.read_large(caller.who(), ALLOWANCE).await?;
    // One after the other: each is in memory a second time while it is read, and then as tasks.
    if let Some(permit) = body.permit.as_mut().filter(|_| body.bytes.len() > LARGE) {
        permit.wait_for_turn(TURN).await?;
    }
    let operations = parse_large(caller.registry().work(), caller.who(), &body, parse).await?;
    let (reply, _) = caller.submit(Work::Operations(operations), body, ApiError::of_operation).await?;
    let imported = reply.effects.iter().filter(|effect| matches!(effect, Effect::Imported)).count();
    let result = ImportResult { imported, unchanged: reply.effects.len() - imported, seq: reply.seq.get() };
    let body = serde_json::to_vec(&result).expect("numbers are always valid JSON");
    Ok(written_all(&reply, BoxBody::new(body)))
}

/// Reads an import: one operation for each task.
pub(crate) fn parse(body: &[u8]) -> Result<Vec<Operation>, Vec<FieldError>> {
    let lengths = 0..=MOST_TASKS;
    json_fields::read_list(body, "tasks", lengths, "must be at most 100000 tasks", |text, _, faults| {
        Some(Command::ImportTask(Arc::new(task_body::read(text, faults)?)).into())
    })
}

/// The confirmation of an erasure.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct ConfirmHeader {
    /// The user's id as in the token (not `me`), percent-encoded where it is not ASCII
    #[param(rename = "X-Confirm-Delete", example = "kXf2mPq8RtYvW3zAbC5dEfGhJ7nL9sU1")]
    x_confirm_delete: String,
}

/// Erase all of a user's data
///
/// Tasks, deletions, idempotency keys, e-mail address: everything except the seq, which goes on, so that no
/// client takes old data for new. Other clients get `resync` and 410. This cannot be undone.
#[utoipa::path(
    delete, path = "", tag = "account", params(UserPath, ConfirmHeader, Conditional, KeyHeader),
    responses(
        (status = 204, description = "All data is erased"),
        (status = 428, description = "`X-Confirm-Delete` is missing, or is not the user's id", body = ErrorBody),
        ConditionFailed, KeyRefused, Refused,
    )
)]
pub(crate) async fn delete_user(caller: Caller) -> HandlerResult {
    if !confirms(caller.request().headers(), caller.who().subject()) {
        let message = "The header X-Confirm-Delete must hold the user's id, as the token says it";
        return Err(ApiError::new(Code::PreconditionRequired, message));
    }
    let (reply, _) = caller.submit(Work::Erase, ReadBody::default(), ApiError::from).await?;
    caller.written(&reply)
}

/// Whether exactly one header line names the user, as is or percent-encoded.
pub(crate) fn confirms(headers: &HeaderMap, subject: &str) -> bool {
    let mut lines = headers.get_all(CONFIRM).map(HeaderValue::as_bytes);
    let line = lines.next().filter(|_| lines.next().is_none());
    line.is_some_and(|line| {
        line == subject.as_bytes() || percent_decode(line).decode_utf8().is_ok_and(|named| named == subject)
    })
}
