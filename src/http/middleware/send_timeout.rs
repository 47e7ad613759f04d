//! Closes the connection of a client that does not read.

use std::any::Any;
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::rt::net::TcpStream;

/// How long a client may read nothing of what is sent before its connection is closed. It holds for event
/// streams and all other responses.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection's socket, below TLS if there is TLS.
pub(crate) fn socket(connection: &dyn Any) -> Option<&TcpStream> {
    let plain = connection.downcast_ref::<TcpStream>();
    plain.or_else(|| Some(connection.downcast_ref::<TlsStream<TcpStream>>()?.get_ref().0))
}

/// Makes the kernel close a connection on which nothing could be sent for [`SEND_TIMEOUT`] although there
/// was something to send (tcp(7), `TCP_USER_TIMEOUT`). The server cannot do so itself: it does not poll a
/// response's body while the connection cannot be written to. On other systems than Linux an event stream
/// ends with its token.
#[cfg(target_os = "linux")]
pub(crate) fn limit(socket: &TcpStream) {
    if let Err(error) = socket2::SockRef::from(socket).set_tcp_user_timeout(Some(SEND_TIMEOUT)) {
        tracing::warn!(%error, "cannot set a connection's send time-out");
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn limit(_: &TcpStream) {}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use actix_tls::accept::rustls_0_23::Acceptor;
    use actix_web::dev::{Service, ServiceFactory};
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use socket2::SockRef;

    #[actix_web::test]
    async fn the_kernel_closes_a_connection_whose_client_does_not_read() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        limit(socket(&stream).unwrap());
        assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(SEND_TIMEOUT));
    }

    #[actix_web::test]
    async fn the_kernel_closes_a_tls_connection_whose_client_does_not_read() {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = CertificateDer::from(pair.cert);
        let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
        let server = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shaking = std::thread::spawn(move || {
            let name = "localhost".try_into().unwrap();
            let mut connection = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            while connection.is_handshaking() {
                connection.complete_io(&mut stream).unwrap();
            }
            stream
        });
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let acceptor = ServiceFactory::<TcpStream>::new_service(&Acceptor::new(server), ()).await.unwrap();
        let stream = acceptor.call(TcpStream::from_std(stream).unwrap()).await;
        let stream = stream.map_err(|error| format!("{error:?}")).unwrap();
        limit(socket(&stream).unwrap());
        assert_eq!(SockRef::from(stream.get_ref().0).tcp_user_timeout().unwrap(), Some(SEND_TIMEOUT));
        drop(shaking.join().unwrap());
    }
}
