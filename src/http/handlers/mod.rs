//! The operations, by URL. A handler extracts, parses, makes one call and maps what came of it.
//!
//! - [`tasks`] is `/tasks` and `/tasks/{id}`
//! - [`batch`] is `/batch`
//! - [`changes`] is `/changes` and `/summary`
//! - [`events`] is `/events`, [`event_tickets`] is `/events/ticket`
//! - [`account`] is `/export`, `/import`, and the erasure of a user
//! - [`health`] is `/health`, `/ready`, `/test`

pub(crate) mod account;
pub(crate) mod batch;
pub(crate) mod changes;
pub(crate) mod event_tickets;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod tasks;
