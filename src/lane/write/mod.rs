//! The way of a write: a command is queued with its user's actor, planned, committed and answered.
//!
//! - [`command`]: a write, and the reply to it
//! - [`actor`]: it alone orders a user's writes
//! - [`context`]: what all lanes share
//! - [`plan`]: what queued writes do to a working copy, pure
//! - [`idempotency`]: writes that are sent again under the same key
//! - [`cancellation`]: a caller gives up or the actor plans: the first one wins
//! - [`submit`]: a write on its way to the actor
//! - [`reply_dispatch`]: carries replies back to the caller's thread

pub(crate) mod actor;
pub(crate) mod cancellation;
pub(crate) mod command;
pub(crate) mod context;
pub(crate) mod idempotency;
pub(crate) mod plan;
pub(crate) mod reply_dispatch;
pub(crate) mod submit;
