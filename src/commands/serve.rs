//! `tasklane serve`: runs until it is stopped, then finishes what it accepted.

use std::io::{Write, stdout};
use std::thread;
use std::time::Duration;

use actix_rt::System;
use tokio::runtime::Runtime;

use super::greeting::greeting;
use super::token::development_secret;
use crate::app::{self, AppError, Signals, store_runtime};
use crate::auth::Signer;
use crate::config::{Config, Environment};
use crate::telemetry::{flush_logs, init_logs};

/// File descriptors that clients cannot use: for the store, its connections, fetches of keys, the log.
const OWN_FILES: u64 = 256;

/// Serves until it is stopped.
///
/// # Errors
/// [`AppError`] when it cannot start.
pub fn serve(config: Config) -> Result<(), AppError> {
    // Fails in a program that embeds this one and has set up logs already; it keeps its own.
    let _ = init_logs(config.environment);
    let served = serve_with_logs(config);
    flush_logs();
    served
}

fn serve_with_logs(mut config: Config) -> Result<(), AppError> {
    if config.environment == Environment::Development && config.auth.better_auth_secret.is_none() {
        config.auth.better_auth_secret = Some(development_secret(&config.store)?);
    }
    // Every connection takes a file descriptor, and the usual soft limit of 1024 is for programs that use select.
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => {
            let most = usize::try_from(files.saturating_sub(OWN_FILES).max(files / 2)).unwrap_or(usize::MAX);
            config.http.max_connections = config.http.max_connections.min(most);
        }
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
    let runtime = store_runtime()?;
    #[cfg(feature = "otlp")]
    crate::telemetry::start_traces(runtime.handle().clone()).map_err(AppError::System)?;
    #[cfg(not(feature = "otlp"))]
    warn_of_no_traces();
    System::new().block_on(run(&config, &runtime))?;
    #[cfg(feature = "otlp")]
    crate::telemetry::stop_traces();
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

async fn run(config: &Config, runtime: &Runtime) -> Result<(), AppError> {
    let signals = Signals::listen()?;
    let mut service = app::build(config, runtime).await?;
    for flag in &config.exposed {
        let why =
            "everybody on this machine can read it in the list of processes: use the variable, or NAME_FILE";
        tracing::warn!(flag, "{why}");
    }
    if let Some(signer) = Signer::of_development(&config.auth, config.environment) {
        let greeting = greeting(&service.address, &config.store.database_url, &signer);
        // It may be read by nobody, or the reader may have gone: neither is the service's trouble.
        thread::spawn(move || writeln!(stdout(), "{greeting}"));
    }
    service.serve(signals).await?;
    service.stop(config.http.drain_time, config.http.shutdown_timeout).await;
    Ok(())
}

/// Warns if traces are configured, since this program cannot send any.
#[cfg(not(feature = "otlp"))]
fn warn_of_no_traces() {
    if std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_some_and(|value| !value.is_empty()) {
        tracing::warn!(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but this program was built without the feature otlp: it sends no traces"
        );
    }
}
