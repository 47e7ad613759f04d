//! The lanes over a store in memory that fails on command: what they promise, whatever the store does.

#![allow(clippy::unwrap_used, reason = "a panic is a test's way to fail")]

mod faults;
mod feed;
mod groups;
#[path = "../model/history.rs"]
mod history;
mod keys;
mod limits;
mod memory_store;
#[allow(dead_code, reason = "shared with tests/api and tests/faults, which read answers")]
#[path = "../model/mod.rs"]
mod model;
mod order;
mod passivation;
#[path = "../model/possible.rs"]
mod possible;
mod replicas;
mod simulation;
#[path = "../model/stored.rs"]
mod stored;
mod support;
mod timing;
