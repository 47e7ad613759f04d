//! Every setting, read once from flags, the environment and `.env`, and checked before anything starts.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use url::Host;

mod mode;
mod rate;
mod secret;
mod store_url;

pub use mode::Mode;
pub use rate::Rate;
pub use secret::Secret;
pub use store_url::StoreUrl;

/// Refused tokens of one address that are answered as such, unless configured.
const AUTH_FAILURES: Rate = Rate::new(10, 100);

/// The settings as given, unchecked: what is `None` was not given. Flags win over the environment,
/// the environment over `.env`. Help texts are the reference; `.env.example` says more.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Settings")]
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
    /// Where the identity provider publishes its public keys (https; http on loopback only)
    #[arg(long, env = "JWKS_URL", global = true, value_name = "URL")]
    pub jwks_url: Option<String>,
    /// The `iss` every token must have; required with `JWKS_URL`
    #[arg(long, env = "JWT_ISSUER", global = true, value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,
    /// The `aud` every token must have; required with `JWKS_URL`
    #[arg(long, env = "JWT_AUDIENCE", global = true, value_name = "AUDIENCE")]
    pub jwt_audience: Option<String>,
    /// Origins whose pages may call the API, comma-separated
    #[arg(long, env = "ALLOWED_ORIGINS", global = true, value_name = "ORIGINS")]
    pub allowed_origins: Option<String>,
    /// `development` or `production`
    #[arg(long, env = "ENVIRONMENT", global = true)]
    pub environment: Option<String>,
    /// `sole`: no other process works on the store; `cluster`: any number of them do, on one PostgreSQL
    #[arg(long, env = "MODE", global = true)]
    pub mode: Option<String>,
    /// With `MODE=cluster`, how old a state a read may show; 0, the default, for none but the newest
    #[arg(long, env = "READ_MAX_STALENESS", global = true, value_name = "DURATION")]
    pub read_max_staleness: Option<String>,
    /// Connections to PostgreSQL
    #[arg(long, env = "DB_POOL_SIZE", global = true, value_name = "COUNT")]
    pub db_pool_size: Option<String>,
    /// Memory the cached tasks may take; idle users are dropped from it beyond that
    #[arg(long, env = "CACHE_MAX_BYTES", global = true, value_name = "BYTES")]
    pub cache_max_bytes: Option<String>,
    /// Tasks one user may have
    #[arg(long, env = "MAX_TASKS_PER_USER", global = true, value_name = "COUNT")]
    pub max_tasks_per_user: Option<String>,
    /// Event streams that may be open in all; one user may have a tenth of them
    #[arg(long, env = "MAX_EVENT_STREAMS", global = true, value_name = "COUNT")]
    pub max_event_streams: Option<String>,
    /// `true` to take a PostgreSQL server that loses commits when its machine crashes
    #[arg(long, env = "ALLOW_UNSAFE_STORE", global = true, value_name = "BOOL")]
    pub allow_unsafe_store: Option<String>,
    /// Size of a request's body
    #[arg(long, env = "MAX_BODY_BYTES", global = true, value_name = "BYTES")]
    pub max_body_bytes: Option<String>,
    /// Requests of one user: `<per second>` or `<per second>:<at once>`; `off`, the default, for no limit
    #[arg(long, env = "RATE_LIMIT_PER_USER", global = true, value_name = "RATE")]
    pub rate_limit_per_user: Option<String>,
    /// Refused tokens from one address, in the same form; `off` for no limit
    #[arg(long, env = "AUTH_FAILURES_PER_ADDRESS", global = true, value_name = "RATE")]
    pub auth_failures_per_address: Option<String>,
    /// Connections open at once; further ones wait
    #[arg(long, env = "MAX_CONNECTIONS", global = true, value_name = "COUNT")]
    pub max_connections: Option<String>,
    /// Certificate chain (PEM) to serve https with; needs `TLS_KEY`
    #[arg(long, env = "TLS_CERT", global = true, value_name = "FILE")]
    pub tls_cert: Option<String>,
    /// Private key (PEM) of `TLS_CERT`
    #[arg(long, env = "TLS_KEY", global = true, value_name = "FILE")]
    pub tls_key: Option<String>,
    /// Seconds that requests in flight get to finish at a stop
    #[arg(long, env = "SHUTDOWN_TIMEOUT", global = true, value_name = "SECONDS")]
    pub shutdown_timeout: Option<String>,
    /// Seconds to go on taking requests after a stop was asked for, while `/ready` says 503
    #[arg(long, env = "DRAIN_TIME", global = true, value_name = "SECONDS")]
    pub drain_time: Option<String>,
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
    /// Which processes work on it.
    pub mode: Mode,
    /// The HS256 secret; `None` in development means: use the one kept in the data folder.
    pub secret: Option<Secret>,
    /// Where the identity provider publishes its keys.
    pub jwks_url: Option<String>,
    /// What tokens must say of their origin and destination.
    pub expected: Expected,
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
    /// Event streams that may be open in all; one user may have a tenth of them. Each takes a
    /// connection: as many as there may be connections would leave none for requests.
    pub max_event_streams: usize,
    /// Whether a store will do that loses commits when its machine crashes; always so in development.
    pub allow_unsafe_store: bool,
    /// Bytes of a request's body.
    pub max_body_bytes: usize,
    /// How often one user may ask; `None` for as often as they like.
    pub rate_limit_per_user: Option<Rate>,
    /// How many refused tokens of one address are answered as such. Too low: a broken client is told to
    /// wait and not what is wrong. Too high: a flood of them floods the log.
    pub auth_failures_per_address: Option<Rate>,
    /// Connections open at once; fewer where the system allows fewer open files.
    pub max_connections: usize,
    /// What https is served with; `None` for http.
    pub tls: Option<TlsFiles>,
    /// How long a stop waits for requests in flight.
    pub shutdown_timeout: Duration,
    /// How long requests are still taken after that, so that a load balancer has time to see `/ready` say no.
    /// Too short: connections that it opens meanwhile are refused.
    pub drain_time: Duration,
    /// Which requests are logged.
    pub log_requests: LogRequests,
    /// A listener of its own for the metrics.
    pub metrics_listen: Option<std::net::SocketAddr>,
}

impl Config {
    /// Checks the settings. A variable that is set to nothing counts as not set.
    ///
    /// # Errors
    /// [`ConfigError`] names the first variable that is wrong, its value's form, and what is allowed.
    pub fn check(settings: &Settings) -> Result<Self, ConfigError> {
        let environment = match given(settings.environment.as_deref()).unwrap_or("development") {
            "development" => Environment::Development,
            "production" => Environment::Production,
            other => return Err(wrong("ENVIRONMENT", other, "`development` or `production`")),
        };
        let jwks_url = given(settings.jwks_url.as_deref()).map(jwks_url).transpose()?;
        let expected = Expected {
            issuer: given(settings.jwt_issuer.as_deref()).map(str::to_owned),
            audience: given(settings.jwt_audience.as_deref()).map(str::to_owned),
        };
        if jwks_url.is_some() {
            let missing = [("JWT_ISSUER", &expected.issuer), ("JWT_AUDIENCE", &expected.audience)];
            if let Some((name, _)) = missing.iter().find(|(_, value)| value.is_none()) {
                let why = "is not set, but must be with JWKS_URL: else tokens made for other services pass here; \
                           with Better Auth both are its base URL";
                return Err(ConfigError(format!("{name} {why}")));
            }
        }
        let store = given(settings.database_url.as_deref()).unwrap_or("sqlite://data/tasklane.db");
        let store = StoreUrl::parse("DATABASE_URL", store)?;
        Ok(Self {
            host: given(settings.host.as_deref()).unwrap_or("127.0.0.1").to_owned(),
            port: number("PORT", settings.port.as_deref(), 8000, 0..=65535)?,
            mode: mode::mode(settings.mode.as_deref(), settings.read_max_staleness.as_deref(), &store)?,
            store,
            secret: secret(given(settings.better_auth_secret.as_deref()), environment, jwks_url.is_some())?,
            jwks_url,
            expected,
            allowed_origins: origins(
                given(settings.allowed_origins.as_deref()).unwrap_or("http://localhost:3000"),
            )?,
            environment,
            db_pool_size: number("DB_POOL_SIZE", settings.db_pool_size.as_deref(), 10, 2..=1000)?,
            cache_max_bytes: number(
                "CACHE_MAX_BYTES",
                settings.cache_max_bytes.as_deref(),
                256 << 20,
                1 << 20..=1 << 40,
            )?,
            max_tasks_per_user: number(
                "MAX_TASKS_PER_USER",
                settings.max_tasks_per_user.as_deref(),
                100_000,
                1..=10_000_000,
            )?,
            max_event_streams: number(
                "MAX_EVENT_STREAMS",
                settings.max_event_streams.as_deref(),
                5_000,
                10..=1_000_000,
            )?,
            allow_unsafe_store: match given(settings.allow_unsafe_store.as_deref()) {
                Some("true") => true,
                Some("false") | None => environment == Environment::Development,
                Some(other) => return Err(wrong("ALLOW_UNSAFE_STORE", other, "`true` or `false`")),
            },
            max_body_bytes: number(
                "MAX_BODY_BYTES",
                settings.max_body_bytes.as_deref(),
                64 << 10,
                1 << 10..=64 << 20,
            )?,
            rate_limit_per_user: rate::rate(
                "RATE_LIMIT_PER_USER",
                given(settings.rate_limit_per_user.as_deref()),
                None,
            )?,
            auth_failures_per_address: rate::rate(
                "AUTH_FAILURES_PER_ADDRESS",
                given(settings.auth_failures_per_address.as_deref()),
                Some(AUTH_FAILURES),
            )?,
            max_connections: number(
                "MAX_CONNECTIONS",
                settings.max_connections.as_deref(),
                10_000,
                10..=1_000_000,
            )?,
            tls: tls(given(settings.tls_cert.as_deref()), given(settings.tls_key.as_deref()))?,
            shutdown_timeout: seconds(
                "SHUTDOWN_TIMEOUT",
                settings.shutdown_timeout.as_deref(),
                30,
                1..=3600,
            )?,
            drain_time: seconds("DRAIN_TIME", settings.drain_time.as_deref(), 0, 0..=3600)?,
            log_requests: match (given(settings.log_requests.as_deref()), environment) {
                (Some("problems"), _) | (None, Environment::Production) => LogRequests::Problems,
                (Some("all"), _) | (None, Environment::Development) => LogRequests::All,
                (Some(other), _) => return Err(wrong("LOG_REQUESTS", other, "`problems` or `all`")),
            },
            metrics_listen: given(settings.metrics_listen.as_deref())
                .map(|text| {
                    let allowed = "an IP address and a port, such as 127.0.0.1:9000";
                    text.parse().map_err(|_| wrong("METRICS_LISTEN", text, allowed))
                })
                .transpose()?,
        })
    }
}

/// What is wrong with the settings: one line that names the variable, the value's form and what is
/// allowed. It never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

fn wrong(name: &str, value: &str, allowed: &str) -> ConfigError {
    ConfigError(format!("{name} is `{}`, but must be {allowed}", value.escape_debug()))
}

fn given(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|text| !text.is_empty())
}

fn number<T: FromStr + PartialOrd + fmt::Display>(
    name: &str,
    value: Option<&str>,
    default: T,
    range: RangeInclusive<T>,
) -> Result<T, ConfigError> {
    let Some(text) = given(value) else { return Ok(default) };
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        wrong(name, text, &format!("a whole number from {} to {}", range.start(), range.end()))
    })
}

fn seconds(
    name: &str,
    value: Option<&str>,
    default: u64,
    range: RangeInclusive<u64>,
) -> Result<Duration, ConfigError> {
    number(name, value, default, range).map(Duration::from_secs)
}

fn secret(
    value: Option<&str>,
    environment: Environment,
    has_jwks: bool,
) -> Result<Option<Secret>, ConfigError> {
    let production = environment == Environment::Production;
    let problem = match value {
        None if production && !has_jwks => "is not set, nor is JWKS_URL",
        None => return Ok(None),
        Some(text) if text.len() < 32 => "is shorter than 32 bytes",
        Some(text) if production && is_well_known(text) => "is a value anybody can guess",
        Some(text) => return Ok(Some(Secret::new(text.to_owned()))),
    };
    Err(ConfigError(format!(
        "BETTER_AUTH_SECRET {problem}, but must be the secret the frontend signs its tokens with, \
         32 bytes at least; `openssl rand -base64 32` makes a good one"
    )))
}

/// The keys decide who gets in: they come over https, or from this very machine.
fn jwks_url(text: &str) -> Result<String, ConfigError> {
    let url = reqwest::Url::parse(text).ok().filter(|url| {
        let loopback = match url.host() {
            // No name below it: whether that is this machine is for some resolver to say.
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        url.scheme() == "https" || (url.scheme() == "http" && loopback)
    });
    let allowed = "an https URL (or http on loopback), such as https://app.example.org/api/auth/jwks";
    url.map(String::from).ok_or_else(|| ConfigError(format!("JWKS_URL must be {allowed}")))
}

fn tls(certificate: Option<&str>, key: Option<&str>) -> Result<Option<TlsFiles>, ConfigError> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => {
            Ok(Some(TlsFiles { certificate: certificate.into(), key: key.into() }))
        }
        (Some(_), None) => Err(ConfigError("TLS_KEY is not set, but must be with TLS_CERT".into())),
        (None, Some(_)) => Err(ConfigError("TLS_CERT is not set, but must be with TLS_KEY".into())),
    }
}

/// Better Auth's own default, and what people type in place of a secret.
fn is_well_known(secret: &str) -> bool {
    let distinct = secret.bytes().collect::<std::collections::HashSet<_>>().len();
    let lower = secret.to_ascii_lowercase();
    distinct < 8
        || ["better-auth-secret", "change-me", "changeme", "change_me"]
            .iter()
            .any(|word| lower.contains(word))
}

fn origins(text: &str) -> Result<Vec<String>, ConfigError> {
    let allowed = "a comma-separated list of origins such as https://app.example.org \
                   (scheme, host and port only; `*` is not allowed, since answers carry credentials)";
    let is_origin = |origin: &str| {
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        rest.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', '?', '#', '@', ' ']))
    };
    let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    origins
        .map(|origin| origin.trim_end_matches('/').to_ascii_lowercase())
        .map(
            |origin| {
                if is_origin(&origin) { Ok(origin) } else { Err(wrong("ALLOWED_ORIGINS", &origin, allowed)) }
            },
        )
        .collect()
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

/// What a token must say of its origin and its destination, where that is configured.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The `iss` it must have.
    pub issuer: Option<String>,
    /// The `aud` it must have, or have among others.
    pub audience: Option<String>,
}

/// The files that https is served with, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and what links it to a known authority.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(set: impl Fn(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        set(&mut settings);
        settings
    }

    #[test]
    fn nothing_given_is_a_developers_machine() {
        let config = Config::check(&Settings::default()).unwrap();
        assert_eq!((config.host.as_str(), config.port), ("127.0.0.1", 8000));
        assert_eq!(config.store, StoreUrl::Sqlite("data/tasklane.db".into()));
        assert_eq!(config.environment, Environment::Development);
        assert_eq!(config.secret, None);
    }

    #[test]
    fn a_variable_set_to_nothing_counts_as_not_set() {
        let blank = settings(|s| {
            s.port = Some(String::new());
            s.better_auth_secret = Some(" ".into());
        });
        assert_eq!(Config::check(&blank).unwrap().port, 8000);
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed_and_a_secret_never_shown() {
        type Set = fn(&mut Settings);
        let cases: [(&str, Set, &str); 8] = [
            ("PORT", |s| s.port = Some("70000".into()), "0 to 65535"),
            ("DB_POOL_SIZE", |s| s.db_pool_size = Some("many".into()), "2 to 1000"),
            ("ENVIRONMENT", |s| s.environment = Some("prod".into()), "`production`"),
            ("LOG_REQUESTS", |s| s.log_requests = Some("none".into()), "`all`"),
            ("DATABASE_URL", |s| s.database_url = Some("mysql://u:hunter2@h/d".into()), "`sqlite://<path>`"),
            ("BETTER_AUTH_SECRET", |s| s.better_auth_secret = Some("hunter2".into()), "32 bytes"),
            ("ALLOWED_ORIGINS", |s| s.allowed_origins = Some("*".into()), "https://app.example.org"),
            ("METRICS_LISTEN", |s| s.metrics_listen = Some("9000".into()), "127.0.0.1:9000"),
        ];
        for (name, set, allowed) in cases {
            let error = Config::check(&settings(set)).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains(allowed), "{error}");
            assert!(!error.contains("hunter2") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn production_starts_only_with_a_secret_nobody_can_guess() {
        let production = |secret: Option<&str>| {
            Config::check(&settings(|s| {
                s.environment = Some("production".into());
                s.better_auth_secret = secret.map(Into::into);
            }))
        };
        assert!(production(None).is_err());
        assert!(production(Some(&"a".repeat(64))).is_err());
        assert!(production(Some("better-auth-secret-12345678901234567890")).is_err());
        assert!(production(Some("Zk3mQ9vLx7Rt2Yw8Bn4Hc6Jd1Fg5Ps0a")).is_ok());
    }
}
