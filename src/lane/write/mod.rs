//! The way of a write: a command is queued with its user's actor, planned, committed and answered.
//!
//! - [`command`]: what a client asks for, and what it is told
//! - [`actor`]: the one place where a user's writes are ordered
//! - [`plan`]: what queued writes do to a working copy, pure
//! - [`idempotency`]: writes that are sent again under the same key
//! - [`cancellation`]: a caller gives up or the actor plans: the first one wins
//! - [`reply_dispatch`]: carries replies back to the caller's thread

pub(crate) mod actor;
pub(crate) mod cancellation;
pub(crate) mod command;
pub(crate) mod idempotency;
pub(crate) mod plan;
pub(crate) mod reply_dispatch;
