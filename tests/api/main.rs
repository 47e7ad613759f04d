//! The HTTP contract, checked from outside: every test starts the real binary on a port of its own,
//! with a store of its own, and talks to it over sockets. Nothing here knows the service's inside.
//!
//! A test written once runs on both stores: `on_both_stores!` lists the tests of a module, and each
//! becomes `<module>::<test>::on_sqlite` and `<module>::<test>::on_postgres`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[macro_use]
#[path = "support/needs.rs"]
mod needs;
mod support;

mod abuse;
mod abuse_load;
mod bad_input;
mod batch;
mod changes;
mod chosen_ids;
#[cfg(target_os = "linux")]
mod clock;
mod cluster;
mod commands;
mod conditional_reads;
mod conditional_writes;
mod configuration;
mod configuration_refused;
mod copy;
mod cors;
mod damaged_file;
mod demo;
mod documentation;
#[cfg(target_os = "linux")]
mod durability;
mod error_form;
mod events;
mod events_in_time;
mod following;
mod foreign;
mod greeting;
mod guide;
mod health;
mod idempotency;
mod identity;
mod identity_paths;
mod isolation;
mod jwks;
mod jwks_trouble;
mod limits;
mod list;
mod list_pages;
mod list_queries;
mod logs;
mod many_writers;
mod metrics;
mod migration_killed;
mod model;
mod overload;
mod postgres_killed;
mod quota;
mod readme;
mod restart;
mod seq_and_etags;
mod server_timing;
mod standby;
mod summary;
mod task_create;
mod task_fields;
mod task_text;
mod task_update;
mod tls;
mod token_attacks;
#[cfg(feature = "otlp")]
mod tracing;
mod transfer;
mod two_processes;
mod upkeep;
