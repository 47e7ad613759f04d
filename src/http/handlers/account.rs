//! All of a user's data at once: taken out, put in, removed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, HeaderValue};
use actix_web::web::Bytes;
use futures_util::stream::iter;
use percent_encoding::percent_decode;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::tasks::HandlerResult;
use crate::domain::{Command, Operation, Task, Timestamp};
use crate::error::Error;
use crate::http::api::Api;
use crate::http::error::refusals::{BodyRefused, KeyRefused, Refused, ResyncRequired};
use crate::http::error::{ApiError, Code, ErrorBody, FieldError};
use crate::http::header_names::{CONFIRM, JSON, SEQ};
use crate::http::request::body::{Allowance, Body, ParsedBody};
use crate::http::request::caller::Caller;
use crate::http::request::conditional::MinSeq;
use crate::http::request::idempotency_key::KeyHeader;
use crate::http::request::json_fields::{self, Faults, RawObject};
use crate::http::request::path::UserPath;
use crate::http::request::task_body::{self, TaskBody, import_example};
use crate::http::response::task::{found, mark_replayed};
use crate::lane::{Effect, Snapshot, TaskEntry, Work};

/// Tasks of one import at most. It is one commit, and while it is under way no other user's is: so many take
/// some seconds, and end within the time a write may take. Larger exports go in in parts.
const MOST_TASKS: usize = 100_000;

/// What the body of an import is allowed: a hundred thousand tasks of a usual size.
const ALLOWANCE: Allowance = Allowance { bytes: 64 << 20, time: Duration::from_mins(2) };

/// Bytes of one chunk of an export, nearly.
const CHUNK: usize = 64 << 10;

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
    tasks: Vec<TaskBody>,
}

/// Take all tasks out
///
/// As of one seq, newest first. `import` takes the same form.
#[utoipa::path(
    get, path = "", tag = "account", params(UserPath, MinSeq),
    responses(
        (status = 200, description = "Everything", body = Export, headers(
            ("X-Tasklane-Seq" = i64, description = "The seq at which this is true"))),
        (status = 422, description = "`X-Tasklane-Min-Seq` is no seq", body = ErrorBody),
        ResyncRequired, Refused,
    )
)]
pub(crate) async fn export_tasks(caller: Caller) -> HandlerResult {
    let snapshot = caller.snapshot().await?;
    let mut response = HttpResponse::build(StatusCode::OK);
    response.insert_header((CONTENT_TYPE, JSON)).insert_header((SEQ, snapshot.seq().get()));
    let name = HeaderValue::from_static("attachment; filename=\"tasks.json\"");
    response.insert_header((CONTENT_DISPOSITION, name));
    let chunks = Chunks::new(&snapshot, caller.who().subject());
    Ok(response.streaming(iter(chunks.map(Ok::<_, Infallible>))))
}

/// An export, chunk by chunk: nothing but the tasks themselves is in memory.
struct Chunks {
    /// What comes before the next task.
    next: Vec<u8>,
    tasks: std::vec::IntoIter<Arc<TaskEntry>>,
    done: bool,
}

impl Chunks {
    fn new(snapshot: &Snapshot, subject: &str) -> Self {
        let mut next = b"{\"user_id\":".to_vec();
        serde_json::to_writer(&mut next, subject).expect("text is always valid JSON");
        let (seq, now) = (snapshot.seq(), Timestamp::now().to_rfc3339());
        next.extend_from_slice(format!(",\"seq\":{seq},\"exported_at\":\"{now}\",\"tasks\":[").as_bytes());
        let tasks: Vec<_> = snapshot.newest_first().cloned().collect();
        Self { next, tasks: tasks.into_iter(), done: false }
    }
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        let mut chunk = std::mem::take(&mut self.next);
        while chunk.len() < CHUNK {
            let Some(task) = self.tasks.next() else {
                chunk.extend_from_slice(b"]}");
                self.done = true;
                break;
            };
            chunk.extend_from_slice(&task.json);
            if self.tasks.len() > 0 {
                chunk.push(b',');
            }
        }
        Some(chunk.into())
    }
}

/// Tasks to be put in: an export, or what has its form.
#[derive(ToSchema)]
#[schema(example = json!({"tasks": [import_example()]}))]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct Import {
    tasks: Vec<Task>,
}

/// What came of an import.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"imported": 120, "unchanged": 3, "seq": 127}))]
pub(crate) struct ImportResult {
    /// Tasks that are new.
    #[schema(value_type = i64, minimum = 0)]
    imported: usize,
    /// Tasks that were there already, just as they are.
    #[schema(value_type = i64, minimum = 0)]
    unchanged: usize,
    /// The seq of the last task that is new; the seq as it was if there is none.
    #[schema(minimum = 0)]
    seq: i64,
}

/// Put tasks in
///
/// The form is that of `export`; `user_id`, `seq` and the tasks' versions are ignored. All of them, or none,
/// in one commit. Ids, `created_at`, `updated_at` and `completed_at` are kept. A task that is there already,
/// just as it is, is left alone, so that an import can be sent again; another task under the same id is a 409.
/// The body may have 100,000 tasks and 64 MiB; what is larger goes in in parts.
#[utoipa::path(
    post, path = "", tag = "account", params(UserPath, KeyHeader), request_body = Import,
    responses(
        (status = 200, description = "They are in", body = ImportResult, headers(
            ("Idempotent-Replayed" = String, description = "`true`: done before under this key; the answer is the one from then"),
            ("X-Tasklane-Seq" = i64, description = "The seq of the last task"))),
        (status = 409, description = "An id belongs to another task (`CONFLICT`), or there would be more tasks than allowed (`QUOTA_EXCEEDED`); `details.operation` is the task's place in the list, from 0", body = ErrorBody),
        BodyRefused, Refused,
    )
)]
pub(crate) async fn import_tasks(caller: Caller, body: Body) -> HandlerResult {
    let _permit = Api::of(caller.request())
        .imports
        .try_acquire()
        .map_err(|_| Error::Overloaded("too many imports are under way"))?;
    let ParsedBody { form: ImportedTasks(operations), bytes } = body.read_large(ALLOWANCE, parse).await?;
    // One after the other: two in one commit would take twice the time, and everybody else's writes with them.
    let _turn = Api::of(caller.request()).importing.lock().await;
    let answer = caller.submit_all(operations, &bytes).await?;
    let is_new = |effect: &&Effect| matches!(effect, Effect::Imported);
    let imported = answer.effects.iter().filter(is_new).count();
    let result = ImportResult { imported, unchanged: answer.effects.len() - imported, seq: answer.seq.get() };
    let body = serde_json::to_vec(&result).expect("numbers are always valid JSON");
    let mut response = found(StatusCode::OK, answer.seq, body.into());
    mark_replayed(&mut response, &answer);
    Ok(response)
}

/// One import for each task.
pub(crate) struct ImportedTasks(Vec<Operation>);

pub(crate) fn parse(body: &[u8]) -> Result<ImportedTasks, Vec<FieldError>> {
    let mut faults = Faults::of_body();
    let operations = json_fields::text(body, &mut faults).and_then(|text| read(text, &mut faults));
    faults.or(operations)
}

fn read(text: &str, faults: &mut Faults) -> Option<ImportedTasks> {
    let import = RawObject::parse(text, &["tasks"], faults)?;
    let tasks =
        faults.require("tasks", import.get("tasks"), |raw| json_fields::list(raw, "must be a list"))?;
    if tasks.len() > MOST_TASKS {
        faults.note("tasks", "must be at most 100000 tasks");
        return None;
    }
    let mut operations = Vec::with_capacity(tasks.len());
    for (index, task) in tasks.into_iter().enumerate() {
        if faults.is_full() {
            return None;
        }
        let name = format!("tasks[{index}]");
        faults.enter(name.clone(), format!("{name}."));
        let task = task_body::read::<Task>(task.get(), faults);
        operations.extend(task.map(|task| Command::ImportTask(Box::new(task)).into()));
    }
    Some(ImportedTasks(operations))
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

/// Remove all of a user's data
///
/// Tasks, deletions, idempotency keys, e-mail address: all that is kept but the seq, which goes on, so that
/// no client takes old for new. Other clients get `resync` and 410. There is no way back.
#[utoipa::path(
    delete, path = "", tag = "account", params(UserPath, ConfirmHeader, KeyHeader),
    responses(
        (status = 204, description = "Nothing is kept any more", headers(
            ("X-Tasklane-Seq" = i64, description = "This removal's own seq"))),
        (status = 428, description = "`X-Confirm-Delete` is missing, or is not the user's id", body = ErrorBody),
        KeyRefused, Refused,
    )
)]
pub(crate) async fn delete_user(caller: Caller) -> HandlerResult {
    if !confirms(caller.request().headers(), caller.who().subject()) {
        let message = "The header X-Confirm-Delete must hold the user's id, as the token says it";
        return Err(ApiError::new(Code::PreconditionRequired, message));
    }
    let answer = caller.submit(Work::Erase, b"").await?;
    Ok(caller.written(&answer))
}

/// Whether the one header names the user; where the id is not ASCII, percent-encoded as in a path.
pub(crate) fn confirms(headers: &HeaderMap, subject: &str) -> bool {
    let mut lines = headers.get_all(CONFIRM).map(HeaderValue::as_bytes);
    let line = lines.next().filter(|_| lines.next().is_none());
    line.is_some_and(|line| {
        line == subject.as_bytes() || percent_decode(line).decode_utf8().is_ok_and(|named| named == subject)
    })
}
