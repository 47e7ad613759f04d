//! What an error's `details` can be, for the document alone.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::http::error::FieldError;
use crate::http::request::task_body::TaskBody;

/// What the code has to say beyond the message; null if nothing.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its form is used")]
pub(crate) enum ErrorDetails {
    /// With `VALIDATION_ERROR`: every field that is wrong.
    Fields(Vec<FieldError>),
    /// With `PRECONDITION_FAILED`: the task as it is.
    #[schema(value_type = TaskBody)]
    Task(Box<RawValue>),
    /// With a refused batch: which operation it was, from 0, and with `PRECONDITION_FAILED` its task.
    Operation {
        /// The operation's place in the list, from 0.
        #[schema(minimum = 0)]
        operation: i64,
        /// The task as it is.
        #[schema(required, value_type = Option<TaskBody>)]
        task: Option<Box<RawValue>>,
    },
}
