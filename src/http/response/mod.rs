//! Responses: [`task`] for what all task operations share. Errors are in [`error`](super::error).

pub(crate) mod large;
pub(crate) mod task;
