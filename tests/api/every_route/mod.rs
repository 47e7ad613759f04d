//! What holds for every route.
//!
//! - `error_form`: errors have the one form
//! - `idempotency`: `Idempotency-Key`, a write sent again
//! - `limits`: what an operator sets: requests, tasks, refused tokens, connections
//! - `bad_input`: input no client should send gives no 500
//! - `hostile_requests`: bytes sent to do harm
//! - `hostile_load`: more requests and connections than anybody needs

mod bad_input;
mod error_form;
mod hostile_load;
mod hostile_requests;
mod idempotency;
mod limits;
