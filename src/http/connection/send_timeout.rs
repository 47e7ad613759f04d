//! Closes the connection of a client that does not read.

use std::time::Duration;

use actix_web::rt::net::TcpStream;

/// How long a client may read nothing of what is sent before its connection is closed. It holds for event
/// streams and all other responses.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

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
    use super::*;
    use socket2::SockRef;

    #[actix_web::test]
    async fn the_kernel_closes_a_connection_whose_client_does_not_read() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        limit(&stream);
        assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(SEND_TIMEOUT));
    }
}
