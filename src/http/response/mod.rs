//! Responses: [`task`] for what all task operations share, [`error`] for everything that fails.

pub(crate) mod error;
pub(crate) mod task;
