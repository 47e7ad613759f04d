//! HTTP: the app of one worker ([`app`]), and the server that runs it ([`run`]).
//!
//! The caller handles signals: it calls [`Api::drain`], then stops the server. Each part imports only from
//! parts above it:
//!
//! - [`header_names`]; [`route`]: what a request needs to know of its route
//! - [`error`]: errors as clients see them
//! - [`rate_limit`], [`connection`], [`log_share`]: what one user or address may take
//! - [`event_tickets`]; [`api`]: the state that all workers share
//! - [`request`]: from the parts of a request to domain types; [`response`]: responses
//! - [`handlers`]: the operations, by URL
//! - [`routes`]: the table of routes
//! - [`docs`]: the OpenAPI document; [`middleware`]: what runs before and after every handler
//! - [`tls`]: TLS of the main listener

mod api;
mod connection;
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
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::{App, Error, HttpServer};
use socket2::{Domain, Socket, Type};

pub use self::api::Api;
use self::connection::service::serve;
use self::middleware::request_log::RequestLog;
use crate::auth::Verifier;
use crate::config::Config;
use crate::lane::Registry;

/// Connections that wait in the system until they are accepted, at most.
const BACKLOG: i32 = 1024;

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
    tls: Option<&rustls::ServerConfig>,
) -> io::Result<(Vec<SocketAddr>, Server)> {
    let per_worker = api.config.max_connections.div_ceil(workers);
    let mut server =
        Server::build().workers(workers).max_concurrent_connections(per_worker).disable_signals();
    let mut addresses = Vec::new();
    for listener in listeners(host, port)? {
        let address = listener.local_addr()?;
        addresses.push(address);
        let (api, tls) = (Arc::clone(api), tls.cloned());
        server = server.listen(format!("http {address}"), listener, move || {
            // Called on each worker's thread, once for each address.
            let (api, connections) = (Arc::clone(&api), Arc::clone(&api.connections));
            let app = move || {
                api.registry.attach_thread();
                app(&api)
            };
            serve(app, connections, tls.clone())
        })?;
    }
    Ok((addresses, server.run()))
}

/// Binds every address of a host that can be bound.
fn listeners(host: &str, port: u16) -> io::Result<Vec<TcpListener>> {
    let listen = |address: SocketAddr| {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // A new process may bind while connections of the one before are still being closed.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    let (mut bound, mut failed) = (Vec::new(), io::ErrorKind::AddrNotAvailable.into());
    for listener in (host, port).to_socket_addrs()?.map(listen) {
        match listener {
            Ok(listener) => bound.push(listener),
            Err(error) => failed = error,
        }
    }
    if bound.is_empty() { Err(failed) } else { Ok(bound) }
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
