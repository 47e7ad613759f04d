//! From a request's parts to domain types. Every fault of a request is listed, not just the first.
//!
//! - [`caller`]: who asks; the one extractor of everything under `/api`
//! - [`path`]: whose tasks, and which one
//! - [`conditional`], [`idempotency_key`]: headers
//! - [`query`], [`list_query`]: query parameters
//! - [`body`]: a body's bytes; [`json_fields`]: its JSON; [`json_depth`]: how deep that may nest;
//!   [`form`]: types whose fields are named once, to be read and documented; [`task_body`]: a task's fields

pub(crate) mod body;
pub(crate) mod caller;
pub(crate) mod conditional;
pub(crate) mod form;
pub(crate) mod idempotency_key;
pub(crate) mod json_depth;
pub(crate) mod json_fields;
pub(crate) mod list_query;
pub(crate) mod path;
pub(crate) mod query;
pub(crate) mod task_body;
