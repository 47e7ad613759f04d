//! The operations, by URL. A handler extracts, parses, makes one call and maps what came of it.
//!
//! - [`tasks`] is `/tasks` and `/tasks/{id}`
//! - [`batch`] is `/batch`
//! - [`changes`] is `/changes` and `/summary`
//! - [`events`] is `/events` and `/events/ticket`
//! - [`account`] is `/export`, `/import`, and the erasure of a user
//! - [`health`] is `/health`, `/ready`, `/test`, `/metrics`
//! - [`pages`] is `/openapi.json`, `/docs`, `/redoc`; [`demo`] is the page of development
//!
//! utoipa's attribute wants a path; it is empty, since each operation's path stands in the table of routes.

pub(crate) mod account;
pub(crate) mod batch;
pub(crate) mod changes;
pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod pages;
pub(crate) mod tasks;
