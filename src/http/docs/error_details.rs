//! The schema of an error's `details`, for the document only.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::http::error::FieldError;
use crate::http::request::task_body::TaskBody;

/// What there is to say beyond the message; null if nothing.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum ErrorDetails {
    /// With `VALIDATION_ERROR`: every field that is wrong.
    Fields(Vec<FieldError>),
    /// With `PRECONDITION_FAILED`: the task as it is.
    #[schema(value_type = TaskBody)]
    Task(Box<RawValue>),
    /// With a refused batch: the operation's index, and with `PRECONDITION_FAILED` its task.
    Operation {
        /// The operation's index in the list, from 0.
        operation: u64,
        /// The task as it is.
        #[schema(required, value_type = Option<TaskBody>)]
        task: Option<Box<RawValue>>,
    },
}
