//! Many writes in one: all of them, or none.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::tasks::HandlerResult;
use crate::domain::{Command, Match, NewTask, Operation, Patch, Seq, TaskId};
use crate::http::error::refusals::{BodyRefused, Refused};
use crate::http::error::{ApiError, Details, ErrorBody, FieldError};
use crate::http::request::body::{Allowance, Body, ParsedBody};
use crate::http::request::caller::Caller;
use crate::http::request::conditional::matching;
use crate::http::request::form::{FieldValue, Form};
use crate::http::request::idempotency_key::KeyHeader;
use crate::http::request::json_fields::{self, Fault, Faults, RawObject, is_null};
use crate::http::request::path::UserPath;
use crate::http::request::task_body::{self, TaskBody};
use crate::http::response::task::{found, mark_replayed};
use crate::lane::{Effect, WriteReply};

/// Operations of one batch, at most.
const MOST_OPERATIONS: usize = 500;

/// What the body of a batch is allowed: 500 tasks of a usual size fit four times over.
const ALLOWANCE: Allowance = Allowance { bytes: 2 << 20, time: Duration::from_secs(30) };

/// Writes to be carried out together.
#[derive(ToSchema)]
#[schema(as = Batch, example = json!({"operations": [
    {"op": "create", "task": {"title": "Buy milk"}},
    {"op": "update", "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89", "task": {"title": "Buy bread"}, "if_match": 7},
    {"op": "complete", "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89", "completed": true},
    {"op": "delete", "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89"}
]}))]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) struct BatchBody {
    #[schema(min_items = 1, max_items = 500)]
    operations: Vec<BatchOperation>,
}

/// One write of a batch.
#[derive(Serialize, ToSchema)]
#[serde(tag = "op", rename_all = "lowercase")]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum BatchOperation {
    /// Make a task.
    Create {
        #[schema(value_type = NewTask)]
        task: Box<RawValue>,
    },
    /// Change a task.
    Update {
        id: Uuid,
        #[schema(value_type = Patch)]
        task: Box<RawValue>,
        if_match: Option<Version>,
    },
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
    task: TaskBody,
}

/// Carry out many writes at once
///
/// Up to 500 operations in their order, all of them or none, in one commit; each takes a seq of its own.
/// Each does what the call of its own would do, and may carry `if_match` (but for `create`): a version,
/// or the text of an `If-Match` header. An error has the status and code that call would give, and
/// `details` say which operation it is of; only wrong fields are all listed, as `operations[3].title`.
/// The body may have 2 MiB, or `MAX_BODY_BYTES` if that is more.
#[utoipa::path(
    post, path = "", tag = "tasks", params(UserPath, KeyHeader), request_body = BatchBody,
    responses(
        (status = 200, description = "What each operation did, in their order", body = BatchResults, headers(
            ("Idempotent-Replayed" = String, description = "`true`: done before under this key; the answer is the one from then"),
            ("X-Tasklane-Seq" = i64, description = "The seq of the last operation"))),
        (status = 404, description = "The user has no such task; `details.operation` says in which operation", body = ErrorBody),
        (status = 409, description = "`CONFLICT` or `QUOTA_EXCEEDED`, as for the create alone", body = ErrorBody),
        (status = 412, description = "A task is not in the version its `if_match` names; `details.task` is the task as it is", body = ErrorBody),
        BodyRefused, Refused,
    )
)]
pub(crate) async fn create_batch(caller: Caller, body: Body) -> HandlerResult {
    let ParsedBody { form, bytes } = body.read_large(ALLOWANCE, parse).await?;
    let answer = caller.submit_all(form.operations()?, &bytes).await?;
    let mut response = found(StatusCode::OK, answer.seq, results(&answer));
    mark_replayed(&mut response, &answer);
    Ok(response)
}

fn results(answer: &WriteReply) -> Bytes {
    let mut body = b"{\"results\":[".to_vec();
    for (index, effect) in answer.effects.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        let (status, task) = match effect {
            Effect::Created(task) => (StatusCode::CREATED, Some(task)),
            Effect::Exists(task) | Effect::Updated(task) => (StatusCode::OK, Some(task)),
            Effect::Deleted | Effect::Imported => (StatusCode::NO_CONTENT, None),
        };
        body.extend_from_slice(format!("{{\"status\":{}", status.as_u16()).as_bytes());
        if let Some(task) = task {
            body.extend_from_slice(b",\"task\":");
            body.extend_from_slice(&task.json);
        }
        body.push(b'}');
    }
    body.extend_from_slice(format!("],\"seq\":{}}}", answer.seq).as_bytes());
    body.into()
}

/// A batch without a wrong field.
pub(crate) struct BatchOperations(Vec<Result<Operation, NoTask>>);

/// An operation on what cannot be a task's id.
struct NoTask;

impl BatchOperations {
    /// The operations.
    ///
    /// # Errors
    /// 404 for the first one on what cannot be a task's id.
    fn operations(self) -> Result<Vec<Operation>, ApiError> {
        let numbered = self.0.into_iter().enumerate().map(|(index, operation)| {
            let missing = |NoTask| ApiError::no_task(None).with(Details::Operation { index, task: None });
            operation.map_err(missing)
        });
        numbered.collect()
    }
}

pub(crate) fn parse(body: &[u8]) -> Result<BatchOperations, Vec<FieldError>> {
    let mut faults = Faults::of_body();
    let operations = json_fields::text(body, &mut faults).and_then(|text| read(text, &mut faults));
    faults.or(operations)
}

fn read(text: &str, faults: &mut Faults) -> Option<BatchOperations> {
    let batch = RawObject::parse(text, &["operations"], faults)?;
    let list = faults
        .require("operations", batch.get("operations"), |raw| json_fields::list(raw, "must be a list"))?;
    if !(1..=MOST_OPERATIONS).contains(&list.len()) {
        faults.note("operations", "must be 1 to 500 operations");
        return None;
    }
    let mut operations = Vec::with_capacity(list.len());
    for (index, raw) in list.into_iter().enumerate() {
        let name = format!("operations[{index}]");
        faults.enter(name.clone(), format!("{name}."));
        if let Some(fields) = RawObject::parse(raw.get(), &OPERATION_FIELDS, faults) {
            operations.extend(read_one(&fields, &name, faults));
        }
    }
    Some(BatchOperations(operations))
}

/// The known fields of an operation.
const OPERATION_FIELDS: [&str; 5] = ["op", "id", "task", "completed", "if_match"];

/// Reads one operation, unless a field is wrong. Every field is looked at, whether or not one before it
/// is wrong.
fn read_one(given: &RawObject, name: &str, faults: &mut Faults) -> Option<Result<Operation, NoTask>> {
    const OP: &str = "must be `create`, `update`, `complete` or `delete`";
    let op = faults.require("op", given.get("op"), |raw| json_fields::string(raw, OP))?;
    let condition = given.get("if_match").filter(|raw| !is_null(raw));
    if op == "create" {
        if condition.is_some() {
            faults.note("if_match", "has no meaning for a `create`");
        }
        let new: NewTask = task(given, name, faults)?;
        return Some(Ok(Command::CreateTask(Box::new(new)).into()));
    }
    if !["update", "complete", "delete"].contains(&&*op) {
        faults.note("op", OP);
        return None;
    }
    let id = |raw| Ok(TaskId::parse(&json_fields::string(raw, "must be a string")?));
    let id = faults.require("id", given.get("id"), id);
    let if_match = faults.check("if_match", condition, if_match);
    let command = match &*op {
        "update" => {
            let patch: Patch = task(given, name, faults)?;
            id?.map(|id| Command::UpdateTask { id, patch: Box::new(patch) })
        }
        "complete" => {
            let completed = faults.check("completed", given.get("completed"), bool::read);
            id?.map(|id| Command::CompleteTask { id, completed })
        }
        _ => id?.map(|id| Command::DeleteTask { id }),
    };
    Some(command.map(|command| Operation { command, if_match }).ok_or(NoTask))
}

/// Reads an operation's task.
fn task<T: Form>(given: &RawObject, name: &str, faults: &mut Faults) -> Option<T> {
    if given.get("task").is_none() {
        faults.note("task", "is required");
    }
    let task = given.get("task")?;
    faults.enter(format!("{name}.task"), format!("{name}."));
    task_body::read(task.get(), faults)
}

/// A version, or the text of an `If-Match` header.
fn if_match(raw: &RawValue) -> Result<Match, Fault> {
    // `7.0` is an integer, too, to JSON Schema and to JavaScript.
    let number = raw.get().strip_suffix(".0").unwrap_or(raw.get());
    if let Ok(version) = serde_json::from_str::<i64>(number) {
        return Ok(Match::Versions(vec![Seq::new(version)]));
    }
    let text = json_fields::string(raw, "must be a version, or the text of an If-Match header")?;
    Ok(matching(text.as_bytes()))
}
