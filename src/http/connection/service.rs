//! What serves a connection: it is counted first, then comes TLS, if there is any, then HTTP.
//!
//! actix-web's own server would count it after TLS: one client's unfinished handshakes would keep all others out.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpServiceBuilder;
use actix_http::error::DispatchError;
use actix_rt::net::TcpStream;
use actix_service::map_config;
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_web::body::MessageBody;
use actix_web::dev::{
    AppConfig, Service, ServiceFactory, ServiceRequest, ServiceResponse, fn_factory, fn_service,
};
use actix_web::{App, Error};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};

use super::limit::Connections;
use super::send_timeout;
use super::stream::ClientStream;
use super::wire::Wire;

/// How long an idle connection is kept: longer than proxies usually keep theirs.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long a client may take to close its side.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// Serves connections by the app that `app` makes, one for each worker, with TLS if it is configured.
pub(crate) fn serve<F, B>(
    app: impl Fn() -> App<F> + 'static,
    connections: Arc<Connections>,
    tls: Option<ServerConfig>,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()>
where
    F: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    fn_factory(move || {
        let connections = Arc::clone(&connections);
        let plain = tls.is_none().then(|| http::<ClientStream, _, _>(app()).new_service(()));
        let secure = tls.clone().map(|config| {
            let acceptor = ServiceFactory::<ClientStream>::new_service(&Acceptor::new(config), ());
            (acceptor, http::<TlsStream<ClientStream>, _, _>(app()).new_service(()))
        });
        async move {
            let plain = match plain {
                Some(http) => Some(Rc::new(http.await?)),
                None => None,
            };
            let secure = match secure {
                Some((acceptor, http)) => Some(Rc::new((acceptor.await?, http.await?))),
                None => None,
            };
            Ok(fn_service(move |socket: TcpStream| {
                let stream = accept(socket, &connections);
                let (plain, secure) = (plain.clone(), secure.clone());
                async move {
                    let Some((stream, peer)) = stream else { return Ok(()) };
                    // Whatever ends a connection early concerns its client only.
                    let activity = stream.activity();
                    if let Some(http) = plain {
                        let _ = http.call((Wire::new(stream, activity), Some(peer))).await;
                    } else if let Some((acceptor, http)) = secure.as_deref()
                        && let Ok(stream) = acceptor.call(stream).await
                    {
                        let _ = http.call((Wire::new(stream, activity), Some(peer))).await;
                    }
                    Ok(())
                }
            }))
        }
    })
}

/// Prepares a new connection; `None` closes it.
fn accept(socket: TcpStream, connections: &Arc<Connections>) -> Option<(ClientStream, SocketAddr)> {
    let peer = socket.peer_addr().ok()?;
    let open = connections.admit(peer.ip())?;
    let _ = socket.set_nodelay(true);
    send_timeout::limit(&socket);
    Some((ClientStream::new(socket, open), peer))
}

/// HTTP/1.1 over connections of one type.
fn http<T, F, B>(
    app: App<F>,
) -> impl ServiceFactory<
    (Wire<T>, Option<SocketAddr>),
    Config = (),
    Response = (),
    Error = DispatchError,
    InitError = (),
>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    F: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    HttpServiceBuilder::default()
        .keep_alive(KEEP_ALIVE)
        // `Wire` has its own, for every head.
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(CLOSE_DEADLINE)
        .on_connect_ext(|wire: &Wire<T>, data| drop(data.insert(wire.activity())))
        .h1(map_config(app, |()| AppConfig::default()))
}
