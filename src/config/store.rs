//! Where tasks are kept.

use std::fmt;
use std::path::PathBuf;

use clap::Args;

use super::check::{ConfigError, either, number};

/// Where tasks are kept.
#[derive(Args, Clone, Debug)]
pub struct StoreConfig {
    /// Where tasks are kept: `sqlite://<path>` or `postgres://<user>:<password>@<host>/<database>`
    #[arg(long, env, display_order = 3, hide_env_values = true, value_name = "URL")]
    #[arg(default_value = "sqlite://data/tasklane.db", value_parser = StoreUrl::parse)]
    pub database_url: StoreUrl,
    /// Connections to PostgreSQL
    // Too low: cold users wait for one another. Too high: the first few processes use up the server's
    // `max_connections`.
    #[arg(long, env, display_order = 12, value_name = "COUNT")]
    #[arg(default_value_t = 10, value_parser = number(2..=1000_usize))]
    pub db_pool_size: usize,
    /// `true` to accept a PostgreSQL server that loses commits when its machine crashes
    // In development such a server is always accepted.
    #[arg(long, env, value_name = "BOOL", action = clap::ArgAction::Set)]
    #[arg(default_value = "false", value_parser = either(("true", true), ("false", false)))]
    pub allow_unsafe_store: bool,
}

/// A store, as a URL names it.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A SQLite file; its folder is created if missing.
    Sqlite(PathBuf),
    /// A PostgreSQL connection string, checked for form; it holds a password.
    Postgres(String),
}

impl StoreUrl {
    /// Reads a store's URL.
    ///
    /// # Errors
    /// [`ConfigError`] says which form it must have. It holds no part of the URL.
    pub fn parse(url: &str) -> Result<Self, ConfigError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        let path = url.strip_prefix("sqlite://").filter(|path| !path.is_empty());
        // The value may hold a password, so the message only describes its form.
        path.map(|path| Self::Sqlite(path.into())).ok_or_else(|| {
            let form = url.split_once(':').map_or("without a scheme", |_| "of another scheme");
            ConfigError(format!(
                "is {form}, but must be `sqlite://<path>` or \
                 `postgres://<user>:<password>@<host>:<port>/<database>`"
            ))
        })
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "SQLite in {}", path.display()),
            Self::Postgres(_) => f.write_str("PostgreSQL"),
        }
    }
}
