//! Logs and metrics.

use std::net::SocketAddr;

use clap::Args;

use super::check::{either, form};

/// Logs and metrics.
#[derive(Args, Clone, Debug)]
pub struct TelemetryConfig {
    /// Which requests are logged: `problems` (failed and slow ones) or `all`
    #[arg(long, env, value_name = "WHICH", default_value = "all")]
    #[arg(default_value_if("environment", "production", "problems"))]
    #[arg(value_parser = either(("problems", LogRequests::Problems), ("all", LogRequests::All)))]
    pub log_requests: LogRequests,
    /// Separate address for /metrics; without it development serves /metrics on the main address, and
    /// production not at all
    #[arg(long, env, value_name = "ADDRESS:PORT")]
    #[arg(value_parser = form("an IP address and a port, such as 127.0.0.1:9000", |text| text.parse::<SocketAddr>().ok()))]
    pub metrics_listen: Option<SocketAddr>,
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRequests {
    /// Those that failed or were slow.
    Problems,
    /// Every one.
    All,
}
