//! The HTTP layer over a store in memory: responses to right and wrong requests.

#![allow(clippy::unwrap_used, reason = "a panic is a test's way to fail")]

mod abnf;
mod around;
mod fast_path;
mod grammars;
mod harness;
mod operations;
mod queries;
mod routing;
mod sync;
mod writes;
