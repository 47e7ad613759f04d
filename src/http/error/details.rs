//! The `details` of an error.

use std::borrow::Cow;

use actix_web::web::Bytes;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The field's name; `body` for the body as a whole; a parameter's or a header's name.
    pub field: Cow<'static, str>,
    /// What is wrong with it. It never repeats the value.
    pub message: Cow<'static, str>,
}

impl FieldError {
    pub(crate) fn new(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// The `details` of an error.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Details {
    /// Every field that is wrong.
    Fields(Vec<FieldError>),
    /// The task of the request as it is now.
    Task(TaskJson),
    /// The index of a batch's operation, and its task as it is now.
    Operation { operation: usize, task: Option<TaskJson> },
}

/// A task in JSON, rendered by the lane.
#[derive(Clone, Debug)]
pub(crate) struct TaskJson(pub(crate) Bytes);

impl Serialize for TaskJson {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        serde_json::from_slice::<&RawValue>(&self.0).ok().serialize(to)
    }
}
