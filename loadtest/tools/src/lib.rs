//! What the tools of the load tests share.
//!
//! - [`http1`]: one HTTP/1.1 exchange on an open connection;
//! - [`times`]: latencies, counted and printed as JSON.

pub mod http1;
pub mod times;
