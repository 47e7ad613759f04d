//! Bytes on a socket, for what a well-behaved client cannot send.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Sends `bytes`, then reads until the server closes. The request should have `Connection: close`, or reading
/// ends with the socket's time-out.
pub async fn exchange(address: &str, bytes: impl Into<Vec<u8>>) -> String {
    let (address, bytes) = (address.to_owned(), bytes.into());
    tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The server may close before it has read everything: then its answer counts.
        let _ = socket.write_all(&bytes);
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        loop {
            match socket.read(&mut part) {
                Ok(0) => break,
                Ok(count) => answer.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
    .unwrap()
}

/// The status of an answer as it came over the wire; `None` for a closed connection.
pub fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// The body of an answer as it came over the wire.
pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}
