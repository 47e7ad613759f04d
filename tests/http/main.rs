//! The HTTP layer over a store in memory: what every answer says and has, whatever comes in.

#![allow(clippy::unwrap_used, reason = "a panic is a test's way to fail")]

mod around;
mod harness;
mod operations;
mod queries;
mod sync;
mod warm;
mod writes;
