//! The operations, by URL. A handler extracts, parses, makes one call and maps its result.
//!
//! - [`tasks`] is `/tasks` and `/tasks/{id}`
//! - [`batch`] is `/batch`
//! - [`changes`] is `/changes` and `/summary`
//! - [`events`] is `/events` and `/events/ticket`
//! - [`account`] is `/export`, `/import`, and `DELETE /api/{user_id}`
//! - [`health`] is `/health`, `/ready`, `/test`, `/metrics`
//! - [`pages`] is `/openapi.json`, `/docs`, `/redoc`; [`demo`] is the page `/` of a development server
//!
//! The attribute of utoipa requires a `path`. It is empty here, since the table of routes has each
//! operation's path.

pub(crate) mod account;
pub(crate) mod batch;
pub(crate) mod changes;
pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod pages;
pub(crate) mod tasks;
