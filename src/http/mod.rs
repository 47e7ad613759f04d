//! HTTP: the app of one worker ([`app`]), and the server that runs it ([`run`]).
//!
//! The caller handles signals: it calls [`Api::drain`], then stops the server. Each part imports only from
//! parts above it:
//!
//! - [`header_names`]; [`route`]: what a request needs to know of its route
//! - [`error`]: errors as clients see them
//! - [`rate_limit`], [`connections`], [`log_share`]: what one user or address may take; [`event_tickets`]; [`api`]: the state that all workers share
//! - [`request`]: from the parts of a request to domain types; [`response`]: responses
//! - [`handlers`]: the operations, by URL
//! - [`routes`]: the table of routes
//! - [`docs`]: the OpenAPI document; [`middleware`]: what runs before and after every handler
//! - [`tls`]: TLS of the main listener

mod api;
mod connections;
pub mod docs;
mod error;
mod event_tickets;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handlers;
mod header_names;
mod log_share;
mod middleware;
mod rate_limit;
mod request;
mod response;
mod route;
mod routes;
pub mod tls;

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::{App, Error, HttpServer};
use socket2::SockRef;

pub use self::api::Api;
use self::middleware::request_log::RequestLog;
use self::middleware::send_timeout;
use crate::auth::Verifier;
use crate::config::Config;
use crate::lane::Registry;

/// How long an idle connection is kept: longer than proxies usually keep theirs.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a request's head may take to arrive.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

impl Api {
    /// The API of these parts, with these settings.
    #[must_use]
    pub fn new(registry: Registry, verifier: Arc<Verifier>, config: &Config) -> Arc<Self> {
        Self::over(registry, verifier, config, routes::labels(), docs::openapi::document)
    }
}

/// The app of one worker, with all middleware.
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
    App::new().configure(|to| routes::configure(to, api)).wrap(RequestLog::new(Arc::clone(api), true))
}

/// Binds the main listener. Returns its addresses, and the server, which runs while it is awaited.
///
/// With `tls` it serves https only.
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
    let connections = Arc::clone(&api.connections);
    // Called on each worker's thread, once for each address.
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
        .on_connect(move |connection, data| {
            let Some(socket) = send_timeout::socket(connection) else { return };
            send_timeout::limit(socket);
            match socket.peer_addr().ok().and_then(|peer| connections.admit(peer.ip())) {
                Some(open) => drop(data.insert(open)),
                // The connection ends when the server next reads from it, which is at once.
                None => drop(SockRef::from(socket).shutdown(Shutdown::Both)),
            }
        })
        .disable_signals();
    let server = match tls {
        Some(tls) => server.bind_rustls_0_23((host, port), tls)?,
        None => server.bind((host, port))?,
    };
    Ok((server.addrs(), server.run()))
}

/// Binds a listener that serves what monitoring asks: `/metrics`, `/health` and `/ready`. So no probe waits behind
/// clients. Returns the same as [`run`].
///
/// # Errors
/// When the address cannot be bound.
pub fn run_metrics(address: SocketAddr, api: &Arc<Api>) -> io::Result<(Vec<SocketAddr>, Server)> {
    let api = Arc::clone(api);
    let monitoring = move || {
        let app = App::new().configure(|to| routes::configure_monitoring(to, &api));
        app.wrap(RequestLog::new(Arc::clone(&api), false))
    };
    let server = HttpServer::new(monitoring).workers(1).disable_signals().bind(address)?;
    Ok((server.addrs(), server.run()))
}
