//! The batch: many writes in one, all of them or none.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::tasks::HandlerResult;
use crate::domain::{Command, Conditions, Match, NewTask, Operation, Patch, Seq, TaskId};
use crate::http::error::refusals::{BodyRefused, Refused};
use crate::http::error::{ApiError, Details, ErrorBody, FieldError};
use crate::http::request::body::parse_large;
use crate::http::request::conditional::matching;
use crate::http::request::form::{FieldValue, Form};
use crate::http::request::json_fields::{self, Fault, Faults, RawObject, is_null};
use crate::http::request::task_body::{self, TaskBody};
use crate::http::request::{Allowance, Body, Caller, Conditional, KeyHeader, UserPath};
use crate::http::response::large::of_bytes;
use crate::http::response::task::written_all;
use crate::lane::{Effect, Work, WriteReply};

/// Operations of one batch, at most; also in the schema and in an error's message.
const MOST_OPERATIONS: usize = 500;

/// The limits of a batch's body. 500 tasks of usual size take a quarter of it.
const ALLOWANCE: Allowance = Allowance { bytes: 2 << 20, time: Duration::from_secs(30) };

/// Writes to be carried out together.
#[derive(ToSchema)]
#[schema(as = Batch, example = json!({"operations": [
    {"op": "create", "task": {"title": "Buy milk"}},
    {"op": "update", "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89", "task": {"title": "Buy bread"}, "if_match": 7},
    {"op": "complete", "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89", "completed": true},
    {"op": "delete", "id": "01958f3a-6c5e-7d2a-9b1f-3e4d5c6b7a89"}
]}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct BatchBody {
    #[schema(min_items = 1, max_items = 500)]
    operations: Vec<BatchOperation>,
}

/// One write of a batch.
#[derive(Serialize, ToSchema)]
#[serde(tag = "op", rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum BatchOperation {
    /// Create a task.
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
    /// Complete or reopen a task; without `completed` its state is flipped.
    Complete {
        id: Uuid,
        #[schema(required = false)]
        completed: bool,
        if_match: Option<Version>,
    },
    /// Delete a task.
    Delete { id: Uuid, if_match: Option<Version> },
}

/// The version that the task must be in: its number, or the text of an `If-Match` header.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum Version {
    Number(i64),
    Tags(String),
}

/// The results of a batch.
#[derive(ToSchema)]
#[schema(example = json!({"results": [{"status": 204}], "seq": 8}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct BatchResults {
    /// In the order of the operations.
    results: Vec<BatchResult>,
    /// The seq of the last one.
    seq: u64,
}

/// The result of one write of a batch.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct BatchResult {
    /// The status that a request for this write alone would have.
    status: u16,
    /// The task after the batch, with the last operation on it; absent for a `delete`.
    #[schema(required = false)]
    task: TaskBody,
}

/// Carry out many writes at once
///
/// Up to 500 operations in order, all of them or none, in one commit; each takes a seq of its own. Each does
/// the same as a request for it alone, and may have `if_match` (except `create`): a version, or the text of
/// an `If-Match` header. The response shows each task once, as it is after the batch. An error has the status
/// and code of that request, and `details` name the operation. Wrong fields are all listed, as
/// `operations[3].title`. The body may have 2 MiB, or `MAX_BODY_BYTES` if that is more.
#[utoipa::path(
    post, path = "", tag = "tasks", params(UserPath, Conditional, KeyHeader), request_body = BatchBody,
    responses(
        (status = 200, description = "The result of each operation, in order", body = BatchResults, headers(
            ("Idempotent-Replayed" = String, description = "`true`: a repeat under the same key; this is the first response again"))),
        (status = 404, description = "The user has no such task; `details.operation` is the operation's index", body = ErrorBody),
        (status = 409, description = "`CONFLICT` or `QUOTA_EXCEEDED`, as for a create alone", body = ErrorBody),
        (status = 412, description = "A task is not in the version that its `if_match` names: `details.task` is the task as it is; or the request's own condition does not hold", body = ErrorBody),
        BodyRefused, Refused,
    )
)]
pub(crate) async fn create_batch(caller: Caller, body: Body) -> HandlerResult {
    let body = body.read_large(caller.who(), ALLOWANCE).await?;
    let operations = parse_large(caller.registry().work(), caller.who(), &body, parse).await?;
    let missing = |operation| ApiError::no_task(None).with(Details::Operation { operation, task: None });
    let numbered = operations.into_iter().enumerate();
    let operations = numbered.map(|(index, operation)| operation.ok_or_else(|| missing(index)));
    let work = Work::Operations(operations.collect::<Result<_, _>>()?);
    let (reply, permit) = caller.submit(work, body, ApiError::of_operation).await?;
    Ok(written_all(&reply, of_bytes(results(&reply), permit)))
}

fn results(reply: &WriteReply) -> Bytes {
    let mut body = b"{\"results\":[".to_vec();
    for (index, effect) in reply.effects.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        let status = match effect {
            Effect::Created(_) => StatusCode::CREATED,
            Effect::Exists(_) | Effect::Updated(_) => StatusCode::OK,
            Effect::Deleted | Effect::Imported => StatusCode::NO_CONTENT,
        };
        body.extend_from_slice(format!("{{\"status\":{}", status.as_u16()).as_bytes());
        if let Some(json) = effect.task().and_then(|task| task.json.as_ref()) {
            body.extend_from_slice(b",\"task\":");
            body.extend_from_slice(json);
        }
        body.push(b'}');
    }
    body.extend_from_slice(format!("],\"seq\":{}}}", reply.seq).as_bytes());
    body.into()
}

/// Reads a batch. An operation is `None` if its id cannot be that of a task.
pub(crate) fn parse(body: &[u8]) -> Result<Vec<Option<Operation>>, Vec<FieldError>> {
    let lengths = 1..=MOST_OPERATIONS;
    json_fields::read_list(
        body,
        "operations",
        lengths,
        "must be 1 to 500 operations",
        |text, name, faults| read_one(&RawObject::parse(text, &OPERATION_FIELDS, faults)?, name, faults),
    )
}

/// The known fields of an operation.
const OPERATION_FIELDS: [&str; 5] = ["op", "id", "task", "completed", "if_match"];

/// Reads one operation; `Some(None)` if its id cannot be that of a task, `None` if a field is wrong. Every
/// field is checked, even after a wrong one.
#[expect(clippy::option_option, reason = "a wrong field differs from an id that no task has")]
fn read_one(given: &RawObject, name: &str, faults: &mut Faults) -> Option<Option<Operation>> {
    const OP: &str = "must be `create`, `update`, `complete` or `delete`";
    let op = faults.require("op", given.get("op"), |raw| json_fields::string(raw, OP))?;
    let condition = given.get("if_match").filter(|raw| !is_null(raw));
    if op == "create" {
        if condition.is_some() {
            faults.note("if_match", "has no meaning for a `create`");
        }
        let new: NewTask = task(given, name, faults)?;
        return Some(Some(Command::CreateTask(Box::new(new)).into()));
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
    let conditions = Conditions { if_match, if_none_match: None };
    Some(command.map(|command| Operation { command, conditions }))
}

/// Reads an operation's task.
fn task<T: Form>(given: &RawObject, name: &str, faults: &mut Faults) -> Option<T> {
    let task = faults.require("task", given.get("task"), Ok)?;
    faults.enter(format!("{name}.task"), format!("{name}."));
    task_body::read(task.get(), faults)
}

/// A version, or the text of an `If-Match` header.
fn if_match(raw: &RawValue) -> Result<Match, Fault> {
    // To JSON Schema and JavaScript, `7.0` is an integer, too.
    let number = raw.get().strip_suffix(".0").unwrap_or(raw.get());
    if let Ok(version) = serde_json::from_str::<i64>(number) {
        return Ok(Match::Versions(vec![Seq::new(version).into()]));
    }
    let text = json_fields::string(raw, "must be a version, or the text of an If-Match header")?;
    Ok(matching(text.as_bytes()))
}
