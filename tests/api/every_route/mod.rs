//! What holds for every route.
//!
//! - `error_form`: all errors have the same form
//! - `conditions`: `If-Match` and `If-None-Match`, as RFC 9110 has them
//! - `two_users`: no validator of one user is another's
//! - `idempotency`: `Idempotency-Key`, a write sent again
//! - `limits`: the operator's limits on requests, tasks, refused tokens, connections
//! - `refusals`: what a client without a valid token may take
//! - `connections`: how many connections an address may have
//! - `bad_input`: invalid input never gives a 500
//! - `framing`: headers about the connection and the body, and the next request on the same connection
//! - `hostile_requests`: harmful bytes on a raw socket
//! - `hostile_load`: more requests and connections than anybody needs

mod bad_input;
mod conditions;
mod connections;
mod error_form;
mod framing;
mod hostile_load;
mod hostile_requests;
mod idempotency;
mod limits;
mod refusals;
mod two_users;
