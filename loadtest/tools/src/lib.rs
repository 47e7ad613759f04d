//! What the tools of the load tests share.
//!
//! - [`http1`]: one HTTP/1.1 exchange on a kept connection, and nothing more of a client;
//! - [`times`]: latencies, counted and told as JSON.

pub mod http1;
pub mod times;
