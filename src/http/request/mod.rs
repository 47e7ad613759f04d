//! From the parts of a request to domain types. All faults of a body or a query are listed, not just the
//! first.
//!
//! - [`caller`]: who makes the request; the extractor of all operations under `/api`
//! - [`path`]: the user and the task in a path
//! - [`conditional`], [`idempotency_key`]: headers
//! - [`query`], [`list_query`]: query parameters
//! - [`body`]: a body's bytes; [`json_fields`]: its JSON; [`json_depth`]: the limit on its nesting
//! - [`form`]: types whose fields are named once, for reading and for the document; [`task_body`]: a task's fields

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

pub(crate) use body::{Allowance, Body};
pub(crate) use caller::Caller;
pub(crate) use conditional::{Conditional, EntityTag, MinSeq};
pub(crate) use idempotency_key::KeyHeader;
pub(crate) use path::{TaskPath, UserPath};
pub(crate) use query::Parameters;
