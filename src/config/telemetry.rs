//! What is told to those who run the service.

use std::net::SocketAddr;

use clap::Args;

use super::check::{either, form};

/// What is told to those who run the service.
#[derive(Args, Clone, Debug)]
pub struct TelemetryConfig {
    /// Which requests are logged: `problems` (failed and slow ones) or `all`
    #[arg(long, env, value_name = "WHICH", default_value = "all")]
    #[arg(default_value_if("environment", "production", "problems"))]
    #[arg(value_parser = either(("problems", LogRequests::Problems), ("all", LogRequests::All)))]
    pub log_requests: LogRequests,
    /// Address of a listener of its own for /metrics; without one they are served at /metrics of the
    /// main listener in development, and not at all in production
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
