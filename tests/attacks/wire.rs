//! What attackers send: prepared bytes over connections that behave as badly as wanted.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tasklane_load::http1::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::site::Site;

/// Requests of one connection, at most.
const MOST: usize = 1_000_000;

/// How long an attacker waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request in bytes. `path` is below `/api/me`, or begins with `//` and is a whole one.
pub fn request(method: &str, path: &str, token: &str, headers: &[(&str, &str)], body: &str) -> Bytes {
    let path = path
        .strip_prefix('/')
        .filter(|whole| whole.starts_with('/'))
        .map_or_else(|| format!("/api/me{path}"), str::to_owned);
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: attacked\r\n");
    if !token.is_empty() {
        write!(text, "Authorization: Bearer {token}\r\n").unwrap();
    }
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    if !body.is_empty() {
        write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()).unwrap();
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into()
}

pub fn get(path: &str, token: &str) -> Bytes {
    request("GET", path, token, &[], "")
}

pub fn post(path: &str, token: &str, body: &str) -> Bytes {
    request("POST", path, token, &[], body)
}

/// A connection from one address, so that a server can tell its clients apart.
pub async fn connect(from: &str, to: SocketAddr, receive_buffer: Option<u32>) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(format!("{from}:0").parse().expect("it is an address"))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Site {
    pub fn address(&self) -> SocketAddr {
        self.server.address().parse().unwrap()
    }

    /// An attacker's connection, which takes little from the server before it has to be read.
    pub async fn slow(&self) -> Option<TcpStream> {
        let connecting = connect("127.0.0.1", self.address(), Some(4096));
        timeout(PATIENCE, connecting).await.ok()?.ok()
    }

    /// Sends bytes, at most until the attack is over; says whether all of them were taken.
    pub async fn send(&self, stream: &mut TcpStream, bytes: &[u8]) -> bool {
        for part in bytes.chunks(64 << 10) {
            tokio::select! {
                sent = stream.write_all(part) => if sent.is_err() { return false },
                () = self.hold() => return false,
            }
            self.count_sent(part.len());
        }
        true
    }

    /// Asks on a connection, which is opened when there is none, and counts what is sent and answered.
    pub async fn ask(&self, wire: &mut Option<Connection>, request: &[u8]) -> u16 {
        if wire.is_none() {
            let open = timeout(PATIENCE, connect("127.0.0.1", self.address(), None)).await;
            *wire = open.ok().and_then(Result::ok).map(Connection::over);
        }
        let status = match wire {
            Some(connection) => {
                self.count_sent(request.len());
                match timeout(PATIENCE, connection.exchange(request)).await {
                    Ok(Ok(answer)) => {
                        if answer.close {
                            *wire = None;
                        }
                        answer.status
                    }
                    _ => 0,
                }
            }
            None => 0,
        };
        if status == 0 {
            *wire = None;
            sleep(Duration::from_millis(2)).await;
        }
        self.count_answer(status);
        status
    }

    /// Asks once, for what an attack is prepared with.
    pub async fn ask_once(&self, request: &[u8]) -> u16 {
        self.ask(&mut None, request).await
    }

    /// Asks for the text of an answer.
    pub async fn read(&self, request: &[u8]) -> String {
        let stream = connect("127.0.0.1", self.address(), None).await.unwrap();
        let mut connection = Connection::over(stream);
        connection.exchange(request).await.unwrap();
        String::from_utf8_lossy(connection.raw()).into_owned()
    }

    /// So many connections at once, each asking one thing after the other until the attack is over. `make` gets
    /// the numbers of the connection and of its request.
    pub async fn flood<F>(self: &Arc<Self>, connections: usize, make: F)
    where
        F: Fn(usize, usize) -> Bytes + Send + Sync + 'static,
    {
        let make = Arc::new(make);
        let mut clients = JoinSet::new();
        for number in 0..connections {
            let (site, make) = (Arc::clone(self), Arc::clone(&make));
            clients.spawn(async move {
                let mut wire = None;
                for round in 0..MOST {
                    if site.is_over() {
                        break;
                    }
                    site.ask(&mut wire, &make(number, round)).await;
                }
            });
        }
        clients.join_all().await;
    }

    /// So many connections that send a request again and again without waiting for answers, which are read and
    /// not looked at, or never read.
    pub async fn pipeline(self: &Arc<Self>, connections: usize, request: &Bytes, reads: bool) {
        let many = Bytes::from(request.repeat((16 << 10) / request.len() + 1));
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            let (site, many) = (Arc::clone(self), many.clone());
            clients.spawn(async move {
                while !site.is_over() {
                    let buffer = (!reads).then_some(4096);
                    let Ok(mut stream) = connect("127.0.0.1", site.address(), buffer).await else { continue };
                    if reads {
                        let (mut from, mut to) = stream.into_split();
                        let reading = tokio::spawn(async move {
                            let mut part = vec![0; 64 << 10];
                            while from.read(&mut part).await.is_ok_and(|count| count > 0) {}
                        });
                        for _ in 0..MOST {
                            if site.is_over() || to.write_all(&many).await.is_err() {
                                break;
                            }
                            site.count_sent(many.len());
                        }
                        reading.abort();
                    } else {
                        while site.send(&mut stream, &many).await {}
                        site.hold().await;
                    }
                }
            });
        }
        clients.join_all().await;
    }
}
