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
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        match scheme.to_ascii_lowercase().as_str() {
            "postgres" | "postgresql" => Ok(Self::Postgres(format!("postgres://{rest}"))),
            "sqlite" => sqlite(rest).map(Self::Sqlite),
            _ => {
                // The value may hold a password, so the message only describes its form.
                let form = url.split_once(':').map_or("without a scheme", |_| "of another scheme");
                Err(ConfigError(format!(
                    "is {form}, but must be `sqlite://<path>` or \
                     `postgres://<user>:<password>@<host>:<port>/<database>`"
                )))
            }
        }
    }
}

/// The path in a SQLite URL. What other programs read in it, and this one does not, is refused.
fn sqlite(text: &str) -> Result<PathBuf, ConfigError> {
    let (path, parameters) = text.split_once('?').unwrap_or((text, ""));
    let what = if path.is_empty() {
        "names no file"
    } else if !matches!(parameters, "" | "mode=rwc") {
        "has parameters, of which only `mode=rwc` is known, which is what happens anyway"
    } else if path.starts_with(":memory:") {
        "is in memory, where nothing would last"
    } else if path.ends_with(['/', '\\']) || path == "." || path.ends_with("/.") || path.ends_with("..") {
        "names a folder"
    } else if path.starts_with('~') || path.contains(['$', '%', '#', '"', '\'']) {
        "holds one of ~ $ % # and quotes, which mean nothing here"
    } else {
        return Ok(path.into());
    };
    Err(ConfigError(format!("{what}, but must be `sqlite://<path>`, such as sqlite://data/tasklane.db")))
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "SQLite in {}", path.display()),
            Self::Postgres(_) => f.write_str("PostgreSQL"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_url_is_a_path_and_nothing_else() {
        for (url, path) in [
            ("sqlite://tasks.db", "tasks.db"),
            ("sqlite://x.db?mode=rwc", "x.db"),
            ("SQLite:///var/lib/x.db", "/var/lib/x.db"),
            ("sqlite://a b/ü.db", "a b/ü.db"),
        ] {
            assert_eq!(StoreUrl::parse(url), Ok(StoreUrl::Sqlite(path.into())), "{url}");
        }
        for url in [
            "sqlite://",
            "sqlite:x.db",
            "sqlite://:memory:",
            "sqlite://x.db?mode=ro",
            "sqlite://x.db?cache=shared",
            "sqlite://data/",
            "sqlite://.",
            "sqlite://..",
            "sqlite://~/x.db",
            "sqlite://$HOME/x.db",
            "sqlite://a%20b.db",
            "sqlite://x.db#y",
            "file:x.db",
            "x.db",
        ] {
            let refused = StoreUrl::parse(url).unwrap_err().to_string();
            assert!(refused.contains("`sqlite://<path>`"), "{url}: {refused}");
        }
    }
}
