//! The HTTP contract, checked from outside: every test starts the real binary on its own port, with its own
//! store, and talks to it over sockets. Nothing here knows the service's internals.
//!
//! A rule is found by its URL:
//!
//! | folder | URL |
//! |---|---|
//! | `tasks/` | `/api/{user_id}/tasks`, `/tasks/{id}`, `/tasks/{id}/complete`, `/summary` |
//! | `batch/` | `/api/{user_id}/batch` |
//! | `sync/` | `/api/{user_id}/changes`, `/events`, `/events/ticket`; `seq` and `ETag` everywhere |
//! | `account/` | `/api/{user_id}/export`, `/import`, `DELETE /api/{user_id}` |
//! | `auth/` | `Authorization` and the user in the path; tokens, key sets, isolation of users |
//! | `every_route/` | what holds for every route: errors, limits, `Idempotency-Key`, hostile requests |
//! | `docs/` | `/docs`, `/redoc`, `/openapi.json`, `/demo`; the README, the guide, the greeting at the start |
//! | `operations/` | `/health`, `/ready`, `/metrics`; commands, settings, logs, CORS, TLS, traces |
//! | `faults/` | none: load, kills, restarts, several processes, damage, overload |
//!
//! Each folder's `mod.rs` says what its files are about. `support/` holds what the tests share.
//!
//! A test written once runs on both stores: `on_both_stores!` lists the tests of a module, and each
//! becomes `<folder>::<module>::<test>::on_sqlite` and `<folder>::<module>::<test>::on_postgres`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test may block a thread of its own")]

#[macro_use]
#[path = "support/needs.rs"]
mod needs;
#[allow(dead_code, reason = "shared with tests/lane and tests/faults")]
#[path = "../model/mod.rs"]
mod model;
mod support;

mod account;
mod auth;
mod batch;
mod docs;
mod every_route;
mod faults;
mod operations;
mod sync;
mod tasks;
