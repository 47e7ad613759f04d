//! `tasklane token`: prints a token.

use std::path::Path;
use std::time::Duration;

use crate::app::{AppError, failed};
use crate::auth::{self, Signer};
use crate::config::{Config, Environment, Secret, StoreConfig, StoreUrl};

/// Prints a token.
///
/// # Errors
/// [`AppError`] when there is no secret to sign it with.
pub fn print_token(config: &Config, user: &str, email: Option<&str>, ttl: Duration) -> Result<(), AppError> {
    let secret = match &config.auth.better_auth_secret {
        Some(secret) => secret.clone(),
        None if config.environment == Environment::Development => development_secret(&config.store)?,
        None => {
            let why = "BETTER_AUTH_SECRET is not set, but must be to sign a token: the keys at JWKS_URL are the provider's";
            return Err(AppError::System(why.into()));
        }
    };
    if !auth::is_subject(user) {
        return Err(AppError::System("--user must be 1 to 128 bytes, without control characters".into()));
    }
    println!("{}", Signer::new(secret, config.auth.expected.clone()).issue(user, email, ttl));
    Ok(())
}

/// The secret of this machine, kept beside the SQLite file, or in `data`.
pub(super) fn development_secret(config: &StoreConfig) -> Result<Secret, AppError> {
    let folder = match &config.database_url {
        StoreUrl::Sqlite(path) => path.parent().unwrap_or(Path::new("")),
        StoreUrl::Postgres(_) => Path::new("data"),
    };
    auth::development_secret(folder).map_err(failed("cannot keep a secret for development"))
}
