//! What tokens are signed with, and which claims they must have.

use std::collections::HashSet;
use std::fmt;

use clap::Args;
use url::{Host, Url};

use super::check::{ConfigError, either, is_resolvable};
use super::environment::Environment;

/// What tokens are signed with, and which claims they must have.
#[derive(Args, Clone, Debug, Default)]
pub struct AuthConfig {
    /// HS256 secret shared with the frontend, at least 32 bytes
    // Without one, development uses the secret kept in the data folder.
    #[arg(long, env, display_order = 4, hide_env_values = true, value_name = "SECRET")]
    #[arg(value_parser = secret)]
    pub better_auth_secret: Option<Secret>,
    /// Where the identity provider publishes its public keys (https, or http on loopback)
    #[arg(long, env, display_order = 5, hide_env_values = true, value_name = "URL", value_parser = jwks_url)]
    pub jwks_url: Option<String>,
    /// `true` to fetch them by http from another machine, too
    // Whoever can change what passes between the two can then sign tokens for every user.
    #[arg(long, env, value_name = "BOOL", action = clap::ArgAction::Set)]
    #[arg(default_value = "false", value_parser = either(("true", true), ("false", false)))]
    pub jwks_allow_http: bool,
    /// The claims that tokens must have.
    #[command(flatten)]
    pub expected: Expected,
}

/// The issuer and the audience that tokens must have, where they are configured.
#[derive(Args, Clone, Debug, Default)]
pub struct Expected {
    /// The `iss` every token must have; required with `JWKS_URL`
    #[arg(long, env, display_order = 6, value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,
    /// The `aud` every token must have; required with `JWKS_URL`
    #[arg(long, env, display_order = 7, value_name = "AUDIENCE")]
    pub jwt_audience: Option<String>,
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
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

impl AuthConfig {
    pub(super) fn check(&self, environment: Environment) -> Result<(), ConfigError> {
        let is_safe = |url: &Url| url.scheme() == "https" || self.jwks_allow_http || is_on_loopback(url);
        if self.jwks_url.as_ref().and_then(|url| Url::parse(url).ok()).is_some_and(|url| !is_safe(&url)) {
            let why = "is http and leads to another machine: whoever is in between could sign tokens for every user; \
                       use https, or set JWKS_ALLOW_HTTP=true if all of the network between the two is trusted";
            return Err(ConfigError(why.to_owned()).of("JWKS_URL"));
        }
        let Expected { jwt_issuer, jwt_audience } = &self.expected;
        let missing = [("JWT_ISSUER", jwt_issuer), ("JWT_AUDIENCE", jwt_audience)];
        let missing = missing.into_iter().find(|(_, value)| value.is_none());
        if let (Some(_), Some((name, _))) = (&self.jwks_url, missing) {
            let why = "is not set, but must be with JWKS_URL: otherwise tokens issued for other services are accepted; \
                       with Better Auth both are its base URL";
            return Err(ConfigError(why.to_owned()).of(name));
        }
        match &self.better_auth_secret {
            _ if environment == Environment::Development => Ok(()),
            None if self.jwks_url.is_none() => {
                Err(no_secret("is not set, nor is JWKS_URL").of("BETTER_AUTH_SECRET"))
            }
            Some(secret) if is_well_known(secret.expose()) => {
                Err(no_secret("is a value anybody can guess").of("BETTER_AUTH_SECRET"))
            }
            _ => Ok(()),
        }
    }
}

fn secret(text: &str) -> Result<Secret, ConfigError> {
    if text.len() < 32 {
        return Err(no_secret("is shorter than 32 bytes"));
    }
    if text.trim() != text {
        return Err(no_secret("begins or ends with a blank"));
    }
    Ok(Secret::new(text.to_owned()))
}

fn no_secret(problem: &str) -> ConfigError {
    ConfigError(format!(
        "{problem}, but must be the secret the frontend signs its tokens with, \
         at least 32 bytes; `openssl rand -base64 32` generates one"
    ))
}

/// Better Auth's own default, and what people type instead of a secret.
fn is_well_known(secret: &str) -> bool {
    let distinct = secret.bytes().collect::<HashSet<_>>().len();
    let lower = secret.to_ascii_lowercase();
    distinct < 8
        || ["better-auth-secret", "change-me", "changeme", "change_me"]
            .iter()
            .any(|word| lower.contains(word))
}

/// The keys decide whose tokens are accepted; see [`AuthConfig::check`] for what is trusted.
fn jwks_url(text: &str) -> Result<String, ConfigError> {
    let usable = |url: &Url| matches!(url.scheme(), "https" | "http") && url.port() != Some(0);
    // A browser's lenience, which repairs what nobody meant, is not wanted.
    let plain =
        text.split_once("://").filter(|(_, rest)| !rest.starts_with('/') && !rest.contains([' ', '\\']));
    let url = plain.and_then(|_| Url::parse(text).ok()).filter(usable);
    let url = url.filter(|url| url.host().is_some_and(|host| is_resolvable(&host)));
    let allowed = "an https URL (or http on loopback), such as https://app.example.org/api/auth/jwks";
    url.map(String::from).ok_or_else(|| ConfigError(format!("must be {allowed}")))
}

/// Whether a URL's host is this machine.
pub(crate) fn is_on_loopback(url: &Url) -> bool {
    match url.host() {
        // Not `*.localhost`: a resolver may take that for another machine.
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
