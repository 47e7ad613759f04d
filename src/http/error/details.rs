//! What an error says beyond its message.

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

/// What an error has to say beyond its message.
#[derive(Debug)]
pub(crate) enum Details {
    /// Every field that is wrong.
    Fields(Vec<FieldError>),
    /// The JSON of the task the request was about, as it is.
    Task(Bytes),
    /// Which operation of a batch it was, and the JSON of its task, as it is.
    Operation { index: usize, task: Option<Bytes> },
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Operation<'a> {
            operation: usize,
            task: Option<&'a RawValue>,
        }
        // The JSON is the lane's own.
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
