//! HTTP: every route, and the server around them.
//!
//! [`app`] builds the whole app of one worker: the routes of [`configure`] behind CORS, behind the edge
//! that gives every answer its form. [`run`] serves it. Signals are the caller's: [`Api::drain`], then
//! stop the server.

mod demo;
pub mod docs;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handlers;
mod middleware;
mod request;
mod response;
mod routes;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer, web};
use tokio::sync::{Mutex, Semaphore, watch};

use self::handlers::account;
use self::handlers::event_tickets::Tickets;
use self::middleware::rate_limit::RateLimits;
use self::middleware::{request_log, send_timeout};
use crate::auth::{Signer, Verifier};
use crate::config::{Config, Environment, HttpConfig, LogRequests};
use crate::lane::Registry;
use crate::telemetry::{Traffic, metrics};

/// How long an idle connection is kept: longer than the usual proxy keeps its own end.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a request's head may take to arrive.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// What all workers share.
pub struct Api {
    registry: Registry,
    verifier: Arc<Verifier>,
    config: HttpConfig,
    log_requests: LogRequests,
    limits: RateLimits,
    /// Whether `/metrics` is a route of the main listener.
    serves_metrics: bool,
    /// What signs the demo page's tokens, where there is a demo page.
    demo: Option<Signer>,
    draining: AtomicBool,
    /// Tells event streams to end.
    stopping: watch::Sender<bool>,
    tickets: Tickets,
    imports: Semaphore,
    /// Held by the import whose tasks are being committed.
    importing: Mutex<()>,
    traffic: Traffic,
}

impl Api {
    /// The API over these parts, by these settings.
    #[must_use]
    pub fn new(registry: Registry, verifier: Arc<Verifier>, config: &Config) -> Arc<Self> {
        Arc::new(Self {
            registry,
            verifier,
            config: config.http.clone(),
            log_requests: config.telemetry.log_requests,
            limits: RateLimits::new(&config.http),
            serves_metrics: config.environment == Environment::Development
                && config.telemetry.metrics_listen.is_none(),
            demo: Signer::of_development(&config.auth, config.environment),
            draining: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            tickets: Tickets::new(config.auth.better_auth_secret.as_ref()),
            imports: Semaphore::new(account::IMPORTS),
            importing: Mutex::new(()),
            traffic: Traffic::new(&routes::PATTERNS),
        })
    }

    /// From now on `/ready` says no, every answer closes its connection, and event streams end. All else is
    /// still served.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.stopping.send_replace(true);
    }

    /// Lets go of what is kept about callers that have not come lately. To be called every few seconds.
    pub fn upkeep(&self) {
        self.limits.forget_idle();
    }

    /// Requests that have arrived and whose answers have not begun.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.traffic.in_flight()
    }

    /// Every metric, as text in the Prometheus exposition format.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut text = metrics().render();
        text.push_str(&self.traffic.render());
        text
    }
}

/// The API a request is served by.
fn api(request: &HttpRequest) -> &Arc<Api> {
    request.app_data().expect("`configure` gives every app its API")
}

/// The whole app of one worker.
pub fn app(
    api: &Arc<Api>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = Error,
        InitError = (),
    > + use<>,
> {
    App::new().configure(|to| routes::configure(to, api)).wrap(request_log::RequestLog::new(Arc::clone(api)))
}

/// Every metric.
async fn get_metrics(request: HttpRequest) -> HttpResponse {
    let exposition = "text/plain; version=0.0.4; charset=utf-8";
    HttpResponse::Ok().content_type(exposition).body(api(&request).metrics())
}

/// Binds the main listener and starts to serve: the addresses it listens on, and the server, which
/// runs while it is awaited.
///
/// With `tls` it speaks https and nothing else.
///
/// # Errors
/// When the address cannot be bound.
pub fn run(
    host: &str,
    port: u16,
    workers: usize,
    api: &Arc<Api>,
    tls: Option<rustls::ServerConfig>,
) -> io::Result<(Vec<SocketAddr>, Server)> {
    let (api, max_connections) = (Arc::clone(api), api.config.max_connections);
    // Once on each worker's thread, and for each listener.
    let app = move || {
        api.registry.attach_thread();
        app(&api)
    };
    let server = HttpServer::new(app)
        .workers(workers)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_DEADLINE)
        .tcp_nodelay(true)
        .max_connections(max_connections.div_ceil(workers))
        .on_connect(|connection, _| send_timeout::limit(connection))
        .disable_signals();
    let server = match tls {
        Some(tls) => server.bind_rustls_0_23((host, port), tls)?,
        None => server.bind((host, port))?,
    };
    Ok((server.addrs(), server.run()))
}

/// Binds a listener that serves nothing but `/metrics`, and starts to serve, as [`run`] does.
///
/// # Errors
/// When the address cannot be bound.
pub fn run_metrics(address: SocketAddr, api: &Arc<Api>) -> io::Result<(Vec<SocketAddr>, Server)> {
    let api = Arc::clone(api);
    let metrics = move || App::new().app_data(Arc::clone(&api)).route("/metrics", web::get().to(get_metrics));
    let server = HttpServer::new(metrics).workers(1).disable_signals().bind(address)?;
    Ok((server.addrs(), server.run()))
}
