//! How requests are served, and how many of them one caller may send.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use url::{Host, Url};

use super::check::{ConfigError, is_resolvable, number, seconds, wrong};
use super::network::Network;
use super::rate::Rate;

/// How requests are served, and how many of them one caller may send.
///
/// A setting with a default is spelled `std::option::Option` or `std::vec::Vec`: for a plain `Option` or `Vec` clap
/// expects none.
#[derive(Args, Clone, Debug)]
pub struct HttpConfig {
    /// Address to listen on
    #[arg(long, env, display_order = 1, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = host)]
    pub host: String,
    /// Port to listen on; 0 lets the system choose
    #[arg(long, env, display_order = 2, default_value_t = 8000, value_parser = number(0..=65535_u16))]
    pub port: u16,
    /// Origins whose pages may call the API, comma-separated, or `none`; production's default is `none`
    #[arg(long, env, display_order = 8, value_name = "ORIGINS")]
    #[arg(default_value = "http://localhost:3000", value_parser = origins)]
    #[arg(default_value_if("environment", "production", "none"))]
    pub allowed_origins: std::vec::Vec<String>,
    /// Where clients reach the service, such as `https://app.example.org/backend`: links in `Link` and `Location` begin
    /// with it; without it they are paths
    #[arg(long, env, value_name = "URL", value_parser = public_url)]
    pub public_url: Option<String>,
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
    /// Whether browsers reach this process by https without a proxy.
    pub(crate) const fn is_https(&self) -> bool {
        self.tls_cert.is_some()
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => Err(ConfigError("TLS_KEY is not set, but must be with TLS_CERT".into())),
            (None, Some(_)) => Err(ConfigError("TLS_CERT is not set, but must be with TLS_KEY".into())),
            _ => Ok(()),
        }
    }
}

/// An address, or a name of this machine, without the brackets that a URL needs.
fn host(text: &str) -> Result<String, ConfigError> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let (address, zone) = bare.split_once('%').unwrap_or((bare, "0"));
    let is_zoned =
        address.parse::<Ipv6Addr>().is_ok() && zone.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_zoned || bare.parse::<IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    // Without a colon it is no port, and no part of a URL.
    let name = Some(text).filter(|text| !text.contains([':', '/', '@', '?', '#', '%', '\\']));
    match name.and_then(|name| Host::parse(name).ok()) {
        Some(Host::Domain(name)) if is_resolvable(&Host::Domain(&name)) => Ok(name),
        _ => Err(wrong(text, "an IP address or a name of this machine, such as 127.0.0.1, ::1 or localhost")),
    }
}

/// Origins in the form in which browsers send them: lower case, international names in Punycode, no default port.
fn origins(text: &str) -> Result<Vec<String>, ConfigError> {
    let allowed = "`none`, or a comma-separated list of origins such as https://app.example.org \
                   (scheme, host and port only; `*` is not allowed, since answers carry credentials)";
    if text == "none" {
        return Ok(Vec::new());
    }
    let mut origins = Vec::new();
    for part in text.split(',').map(str::trim) {
        let origin = origin(part).ok_or_else(|| wrong(part, allowed))?;
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    Ok(origins)
}

fn origin(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("://")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // A URL's parser would repair some of these, and drop others.
    if rest.is_empty() || rest.contains(['/', '\\', '?', '#', '@', '*', '%', ' ']) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let is_origin = matches!(url.scheme(), "http" | "https") && url.port() != Some(0) && !rest.ends_with(':');
    let is_origin = is_origin && url.host().is_some_and(|host| is_resolvable(&host));
    is_origin.then(|| url.origin().ascii_serialization())
}

/// Reads a URL to which a path can be appended.
fn public_url(text: &str) -> Result<String, ConfigError> {
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.port() != Some(0)
            && url.host().is_some_and(|host| is_resolvable(&host))
            && !text.contains(|c: char| c.is_whitespace() || c.is_control())
    });
    let url = url.ok_or_else(|| {
        wrong(
            text,
            "an http or https URL without user, query and fragment, such as https://app.example.org/backend",
        )
    })?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_as_a_browser_sends_it_or_it_is_refused() {
        for (text, sent) in [
            ("https://münchen.example", "https://xn--mnchen-3ya.example"),
            ("HTTPS://App.Example:443/", "https://app.example"),
            ("http://a.example:80", "http://a.example"),
            ("http://a.example:443", "http://a.example:443"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
            ("https://a.example:65535", "https://a.example:65535"),
            ("http://localhost:3000", "http://localhost:3000"),
        ] {
            assert_eq!(origins(text), Ok(vec![sent.to_owned()]), "{text}");
        }
        assert_eq!(origins("none"), Ok(vec![]));
        assert_eq!(origins("https://a.example, https://A.example/").map(|all| all.len()), Ok(1));
        for text in [
            "*",
            "null",
            "localhost:3000",
            "https://",
            "https:///a",
            "https:a.example",
            "https://a.example//",
            "https://a.example/x",
            "https://a.example?x",
            "https://a.example#x",
            "https://u:p@a.example",
            "https://a.example:0",
            "https://a.example:65536",
            "https://a.example:",
            "https://a b",
            "https://a%20b",
            "https://*.example",
            "ftp://a.example",
            "https://a.example,",
            ",",
            "https://[::1",
            "https://a\\b",
            "https://xn--a",
            "https://$HOST",
            "'https://a.example'",
            "$ORIGIN",
            "https://a.example https://b.example",
        ] {
            assert!(origins(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_an_address_or_a_name() {
        for (text, bound) in [
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("0.0.0.0", "0.0.0.0"),
            ("LocalHost", "localhost"),
            ("fe80::1%eth0", "fe80::1%eth0"),
        ] {
            assert_eq!(host(text), Ok(bound.to_owned()));
        }
        for text in [
            "127.0.0.1:8000",
            "http://localhost",
            "[::1]:80",
            "a b",
            "300.1.1.1",
            "*",
            "a/b",
            "$HOST",
            "[localhost]",
        ] {
            assert!(host(text).is_err(), "{text}");
        }
    }
}
