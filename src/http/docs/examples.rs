//! Examples of error responses for the OpenAPI document, made by the code that makes the errors themselves.

use actix_web::ResponseError;
use serde_json::Value;
use utoipa::openapi::{RefOr, Response};

use crate::domain::{Refusal, Revision, Seq};
use crate::error::Error;
use crate::http::error::{ApiError, Code};
use crate::http::request::conditional::REVISION;

/// The request id of every example.
const REQUEST_ID: &str = "5f0c9a2e61d4b837-000000000000001f";

/// Gives an error response of an operation an example; `task` is the example of a task.
pub(crate) fn add(response: &mut Response, status: &str, operation: &str, task: &str) {
    let Some(example) = error_body(status, operation, task) else { return };
    for content in response.content.values_mut() {
        if let RefOr::T(content) = content {
            content.example = Some(example.clone());
        }
    }
}

/// Where the user is in every example.
fn at() -> Revision {
    Revision { seq: Seq::new(7), ..Revision::default() }
}

/// The body of an error; `None` if the status is no error's.
fn error_body(status: &str, operation: &str, task: &str) -> Option<Value> {
    let refused =
        |refusal| Error::Refused { refusal, at: at(), current: Some(task.to_owned().into()), operation: 2 };
    // The errors of a batch and of an import name the operation.
    let from = |error: Error| {
        let many = matches!(operation, "create_batch" | "import_tasks");
        if many { ApiError::of_operation(error) } else { error.into() }
    };
    let error = match status {
        "401" => ApiError::unauthorized("Missing authentication token", ""),
        "404" => from(refused(Refusal::NotFound)),
        "408" => ApiError::new(Code::RequestTimeout, "The body did not arrive in time"),
        "409" => from(refused(Refusal::IdTaken)),
        "410" => ApiError::changes_lost(at()),
        "412" => from(refused(Refusal::PreconditionFailed)),
        "413" => ApiError::new(Code::PayloadTooLarge, "The body must be at most 65536 bytes long"),
        "415" => ApiError::new(Code::UnsupportedMediaType, "The body must be application/json"),
        "422" => wrong(operation),
        "428" => {
            let message = "The header X-Confirm-Delete must hold the user's id, as the token says it";
            ApiError::new(Code::PreconditionRequired, message)
        }
        "429" => ApiError::new(Code::RateLimited, "Too many requests; try again soon"),
        "500" => Error::Internal(String::new()).into(),
        "503" if operation == "get_ready" => {
            let error = Error::StoreUnavailable(String::new());
            ApiError::from(error).about("store", "is not available")
        }
        "503" => Error::Overloaded("").into(),
        _ => return None,
    };
    serde_json::from_slice(&error.body(error.status_code(), REQUEST_ID)).ok()
}

/// An example of what is wrong with a request.
fn wrong(operation: &str) -> ApiError {
    const TOO_LONG: &str = "must be at most 200 characters long";
    match operation {
        "list_tasks" => ApiError::wrong("limit", "must be from 1 to 500"),
        "list_changes" | "get_events" => ApiError::wrong("since", REVISION),
        "get_summary" => ApiError::wrong("tz", "must be an IANA time zone, such as `Europe/Berlin`"),
        "complete_task" => ApiError::wrong("completed", "is required"),
        "create_batch" => ApiError::wrong("operations[0].title", TOO_LONG),
        "import_tasks" => ApiError::wrong("tasks[0].title", TOO_LONG),
        // Without a body only the key can be wrong.
        "delete_task" | "delete_user" => Error::KeyReused { at: at() }.into(),
        _ => ApiError::wrong("title", TOO_LONG),
    }
}
