//! HTTP: every route, and the server around them.
//!
//! [`app`] builds the whole app of one worker: the routes of [`configure`] behind CORS, behind the edge
//! that gives every answer its form. [`run`] serves it. Signals are the caller's: [`Api::drain`], then
//! stop the server.

mod answers;
mod batch;
mod body;
mod caller;
mod cors;
mod demo;
mod depth;
mod docs;
mod edge;
mod error;
mod events;
mod examples;
mod fields;
mod forms;
#[cfg(fuzzing)]
pub mod fuzzing;
mod headers;
mod health;
mod idempotency;
mod limits;
mod list_query;
pub mod openapi;
mod parameters;
mod route;
mod schemas;
mod stall;
mod sync;
mod sync_schemas;
mod tasks;
mod tickets;
pub mod tls;
mod trace;
mod transfer;
mod unread;
mod warm;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer, Resource, web};
use tokio::sync::{Mutex, Semaphore, watch};

use self::caller::check_access;
use self::error::{ApiError, Code};
use self::limits::Limits;
use self::route::Route;
use self::tickets::Tickets;
use crate::auth::{Signer, Verifier};
use crate::config::{Config, Environment, LogRequests};
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
    allowed_origins: Vec<String>,
    max_body_bytes: usize,
    log_requests: LogRequests,
    limits: Limits,
    max_connections: usize,
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
            allowed_origins: config.allowed_origins.clone(),
            max_body_bytes: config.max_body_bytes,
            log_requests: config.log_requests,
            limits: Limits::new(config),
            max_connections: config.max_connections,
            serves_metrics: config.environment == Environment::Development && config.metrics_listen.is_none(),
            demo: Signer::of_development(config),
            draining: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            tickets: Tickets::new(config.secret.as_ref()),
            imports: Semaphore::new(transfer::IMPORTS),
            importing: Mutex::new(()),
            traffic: Traffic::new(&route::PATTERNS),
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
    App::new().configure(|routes| configure(routes, api)).wrap(edge::Edge::new(Arc::clone(api)))
}

/// Every route. The busiest come first, since they are tried in order.
pub fn configure(routes: &mut web::ServiceConfig, api: &Arc<Api>) {
    routes.app_data(Arc::clone(api)).default_service(web::to(no_route));
    // A slash at the end makes no difference.
    for slash in ["", "/"] {
        let path = |route: Route| format!("{}{slash}", route.pattern());
        routes
            .service(
                read(&path(Route::Task), Route::Task, tasks::get_task)
                    .route(web::put().to(tasks::update_task))
                    .route(web::patch().to(tasks::update_task))
                    .route(web::delete().to(tasks::delete_task)),
            )
            .service(
                read(&path(Route::Tasks), Route::Tasks, tasks::list_tasks)
                    .route(web::post().to(tasks::create_task)),
            )
            .service(
                resource(&path(Route::Complete), Route::Complete)
                    .route(web::patch().to(tasks::complete_task)),
            )
            .service(read(&path(Route::Changes), Route::Changes, sync::list_changes))
            .service(read(&path(Route::Summary), Route::Summary, sync::get_summary))
            .service(resource(&path(Route::Batch), Route::Batch).route(web::post().to(batch::create_batch)))
            .service(resource(&path(Route::Events), Route::Events).route(web::get().to(events::get_events)))
            .service(
                resource(&path(Route::Ticket), Route::Ticket).route(web::post().to(events::create_ticket)),
            )
            .service(read(&path(Route::Export), Route::Export, transfer::export_tasks))
            .service(
                resource(&path(Route::Import), Route::Import).route(web::post().to(transfer::import_tasks)),
            )
            .service(resource(&path(Route::User), Route::User).route(web::delete().to(transfer::delete_user)))
            .service(read(&path(Route::Test), Route::Test, health::get_test))
            .service(read(&path(Route::Health), Route::Health, health::get_health))
            .service(read(&path(Route::Ready), Route::Ready, health::get_ready))
            .service(read(&format!("/docs{slash}"), Route::Docs, docs::get_docs))
            .service(read(&format!("/redoc{slash}"), Route::Docs, docs::get_redoc));
    }
    routes
        .service(read("/openapi.json", Route::Document, docs::get_document))
        .service(read("/docs/{file}", Route::Docs, docs::get_docs_file))
        .service(read("/redoc/{file}", Route::Docs, docs::get_redoc_file));
    if api.demo.is_some() {
        routes
            .service(read("/", Route::Demo, demo::get_demo))
            .service(resource("/demo/token", Route::DemoToken).route(web::post().to(demo::create_demo_token)))
            .service(read("/demo/{file}", Route::Demo, demo::get_demo_file));
    }
    if api.serves_metrics {
        routes.service(read("/metrics", Route::Metrics, get_metrics));
    }
}

/// A route's resource: any method it has no handler for is a 405.
fn resource(path: &str, route: Route) -> Resource {
    web::resource(path).app_data(route).default_service(web::to(wrong_method))
}

/// A route's resource that can be read.
fn read<F, Args>(path: &str, route: Route, handler: F) -> Resource
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    let head = web::head().to(handler.clone());
    resource(path, route).route(web::get().to(handler)).route(head)
}

/// A path no route knows.
async fn no_route(request: HttpRequest) -> Result<HttpResponse, Error> {
    check_access(&request).await?;
    Err(ApiError::new(Code::NotFound, "Not Found").into())
}

/// A method the route does not take.
async fn wrong_method(request: HttpRequest) -> Result<HttpResponse, Error> {
    check_access(&request).await?;
    let allow = request.app_data::<Route>().map(|route| route.allow());
    Err(ApiError { allow, ..ApiError::new(Code::MethodNotAllowed, "Method Not Allowed") }.into())
}

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
    let (api, max_connections) = (Arc::clone(api), api.max_connections);
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
        .on_connect(|connection, _| stall::limit(connection))
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
