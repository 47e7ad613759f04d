//! Every setting, read once from flags, the environment and `.env`, and checked before anything starts.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// The settings as given, unchecked: what is `None` was not given. Flags win over the environment,
/// the environment over `.env`. Help texts are the reference; `.env.example` says more.
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// Address to listen on
    #[arg(long, env = "HOST", global = true, value_name = "ADDRESS")]
    pub host: Option<String>,
    /// Port to listen on; 0 lets the system choose
    #[arg(long, env = "PORT", global = true)]
    pub port: Option<String>,
    /// Where tasks are kept: `sqlite://<path>` or `postgres://<user>:<password>@<host>/<database>`
    #[arg(long, env = "DATABASE_URL", global = true, hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// HS256 secret shared with the frontend, 32 bytes at least
    #[arg(long, env = "BETTER_AUTH_SECRET", global = true, hide_env_values = true, value_name = "SECRET")]
    pub better_auth_secret: Option<String>,
    /// Origins whose pages may call the API, comma-separated
    #[arg(long, env = "ALLOWED_ORIGINS", global = true, value_name = "ORIGINS")]
    pub allowed_origins: Option<String>,
    /// `development` or `production`
    #[arg(long, env = "ENVIRONMENT", global = true)]
    pub environment: Option<String>,
    /// Connections to PostgreSQL
    #[arg(long, env = "DB_POOL_SIZE", global = true, value_name = "COUNT")]
    pub db_pool_size: Option<String>,
    /// Memory the cached tasks may take; idle users are dropped from it beyond that
    #[arg(long, env = "CACHE_MAX_BYTES", global = true, value_name = "BYTES")]
    pub cache_max_bytes: Option<String>,
    /// Tasks one user may have
    #[arg(long, env = "MAX_TASKS_PER_USER", global = true, value_name = "COUNT")]
    pub max_tasks_per_user: Option<String>,
    /// Size of a request's body
    #[arg(long, env = "MAX_BODY_BYTES", global = true, value_name = "BYTES")]
    pub max_body_bytes: Option<String>,
    /// Seconds that requests in flight get to finish at a stop
    #[arg(long, env = "SHUTDOWN_TIMEOUT", global = true, value_name = "SECONDS")]
    pub shutdown_timeout: Option<String>,
    /// Which requests are logged: `problems` (failed and slow ones) or `all`
    #[arg(long, env = "LOG_REQUESTS", global = true, value_name = "WHICH")]
    pub log_requests: Option<String>,
    /// Address of a listener of its own for /metrics; without one they are served at /metrics of the
    /// main listener in development, and not at all in production
    #[arg(long, env = "METRICS_LISTEN", global = true, value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<String>,
}

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub host: String,
    /// Port to listen on; with 0 the system chooses.
    pub port: u16,
    /// Where tasks are kept.
    pub store: StoreUrl,
    /// The HS256 secret; `None` in development means: use the one kept in the data folder.
    pub secret: Option<Secret>,
    /// Origins whose pages may call the API.
    pub allowed_origins: Vec<String>,
    /// What the service runs for.
    pub environment: Environment,
    /// Connections to PostgreSQL. Too low: cold users wait for one another. Too high: the server's
    /// `max_connections` is used up by the first few processes.
    pub db_pool_size: usize,
    /// Bytes the cached tasks may take, nearly.
    pub cache_max_bytes: usize,
    /// Tasks one user may have.
    pub max_tasks_per_user: usize,
    /// Bytes of a request's body.
    pub max_body_bytes: usize,
    /// How long a stop waits for requests in flight.
    pub shutdown_timeout: Duration,
    /// Which requests are logged.
    pub log_requests: LogRequests,
    /// A listener of its own for the metrics.
    pub metrics_listen: Option<std::net::SocketAddr>,
}

/// What the service runs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine: readable logs, a ready token, a secret made on the spot.
    Development,
    /// Real users: JSON logs, nothing that is not configured.
    Production,
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRequests {
    /// Those that failed or were slow.
    Problems,
    /// Every one.
    All,
}

/// Where tasks are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A SQLite file; its folder is made when missing.
    Sqlite(PathBuf),
    /// A PostgreSQL connection string, checked for form; it holds a password.
    Postgres(String),
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "SQLite in {}", path.display()),
            Self::Postgres(_) => f.write_str("PostgreSQL"),
        }
    }
}

/// A secret. It prints as three dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}
