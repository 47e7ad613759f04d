//! How requests are served, and how many of them one caller may send.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::check::{ConfigError, number, seconds, wrong};
use super::network::Network;
use super::rate::Rate;

/// How requests are served, and how many of them one caller may send.
///
/// A setting with a default is spelled `std::option::Option` or `std::vec::Vec`: for a plain `Option` or `Vec` clap
/// expects none.
#[derive(Args, Clone, Debug)]
pub struct HttpConfig {
    /// Address to listen on
    #[arg(long, env, display_order = 1, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 lets the system choose
    #[arg(long, env, display_order = 2, default_value_t = 8000, value_parser = number(0..=65535_u16))]
    pub port: u16,
    /// Origins whose pages may call the API, comma-separated
    #[arg(long, env, display_order = 8, value_name = "ORIGINS")]
    #[arg(default_value = "http://localhost:3000", value_parser = origins)]
    pub allowed_origins: std::vec::Vec<String>,
    /// Maximum size of a request's body
    #[arg(long, env, value_name = "BYTES")]
    #[arg(default_value_t = 64 << 10, value_parser = number(1 << 10..=64_usize << 20))]
    pub max_body_bytes: usize,
    /// Maximum rate of one user's requests: `<per second>` or `<per second>:<at once>`; `off`, the default,
    /// for no limit
    #[arg(long, env, value_name = "RATE", default_value = "off", value_parser = Rate::parse)]
    pub rate_limit_per_user: std::option::Option<Rate>,
    /// Maximum rate of refused requests without a valid token from one address, in the same form; `off` for no limit
    // Too low: a broken client gets 429 instead of the reason.
    #[arg(long, env, value_name = "RATE", default_value = "10:100", value_parser = Rate::parse)]
    pub auth_failures_per_address: std::option::Option<Rate>,
    /// Maximum number of open connections; further ones wait
    #[arg(long, env, value_name = "COUNT")]
    #[arg(default_value_t = 10_000, value_parser = number(10..=1_000_000_usize))]
    pub max_connections: usize,
    /// Maximum number of open connections from one address; further ones are closed. The default is three fifths
    /// of `MAX_CONNECTIONS`
    #[arg(long, env, value_name = "COUNT", value_parser = number(1..=1_000_000_usize))]
    pub max_connections_per_address: Option<usize>,
    /// Addresses and networks of proxies, comma-separated: their connections are not limited, and the client is
    /// the one that their `X-Forwarded-For` names
    #[arg(long, env, value_name = "NETWORKS", value_parser = Network::parse_list)]
    pub trusted_proxies: Option<std::vec::Vec<Network>>,
    /// Certificate chain (PEM) to serve https with; needs `TLS_KEY`
    #[arg(long, env, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM) of `TLS_CERT`
    #[arg(long, env, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Seconds that requests in flight have to finish at shutdown
    #[arg(long, env, value_name = "SECONDS", default_value = "30", value_parser = seconds(1..=3600))]
    pub shutdown_timeout: Duration,
    /// Seconds at shutdown in which requests are still accepted while `/ready` says 503
    // A load balancer needs them to notice. Too short: connections that it opens meanwhile are refused.
    #[arg(long, env, value_name = "SECONDS", default_value = "0", value_parser = seconds(0..=3600))]
    pub drain_time: Duration,
}

impl HttpConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => Err(ConfigError("TLS_KEY is not set, but must be with TLS_CERT".into())),
            (None, Some(_)) => Err(ConfigError("TLS_CERT is not set, but must be with TLS_KEY".into())),
            _ => Ok(()),
        }
    }
}

fn origins(text: &str) -> Result<Vec<String>, ConfigError> {
    let allowed = "a comma-separated list of origins such as https://app.example.org \
                   (scheme, host and port only; `*` is not allowed, since answers carry credentials)";
    let is_origin = |origin: &str| {
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        rest.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', '?', '#', '@', ' ']))
    };
    let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    let origins = origins.map(|origin| origin.trim_end_matches('/').to_ascii_lowercase());
    let check = |origin: String| {
        if is_origin(&origin) { Ok(origin) } else { Err(wrong(&origin, allowed)) }
    };
    origins.map(check).collect()
}
