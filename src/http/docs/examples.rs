//! Examples of refusals for the OpenAPI document, made by what makes the refusals themselves.

use actix_web::ResponseError;
use serde_json::Value;
use utoipa::openapi::{OpenApi, RefOr};

use crate::domain::{Refusal, Seq};
use crate::error::Error;
use crate::http::error::{ApiError, Code, Details, FieldError};

/// The request id of every example.
const REQUEST_ID: &str = "5f0c9a2e61d4b837-000000000000001f";

/// Gives every refusal of every operation an example of its own.
pub(crate) fn add(document: &mut OpenApi) {
    let task = document.components.as_ref().and_then(|components| components.schemas.get("Task"));
    let task = serde_json::to_value(task).map(|task| task["example"].to_string()).unwrap_or_default();
    for item in document.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter();
        for operation in operations.flatten() {
            let id = operation.operation_id.clone().unwrap_or_default();
            for (status, response) in &mut operation.responses.responses {
                let RefOr::T(response) = response else { continue };
                let Some(refusal) = refusal(status, &id, &task) else { continue };
                for content in response.content.values_mut() {
                    if let RefOr::T(content) = content {
                        content.example = Some(refusal.clone());
                    }
                }
            }
        }
    }
}

/// The body of a refusal; `None` for what is none.
fn refusal(status: &str, operation: &str, task: &str) -> Option<Value> {
    let refused = |refusal| Error::Refused {
        refusal,
        seq: Seq::new(7),
        current: Some(task.to_owned().into()),
        operation: 2,
    };
    // In a batch and in an import, the refusal says which operation it is of.
    let of = |error: Error| {
        let many = matches!(operation, "create_batch" | "import_tasks");
        if many { ApiError::of_operation(error) } else { error.into() }
    };
    let error = match status {
        "401" => ApiError::unauthorized("Missing authentication token", ""),
        "404" => of(refused(Refusal::NotFound)),
        "408" => ApiError::new(Code::RequestTimeout, "The body did not arrive in time"),
        "409" => of(refused(Refusal::IdTaken)),
        "410" => {
            let message = "What changed since then cannot be told any more; read the whole list";
            ApiError::new(Code::ResyncRequired, message)
        }
        "412" => of(refused(Refusal::PreconditionFailed)),
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
            let details = Details::Fields(vec![FieldError::new("store", "is not available")]);
            ApiError::from(Error::StoreUnavailable(String::new())).with(details)
        }
        "503" => Error::Overloaded("").into(),
        _ => return None,
    };
    serde_json::from_slice(&error.body(error.status_code(), REQUEST_ID)).ok()
}

/// What is wrong with a request, for example.
fn wrong(operation: &str) -> ApiError {
    const TOO_LONG: &str = "must be at most 200 characters long";
    match operation {
        "list_tasks" => ApiError::wrong("limit", "must be from 1 to 500"),
        "list_changes" | "get_events" => ApiError::wrong("since", "must be a seq"),
        "get_summary" => ApiError::wrong("tz", "must be an IANA time zone, such as `Europe/Berlin`"),
        "complete_task" => ApiError::wrong("completed", "is required"),
        "create_batch" => ApiError::wrong("operations[0].title", TOO_LONG),
        "import_tasks" => ApiError::wrong("tasks[0].title", TOO_LONG),
        // There is no body that could be wrong: only the key can be.
        "delete_task" | "delete_user" => Error::KeyReused { seq: Seq::new(7) }.into(),
        _ => ApiError::wrong("title", TOO_LONG),
    }
}
