//! Puts the parts together, runs them, and takes them down in order.

use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, process};

use actix_rt::{Arbiter, System};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::auth::{self, Signer, Verifier};
use crate::config::{Config, ConfigError, Environment, Mode, Secret, StoreUrl};
use crate::greeting::greeting;
use crate::http::{self, Api};
use crate::lane::{LaneLimits, Reads, Registry};
use crate::store::group_commit::GroupCommitter;
use crate::store::postgres::{PostgresOptions, PostgresStore};
use crate::store::retention::maintain;
use crate::store::sqlite::SqliteStore;
use crate::store::{Hint, Store, StoreError};
use crate::telemetry::{init_logs, metrics};

/// Threads for the store's own work: queries, group commit, timers.
const STORE_THREADS: usize = 2;

/// How often the metrics' samples are put in their buckets, and idle callers forgotten.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long after the last answer was made its bytes get to leave.
const LAST_BYTES: Duration = Duration::from_millis(200);

/// Why the service does not start, or a command fails: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Anything else the system refuses.
    #[error("{0}")]
    System(String),
}

fn failed(what: impl Display) -> impl FnOnce(io::Error) -> AppError {
    move |error| AppError::System(format!("{what}: {error}"))
}

/// Takes settings from `.env` in this folder or one above it, for variables that are not set.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read_dotenv() -> Result<(), AppError> {
    match dotenvy::dotenv() {
        Ok(_) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        // The line that cannot be read may be the one with the secret.
        Err(dotenvy::Error::LineParse(_, place)) => {
            Err(AppError::System(format!(".env has a line that cannot be read, at its character {place}")))
        }
        Err(error) => Err(AppError::System(format!(".env cannot be read: {error}"))),
    }
}

/// `tasklane serve`: runs until it is told to stop, then finishes what was accepted.
///
/// # Errors
/// [`AppError`] when it cannot start.
pub fn serve(mut config: Config) -> Result<(), AppError> {
    // Only a host program that embeds this one can have set up logs before; it keeps its own.
    let _ = init_logs(config.environment);
    if config.environment == Environment::Development && config.secret.is_none() {
        config.secret = Some(development_secret(&config)?);
    }
    // Every connection takes a file descriptor, and the usual soft limit of 1024 is for programs that use select.
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => config.max_connections = within(files, config.max_connections),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
    let runtime = store_runtime()?;
    start_traces(&runtime)?;
    System::new().block_on(run(config, &runtime))?;
    #[cfg(feature = "otlp")]
    crate::telemetry::stop_traces();
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

#[cfg(feature = "otlp")]
fn start_traces(runtime: &Runtime) -> Result<(), AppError> {
    crate::telemetry::start_traces(runtime.handle().clone()).map_err(AppError::System)
}

/// Says of traces that are asked for that this program cannot send any.
#[cfg(not(feature = "otlp"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature it may fail")]
fn start_traces(_: &Runtime) -> Result<(), AppError> {
    if std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_some_and(|value| !value.is_empty()) {
        tracing::warn!(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and this program was built without the feature otlp: no traces"
        );
    }
    Ok(())
}

/// Descriptors kept from clients: for the store, its connections, the keys' fetch, the log.
const OWN_FILES: u64 = 256;

/// How many connections can be had with so many open files.
fn within(files: u64, wanted: usize) -> usize {
    let most = usize::try_from(files.saturating_sub(OWN_FILES).max(files / 2)).unwrap_or(usize::MAX);
    wanted.min(most)
}

/// `tasklane migrate`: brings the store's tables up to date.
///
/// # Errors
/// [`AppError`] when the store cannot be opened or migrated.
pub fn migrate(config: &Config) -> Result<(), AppError> {
    let runtime = store_runtime()?;
    runtime.block_on(async {
        let store = open_store(config, &runtime).await?;
        store.close().await;
        Ok::<_, AppError>(())
    })?;
    println!("The tables of the {:?} are up to date.", config.store);
    Ok(())
}

/// `tasklane token`: prints a token.
///
/// # Errors
/// [`AppError`] when there is no secret to sign it with.
pub fn print_token(config: &Config, user: &str, email: Option<&str>, ttl: Duration) -> Result<(), AppError> {
    let secret = match &config.secret {
        Some(secret) => secret.clone(),
        None if config.environment == Environment::Development => development_secret(config)?,
        None => {
            let why = "BETTER_AUTH_SECRET is not set, but must be to sign a token: keys of JWKS_URL are the provider's";
            return Err(AppError::System(why.into()));
        }
    };
    if !auth::is_subject(user) {
        return Err(AppError::System("--user must be 1 to 128 bytes, without control characters".into()));
    }
    println!("{}", Signer::new(secret, config.expected.clone()).issue(user, email, ttl));
    Ok(())
}

/// `tasklane openapi`: prints the OpenAPI document.
///
/// # Errors
/// None; it has the form of the other commands.
pub fn print_openapi() -> Result<(), AppError> {
    println!("{}", http::docs::openapi::document());
    Ok(())
}

/// The store's own runtime: no commit hangs on an HTTP worker.
pub(crate) fn store_runtime() -> Result<Runtime, AppError> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(STORE_THREADS).thread_name("store").enable_all();
    builder.build().map_err(failed("cannot start threads"))
}

/// The store to serve from, and word of what other processes do on it, where there may be any.
async fn serving_store(
    config: &Config,
    runtime: &Runtime,
) -> Result<(Arc<dyn Store>, Option<mpsc::Receiver<Hint>>), AppError> {
    let StoreUrl::Postgres(url) = &config.store else {
        return Ok((open_store(config, runtime).await?, None));
    };
    let store = open_postgres(config, url, runtime).await?;
    let shared = config.mode != Mode::Sole;
    store.watch_for_others(shared);
    let hints = shared.then(|| store.exchange_hints());
    Ok((Arc::new(store), hints))
}

async fn open_store(config: &Config, runtime: &Runtime) -> Result<Arc<dyn Store>, AppError> {
    Ok(match &config.store {
        StoreUrl::Sqlite(path) => Arc::new(SqliteStore::open(path).map_err(named_by("DATABASE_URL"))?),
        StoreUrl::Postgres(url) => Arc::new(open_postgres(config, url, runtime).await?),
    })
}

async fn open_postgres(config: &Config, url: &str, runtime: &Runtime) -> Result<PostgresStore, AppError> {
    let store = PostgresStore::connect(postgres_options(config, url), runtime.handle().clone()).await;
    store.map_err(named_by("DATABASE_URL"))
}

/// Says which setting, or option, names the store that cannot be opened.
pub(crate) fn named_by(setting: &str) -> impl FnOnce(StoreError) -> AppError {
    move |StoreError(error)| AppError::Store(StoreError(format!("{setting}: {error}")))
}

pub(crate) fn postgres_options(config: &Config, url: &str) -> PostgresOptions {
    let mut options = PostgresOptions::new(url.to_owned(), config.db_pool_size);
    options.allow_unsafe = config.allow_unsafe_store;
    options
}

/// The secret of this machine, kept beside the SQLite file, or in `data`.
fn development_secret(config: &Config) -> Result<Secret, AppError> {
    let folder = match &config.store {
        StoreUrl::Sqlite(path) => path.parent().unwrap_or(Path::new("")),
        StoreUrl::Postgres(_) => Path::new("data"),
    };
    auth::development_secret(folder).map_err(failed("cannot keep a secret for development"))
}

async fn run(config: Config, runtime: &Runtime) -> Result<(), AppError> {
    let mut signals = Signals::listen()?;
    let tls = config.tls.as_ref().map(http::tls::server_config).transpose().map_err(AppError::System)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let (store, hints) = serving_store(&config, runtime).await?;
    let limits = LaneLimits {
        max_tasks: config.max_tasks_per_user,
        cache_bytes: config.cache_max_bytes,
        followers: config.max_event_streams,
        followers_per_user: config.max_event_streams / 10,
        reads: match config.mode {
            Mode::Sole => Reads::Own,
            Mode::Cluster { staleness } if staleness.is_zero() => Reads::Strict,
            Mode::Cluster { staleness } => Reads::Bounded(staleness),
        },
        jitter_seed: RandomState::new().hash_one(process::id()),
        ..LaneLimits::default()
    };
    let (committer, settled) = GroupCommitter::start(Arc::clone(&store), runtime.handle(), limits.waiting);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    // An arbiter for two HTTP workers: planning a batch is little work beside parsing and answering.
    let arbiters: Vec<Arbiter> = (0..workers.div_ceil(2)).map(|_| Arbiter::new()).collect();
    let places = arbiters.iter().map(Arbiter::handle).collect();
    let lanes = Registry::start(Arc::clone(&store), committer, limits, places, runtime.handle().clone());
    if let Some(hints) = hints {
        lanes.follow_others(hints);
    }
    let jwks_url = config.jwks_url.as_deref();
    let verifier = Verifier::start(config.secret.as_ref(), jwks_url, &config.expected, runtime.handle())
        .map_err(|error| AppError::System(format!("cannot prepare to fetch JWKS_URL: {error}")))?;
    let api = Api::new(lanes.clone(), Arc::new(verifier), &config);
    let maintenance = runtime.spawn(maintain(Arc::clone(&store)));
    let kept = Arc::downgrade(&api);
    runtime.spawn(async move {
        loop {
            sleep(UPKEEP).await;
            let Some(api) = kept.upgrade() else { return };
            metrics().upkeep();
            api.upkeep();
        }
    });

    let (addresses, server) = http::run(&config.host, config.port, workers, &api, tls)
        .map_err(failed(format_args!("HOST, PORT: cannot listen on {}:{}", config.host, config.port)))?;
    let handle = server.handle();
    let mut handles = vec![server.handle()];
    let mut serving = actix_rt::spawn(server);
    if let Some(address) = config.metrics_listen {
        let (addresses, server) = http::run_metrics(address, &api)
            .map_err(failed(format_args!("METRICS_LISTEN: cannot listen on {address}")))?;
        tracing::info!(address = format!("http://{}", addresses[0]), "serving metrics");
        handles.push(server.handle());
        actix_rt::spawn(server);
    }
    let address = format!("{scheme}://{}", addresses[0]);
    tracing::info!(address, store = ?config.store, mode = ?config.mode, workers, "listening");
    if let Some(signer) = Signer::of_development(&config) {
        println!("{}", greeting(&address, &config.store, &signer));
    }

    tokio::select! {
        name = signals.next() => tracing::info!(signal = name, "stopping: requests under way are finished first"),
        _ = &mut serving => return Err(AppError::System("the HTTP server stopped by itself".into())),
    }
    actix_rt::spawn(async move {
        let name = signals.next().await;
        tracing::warn!(signal = name, "stopping at once");
        process::exit(1);
    });
    // `/ready` says no, every answer closes its connection. What a load balancer sends until it has asked is served.
    api.drain();
    sleep(config.drain_time).await;
    let deadline = Instant::now() + config.shutdown_timeout;
    let left = || deadline.saturating_duration_since(Instant::now());

    // No new connections; then nothing is on its way any more.
    handle.pause().await;
    let unanswered = timeout(left(), quiet(&api)).await.is_err();
    for handle in handles {
        handle.stop(false).await;
    }
    // What clients that have gone asked for is finished too.
    let unsettled = lanes.drain(left()).await.err().unwrap_or(0);
    drop((api, lanes));
    for arbiter in arbiters {
        arbiter.stop();
        let _ = arbiter.join();
    }
    maintenance.abort();
    let in_doubt = timeout(left(), settled).await.is_err();
    let _ = timeout(left().max(Duration::from_secs(1)), store.close()).await;
    if unanswered || unsettled > 0 || in_doubt {
        tracing::warn!(
            unanswered,
            unsettled,
            in_doubt,
            "SHUTDOWN_TIMEOUT has passed: what was left was cut off"
        );
    } else {
        tracing::info!("stopped; everything accepted was finished");
    }
    Ok(())
}

/// Returns once no request has been on its way for a moment.
async fn quiet(api: &Api) {
    let mut since = Instant::now();
    while since.elapsed() < LAST_BYTES {
        sleep(Duration::from_millis(10)).await;
        if api.in_flight() > 0 {
            since = Instant::now();
        }
    }
}

/// The signals that mean "stop".
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, AppError> {
        let listen = |kind| signal(kind).map_err(failed("cannot listen for signals"));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
