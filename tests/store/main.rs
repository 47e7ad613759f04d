//! One conformance suite for both stores, and what each of them promises beyond it.

// A panic is a test's way to fail, in shared code too.
#![allow(clippy::unwrap_used)]

mod conformance;
mod fixture;
mod model;
mod postgres;
mod proxy;
mod sqlite;
