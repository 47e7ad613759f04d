//! The service as a whole: [`build`] puts the parts together, [`Service::serve`] waits for the end, and
//! [`Service::stop`] stops them in order. Beside it, what other commands need as well.

use std::fmt::Display;
use std::future::pending;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io, process, thread};

use actix_rt::Arbiter;
use actix_web::dev::ServerHandle;
use async_trait::async_trait;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::auth::{KnownUsers, Verifier};
use crate::config::{Config, ConfigError, Environment, Mode, StoreUrl};
use crate::domain::{Seq, UserId};
use crate::http::{self, Api};
use crate::lane::{LaneLimits, Registry};
use crate::store::group_commit::GroupCommitter;
use crate::store::postgres::{PostgresOptions, PostgresStore};
use crate::store::retention::maintain;
use crate::store::sqlite::SqliteStore;
use crate::store::{Hint, Store, StoreError};
use crate::telemetry::{flush_logs, metrics};

/// Threads for the store's own work: queries, group commit, timers.
const STORE_THREADS: usize = 2;

/// How often the metrics' samples are sorted into buckets, and the rate limits forget idle callers.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long the last response's bytes have to be sent.
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

/// Adds what failed to an error.
pub(crate) fn failed(what: impl Display) -> impl FnOnce(io::Error) -> AppError {
    move |error| AppError::System(format!("{what}: {error}"))
}

/// Adds the setting, or option, that names the store to its error.
pub(crate) fn named_by(setting: &str) -> impl FnOnce(StoreError) -> AppError {
    move |StoreError(error)| AppError::Store(StoreError(format!("{setting}: {error}")))
}

/// The store's own runtime, so that no commit waits for an HTTP worker.
pub(crate) fn store_runtime() -> Result<Runtime, AppError> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(STORE_THREADS).thread_name("store").enable_all();
    builder.build().map_err(failed("cannot start threads"))
}

/// The store to serve from. In cluster mode also what other processes announce.
async fn open_store(
    config: &Config,
    runtime: &Runtime,
) -> Result<(Arc<dyn Store>, Option<mpsc::Receiver<Hint>>), AppError> {
    let unusable = named_by("DATABASE_URL");
    match &config.store.database_url {
        StoreUrl::Sqlite(path) => Ok((Arc::new(SqliteStore::open(path).map_err(unusable)?), None)),
        StoreUrl::Postgres(url) => {
            let options = PostgresOptions::configured(url, &config.store);
            let store = PostgresStore::connect(options, runtime.handle().clone()).await.map_err(unusable)?;
            if config.environment == Environment::Production && store.is_open_to_a_middleman() {
                let remedy = "DATABASE_URL: nothing proves that the server is the right one, so whoever is in between \
                              can read the password; use sslmode=verify-full, or sslmode=disable if the network is trusted";
                tracing::warn!("{remedy}");
            }
            let shared = config.lane.mode == Mode::Cluster;
            store.watch_for_others(shared);
            let hints = shared.then(|| store.exchange_hints());
            Ok((Arc::new(store), hints))
        }
    }
}

/// The users of a store.
struct StoredUsers(Arc<dyn Store>);

#[async_trait]
impl KnownUsers for StoredUsers {
    async fn subject_of(&self, user: UserId) -> Result<Option<String>, String> {
        // Nothing has changed since the last seq, so this brings no task.
        let stored = self.0.since(user, Seq::new(i64::MAX)).await;
        stored.map(|stored| stored.map(|user| user.subject)).map_err(|error| error.to_string())
    }
}

/// A service that is running.
pub struct Service {
    /// Where it listens: `http://127.0.0.1:8000`, say.
    pub address: String,
    store: Arc<dyn Store>,
    /// Deletes what is older than the store has to keep.
    maintenance: JoinHandle<()>,
    /// Ends when no batch is left to commit.
    settled: JoinHandle<()>,
    /// The threads of the lanes.
    arbiters: Vec<Arbiter>,
    lanes: Registry,
    api: Arc<Api>,
    listener: ServerHandle,
    metrics_listener: Option<ServerHandle>,
    serving: JoinHandle<io::Result<()>>,
}

/// Puts the parts together, from the store up to the listeners. The store works on `runtime`.
///
/// # Errors
/// [`AppError`] names the setting that is wrong.
pub async fn build(config: &Config, runtime: &Runtime) -> Result<Service, AppError> {
    let tls = config.http.tls_cert.as_ref().zip(config.http.tls_key.as_ref());
    let tls = tls.map(|(certificate, key)| http::tls::server_config(certificate, key)).transpose();
    let tls = tls.map_err(AppError::System)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let workers = thread::available_parallelism().map_or(2, usize::from);

    let (store, hints) = open_store(config, runtime).await?;
    let jitter_seed = RandomState::new().hash_one(process::id());
    let limits = LaneLimits { jitter_seed, ..LaneLimits::new(config.lane.clone()) };
    let (committer, settled) = GroupCommitter::start(Arc::clone(&store), runtime.handle(), limits.waiting);

    // An arbiter for two HTTP workers: planning a batch is little work beside parsing and answering.
    let arbiters: Vec<Arbiter> = (0..workers.div_ceil(2)).map(|_| Arbiter::new()).collect();
    let handles = arbiters.iter().map(Arbiter::handle).collect();
    let lanes = Registry::start(Arc::clone(&store), committer, limits, handles, runtime.handle().clone());
    if let Some(hints) = hints {
        lanes.follow_others(hints);
    }

    let verifier = Verifier::start(&config.auth, runtime.handle())
        .map_err(|error| AppError::System(format!("cannot prepare to fetch JWKS_URL: {error}")))?;
    let verifier = verifier.with_users(Box::new(StoredUsers(Arc::clone(&store))));
    let api = Api::new(lanes.clone(), Arc::new(verifier), config);
    let maintenance = runtime.spawn(maintain(Arc::clone(&store)));
    spawn_upkeep(&api, runtime);

    let (host, port) = (&config.http.host, config.http.port);
    let (addresses, server) = http::run(host, port, workers, &api, tls.as_ref())
        .map_err(failed(format_args!("HOST, PORT: cannot listen on {host}:{port}")))?;
    let listener = server.handle();
    let serving = actix_rt::spawn(server);
    let metrics_listener = config.telemetry.metrics_listen.map(|address| {
        let (addresses, server) = http::run_metrics(address, &api)
            .map_err(failed(format_args!("METRICS_LISTEN: cannot listen on {address}")))?;
        tracing::info!(address = format!("http://{}", addresses[0]), "serving metrics");
        let handle = server.handle();
        actix_rt::spawn(server);
        Ok::<_, AppError>(handle)
    });
    let metrics_listener = metrics_listener.transpose()?;
    let address = format!("{scheme}://{}", addresses[0]);
    let (store_url, mode) = (&config.store.database_url, config.lane.mode);
    tracing::info!(address, store = ?store_url, ?mode, workers, "listening");
    Ok(Service {
        address,
        store,
        maintenance,
        settled,
        arbiters,
        lanes,
        api,
        listener,
        metrics_listener,
        serving,
    })
}

/// Runs the periodic work of metrics and rate limits for as long as the API exists.
fn spawn_upkeep(api: &Arc<Api>, runtime: &Runtime) {
    let api = Arc::downgrade(api);
    runtime.spawn(async move {
        loop {
            sleep(UPKEEP).await;
            let Some(api) = api.upgrade() else { return };
            metrics().upkeep();
            api.upkeep();
        }
    });
}

impl Service {
    /// Serves until a signal says stop. A second signal ends the process at once.
    ///
    /// # Errors
    /// When the server stops by itself.
    pub async fn serve(&mut self, mut signals: Signals) -> Result<(), AppError> {
        tokio::select! {
            name = signals.next() => tracing::info!(signal = name, "stopping: requests under way are finished first"),
            _ = &mut self.serving => return Err(AppError::System("the HTTP server stopped by itself".into())),
        }
        actix_rt::spawn(async move {
            let name = signals.next().await;
            tracing::warn!(signal = name, "stopping at once");
            flush_logs();
            process::exit(1);
        });
        Ok(())
    }

    /// Waits for `drain_time`, then stops and finishes within `shutdown_timeout` what was accepted: first the
    /// requests, then writes whose clients have gone, the lanes, the commits, and the store last.
    pub async fn stop(self, drain_time: Duration, shutdown_timeout: Duration) {
        // `/ready` says 503, and every response closes its connection. What a load balancer sends until it has
        // noticed is served.
        self.api.drain();
        sleep(drain_time).await;
        let deadline = Instant::now() + shutdown_timeout;
        let left = || deadline.saturating_duration_since(Instant::now());

        // No new connections; then wait until no request is in flight.
        self.listener.pause().await;
        let unanswered = timeout(left(), quiet(&self.api)).await.is_err();
        self.listener.stop(false).await;
        if let Some(metrics) = self.metrics_listener {
            metrics.stop(false).await;
        }

        self.api.upkeep();
        let unsettled = self.lanes.drain(left()).await.err().unwrap_or(0);
        drop((self.api, self.lanes));
        for arbiter in self.arbiters {
            arbiter.stop();
            let _ = arbiter.join();
        }

        self.maintenance.abort();
        let in_doubt = timeout(left(), self.settled).await.is_err();
        let _ = timeout(left().max(Duration::from_secs(1)), self.store.close()).await;

        if unanswered || unsettled > 0 || in_doubt {
            let message = "SHUTDOWN_TIMEOUT has passed: what was left was cut off";
            tracing::warn!(unanswered, unsettled, in_doubt, "{message}");
        } else {
            tracing::info!("stopped; everything accepted was finished");
        }
    }
}

/// Returns once no request has been in flight for [`LAST_BYTES`].
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
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// A terminal that was closed. `None` under `nohup`, which means: go on then.
    hangup: Option<Signal>,
}

impl Signals {
    /// From now on a signal does not end the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> Result<Self, AppError> {
        let listen = |kind| signal(kind).map_err(failed("cannot listen for signals"));
        let hangup =
            if is_ignored(SignalKind::hangup()) { None } else { Some(listen(SignalKind::hangup())?) };
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup })
    }

    async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = hangup => "SIGHUP",
        }
    }
}

/// Whether whoever started this process had it ignore the signal. Where the system does not tell, as on macOS: no.
fn is_ignored(signal: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored >> (signal.as_raw_value() - 1) & 1 == 1
}
