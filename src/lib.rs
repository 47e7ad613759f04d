//! Tasklane: a task backend for frontends. One lane per user orders that user's writes, keeps the
//! user's tasks in memory and commits in groups; one integer per user, `seq`, is all a client needs
//! to stay in step.
//!
//! The modules in reading order:
//!
//! - [`domain`]: tasks and the rules of changing them, pure
//! - [`store`]: the trait of a durable store, its two implementations, the group committer
//! - [`work`]: what requests under way may take, in bytes and threads
//! - [`lane`]: one actor per user, the registry of them, the snapshots readers see
//! - [`auth`]: authentication by bearer tokens
//! - [`http`]: the routes
//! - [`config`], [`error`], [`private_file`], [`telemetry`]
//! - [`app`]: starts all parts, and stops them in order
//! - [`cli`]: the command line, and [`commands`]: its commands

pub mod app;
pub mod auth;
pub mod cli;
pub mod commands;
pub mod config;
pub mod domain;
pub mod error;
pub mod http;
pub mod lane;
pub mod private_file;
pub mod store;
pub mod telemetry;
pub mod work;
