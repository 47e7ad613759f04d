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
#[derive(Debug)]
pub(crate) enum Details {
    /// Every field that is wrong.
    Fields(Vec<FieldError>),
    /// The task of the request as it is now, in JSON.
    Task(Bytes),
    /// The index of a batch's operation, and its task as it is now, in JSON.
    Operation { index: usize, task: Option<Bytes> },
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Operation<'a> {
            operation: usize,
            task: Option<&'a RawValue>,
        }
        // The lane rendered this JSON: it is valid.
        let raw = |json| serde_json::from_slice::<&RawValue>(json).ok();
        match self {
            Self::Fields(fields) => fields.serialize(to),
            Self::Task(json) => raw(json).serialize(to),
            Self::Operation { index, task } => {
                Operation { operation: *index, task: task.as_deref().and_then(raw) }.serialize(to)
            }
        }
    }
}
