//! Log lines, on stderr: readable ones for a developer, JSON in production.

use std::io::{IsTerminal, stderr};
use std::panic;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

use crate::config::Environment;

/// The filter without `RUST_LOG`: our own lines and the libraries' warnings, except those of `actix_http`, which
/// logs every malformed request as an error.
const DEFAULT_FILTER: &str = "warn,tasklane=info,actix_http=off";

/// Sends log lines to stderr from now on, filtered by `RUST_LOG` if that is set. In production a panic becomes
/// a log line as well: with its location, but without its message, which may quote a user's text.
///
/// # Errors
/// When logs were set up before. Those stay as they are.
pub fn init_logs(environment: Environment) -> Result<(), TryInitError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let given = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let (filter, wrong) = match given.map(EnvFilter::try_new).transpose() {
        Ok(filter) => (filter, None),
        Err(error) => (None, Some(error)),
    };
    let filter = filter.unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_target(false);
    match environment {
        Environment::Development => lines.compact().with_ansi(colours()).finish().try_init()?,
        Environment::Production => {
            let json = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
            json.finish().try_init()?;
            panic::set_hook(Box::new(|panic| {
                let location = panic.location().map(ToString::to_string).unwrap_or_default();
                let thread = std::thread::current();
                tracing::error!(location, thread = thread.name().unwrap_or_default(), "panic");
            }));
        }
    }
    if let Some(error) = wrong {
        tracing::warn!(%error, "RUST_LOG is not a filter; the default is used");
    }
    Ok(())
}

/// Whether colours are wanted: on a terminal, unless `NO_COLOR` is set (no-color.org).
fn colours() -> bool {
    stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
