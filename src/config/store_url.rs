//! Where tasks are kept, as a URL says it.

use std::fmt;
use std::path::PathBuf;

use super::ConfigError;

/// Where tasks are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A SQLite file; its folder is made when missing.
    Sqlite(PathBuf),
    /// A PostgreSQL connection string, checked for form; it holds a password.
    Postgres(String),
}

impl StoreUrl {
    /// Reads the URL that the setting or option `name` gives.
    ///
    /// # Errors
    /// [`ConfigError`] tells the form it has and the form it must have. It holds no part of the URL.
    pub fn parse(name: &str, url: &str) -> Result<Self, ConfigError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        let path = url.strip_prefix("sqlite://").filter(|path| !path.is_empty());
        // The value itself may hold a password: only its form is told.
        path.map(|path| Self::Sqlite(path.into())).ok_or_else(|| {
            let form = url.split_once(':').map_or("without a scheme", |_| "of another scheme");
            ConfigError(format!(
                "{name} is {form}, but must be `sqlite://<path>` or \
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
