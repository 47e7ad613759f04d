//! Log lines, on stderr: readable ones for a developer, JSON in production.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fs::File;
use std::io::{IsTerminal, stderr};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;
use std::{panic, thread};

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::FilterFn;

use super::log_queue::LogQueue;
use super::metrics::metrics;
use crate::config::Environment;

/// The filter without `RUST_LOG`: our own lines and the libraries' warnings, except those of `actix_http`, which
/// logs every malformed request as an error.
const DEFAULT_FILTER: &str = "warn,tasklane=info,actix_http=off";

/// How long [`flush_logs`] waits for a reader.
const FLUSH: Duration = Duration::from_secs(1);

/// The process's queue, once there is one.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// Sends log lines to stderr from now on, filtered by `RUST_LOG` if that is set, by way of a thread of their own.
/// A panic becomes a log line as well: std's own message would wait for whoever reads stderr. In production it has
/// the location, but not the message, which may quote a user's text.
///
/// # Errors
/// When logs were set up before, which then stay as they are, or the thread cannot be started.
pub fn init_logs(environment: Environment) -> Result<(), Box<dyn Error>> {
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;

    let given = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let (filter, wrong) = match given.map(EnvFilter::try_new).transpose() {
        Ok(filter) => (filter, None),
        Err(error) => (None, Some(error)),
    };
    let filter = filter.unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER));
    // Not by `Stderr`, whose lock the thread would hold while it waits for the reader.
    let sink = File::from(stderr().as_fd().try_clone_to_owned()?);
    let queue = LogQueue::start(sink, metrics().log_lines_dropped.clone())?;
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(queue.clone()).with_target(false);
    match environment {
        Environment::Development => {
            lines.compact().with_ansi(colours()).finish().with(FilterFn::new(is_fit_to_log)).try_init()?;
        }
        Environment::Production => {
            let json = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
            json.finish().with(FilterFn::new(is_fit_to_log)).try_init()?;
        }
    }
    let _ = QUEUE.set(queue);
    panic::set_hook(Box::new(move |panic| {
        let thread = thread::current();
        let thread = thread.name().unwrap_or_default();
        if environment == Environment::Production {
            let location = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(location, thread, "panic");
            return;
        }
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            tracing::error!("thread '{thread}' {panic}\n{backtrace}");
        } else {
            tracing::error!("thread '{thread}' {panic}");
        }
    }));
    if let Some(error) = wrong {
        tracing::warn!(%error, "RUST_LOG is not a filter; the default is used");
    }
    Ok(())
}

/// Whether a line may be logged, whatever `RUST_LOG` says. Debug lines of libraries quote what passes through them: a
/// statement's parameters (titles, e-mail addresses), a request's headers (tokens).
fn is_fit_to_log(line: &Metadata<'_>) -> bool {
    let is_ours = line.target() == "tasklane" || line.target().starts_with("tasklane::");
    is_ours || *line.level() <= Level::INFO
}

/// Waits until the lines so far are written, at most for a second: a reader that does not read holds up no stop.
pub fn flush_logs() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH);
    }
}

/// Whether colours are wanted: on a terminal, unless `NO_COLOR` is set (no-color.org).
fn colours() -> bool {
    stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
