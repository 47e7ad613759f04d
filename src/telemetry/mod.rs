//! What the service tells of itself: log lines and metrics. Neither ever holds a token, a user's text
//! or a query string, and no metric has a user id as a label.

mod logs;
mod metrics;
mod traffic;

pub use logs::init_logs;
pub use metrics::{Metrics, metrics};
pub use traffic::{Request, Stripe, Traffic};
