//! Log lines, metrics and, with the feature `otlp`, traces. None of them holds a token, a user's text or a query
//! string, and no metric has a user id as a label.

mod log_queue;
mod logs;
mod metrics;
#[cfg(feature = "otlp")]
mod traces;
mod traffic;

pub use logs::{flush_logs, init_logs};
pub use metrics::{Metrics, metrics};
#[cfg(feature = "otlp")]
pub use traces::{Answered, Parent, start_traces, stop_traces, trace};
pub use traffic::{Request, Stripe, Traffic};
