//! The lanes, over a store in memory that fails on command: what they promise whatever the store does.

#![allow(clippy::unwrap_used, reason = "a panic is a test's way to fail")]

mod faults;
mod feed;
mod history;
mod keys;
mod limits;
mod memory_store;
mod order;
mod passivation;
mod replicas;
mod simulation;
mod support;
mod timing;
