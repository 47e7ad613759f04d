//! The lanes, over a store in memory that fails on command: what they promise whatever the store does.

mod faults;
mod limits;
mod memory_store;
mod order;
mod passivation;
mod support;
