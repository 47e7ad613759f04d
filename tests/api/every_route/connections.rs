//! One address's connections keep nobody else out.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::command::{Line, PATIENCE, Process};
use crate::support::{Kind, Server, Store, send, tokens};

/// Opens connections from 127.0.0.1 on which nothing is sent.
fn idle(address: &str, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(address).unwrap()).collect()
}

/// What has become of a connection on which nothing was sent.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Closed,
    /// It was open for so long that it got a 408.
    TimedOut,
}

fn fate(socket: &mut TcpStream) -> Fate {
    socket.set_nonblocking(true).unwrap();
    match socket.read(&mut [0; 16]) {
        Ok(0) => Fate::Closed,
        Ok(_) => Fate::TimedOut,
        Err(error) if error.kind() == ErrorKind::WouldBlock => Fate::Open,
        Err(_) => Fate::Closed,
    }
}

/// How many connections are `expected`.
fn count(sockets: &mut [TcpStream], expected: &Fate) -> usize {
    sockets.iter_mut().map(fate).filter(|fate| fate == expected).count()
}

/// A client at another address of this machine.
fn elsewhere() -> ClientBuilder {
    Client::builder().no_proxy().local_address(Some([127, 0, 0, 2].into())).timeout(PATIENCE)
}

/// A metric's value.
fn measured(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}:\n{metrics}")).parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_take_every_connection_and_what_it_closes_it_may_open_again() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::with(&store, &[("MAX_CONNECTIONS", "40")]);
    let mut sockets = idle(server.address(), 200);
    let other = elsewhere().build().unwrap();
    let get = async |path: &str| send(other.get(format!("{}{path}", server.origin()))).await.expect(200);
    get("/health").await;
    // Not because they had to go: each of its 24 connections is still there.
    assert_eq!(count(&mut sockets, &Fate::TimedOut), 0);
    for _ in 0..600 {
        if count(&mut sockets, &Fate::Closed) == 176 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(count(&mut sockets, &Fate::Closed), 176);
    let metrics = get("/metrics").await.text();
    assert!((measured(&metrics, "tasklane_connections_refused_total") - 176.0).abs() < 0.5, "{metrics}");
    // The address's 24, and one of the other client, who may have opened a second one.
    let open = measured(&metrics, "tasklane_connections");
    assert!((24.5..26.5).contains(&open), "{metrics}");
    drop(sockets);
    let mut closed = usize::MAX;
    for _ in 0..600 {
        let mut again = idle(server.address(), 24);
        get("/health").await;
        closed = count(&mut again, &Fate::Closed);
        if closed == 0 {
            break;
        }
        drop(again);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(closed, 0, "connections that have ended are still counted");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_beyond_the_cap_does_not_keep_others_out() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::with(&store, &[("MAX_CONNECTIONS", "40")]);
    let address = server.address().to_owned();
    let mut sockets = idle(&address, 100);
    let flood = std::thread::spawn(move || {
        for _ in 0..3000 {
            // Refused at once, or in the backlog.
            drop(TcpStream::connect(&address));
        }
    });
    let other = elsewhere().build().unwrap();
    for _ in 0..50 {
        send(other.get(format!("{}/health", server.origin()))).await.expect(200);
    }
    assert_eq!(count(&mut sockets, &Fate::TimedOut), 0);
    flood.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_may_take_every_connection_and_near_the_limit_each_answer_closes_its_own() {
    let store = Store::new(Kind::Sqlite).await;
    let settings = [("MAX_CONNECTIONS", "40"), ("TRUSTED_PROXIES", "127.0.0.0/8")];
    let server = Server::with(&store, &settings);
    let closes = async || {
        let health = server.get("/health").await.expect(200);
        health.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    };
    assert!(!closes().await);
    let mut sockets = idle(server.address(), 32);
    let mut closing = false;
    for _ in 0..100 {
        closing = closes().await;
        if closing {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(closing, "no answer closes its connection");
    assert_eq!(count(&mut sockets, &Fate::Open), 32);
    drop(sockets);
    for _ in 0..600 {
        closing = closes().await;
        if !closing {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!closing, "answers go on closing their connections");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_on_the_metrics_listener_do_not_wait_behind_clients() {
    let store = Store::new(Kind::Sqlite).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let settings = [
        ("MAX_CONNECTIONS", "10"),
        ("MAX_CONNECTIONS_PER_ADDRESS", "1000"),
        ("METRICS_LISTEN", free.as_str()),
    ];
    let server = Server::with(&store, &settings);
    let mut sockets = idle(server.address(), 40);
    for path in ["/health", "/ready", "/metrics"] {
        send(server.http().get(format!("http://{free}{path}"))).await.expect(200);
    }
    assert_eq!(count(&mut sockets, &Fate::Open), 40, "the main listener is full");
}

/// A connection with TLS.
fn shake_hands(address: &str, trusted: &Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(trusted), name).unwrap(), socket)
}

/// Whether a request on the connection is answered.
fn is_answered(connection: &mut StreamOwned<ClientConnection, TcpStream>) -> bool {
    let sent = connection.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut answer = [0; 12];
    sent.and_then(|()| connection.read_exact(&mut answer)).is_ok() && &answer == b"HTTP/1.1 200"
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_with_tls_are_counted_as_well() {
    let store = Store::new(Kind::Sqlite).await;
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(store.dir().join("cert.pem"), pair.cert.pem()).unwrap();
    std::fs::write(store.dir().join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    let settings = [
        ("PORT", "0"),
        ("DATABASE_URL", store.url()),
        ("BETTER_AUTH_SECRET", tokens::SECRET),
        ("TLS_CERT", "cert.pem"),
        ("TLS_KEY", "key.pem"),
        ("MAX_CONNECTIONS_PER_ADDRESS", "2"),
    ];
    let server = Process::start(store.dir(), &[], &settings);
    let address = server.output.wait_for(PATIENCE, |line| match line {
        Line::Out(text) => text.split("https://").nth(1).map(str::to_owned),
        Line::Err(_) => None,
    });
    let address = address.unwrap_or_else(|| panic!("no address: {:#?}", server.output.lines()));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pair.cert.pem().as_bytes()).unwrap()).unwrap();
    let trusted = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
    let mut open: Vec<_> = (0..2).map(|_| shake_hands(&address, &trusted)).collect();
    assert!(open.iter_mut().all(is_answered));
    assert!(!is_answered(&mut shake_hands(&address, &trusted)), "a third connection is served");
    open.pop();
    let mut answered = false;
    for _ in 0..600 {
        answered = is_answered(&mut shake_hands(&address, &trusted));
        if answered {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(answered, "a connection that has ended is still counted");
    drop(open);
    // Before the handshake, too: more unfinished handshakes than a worker carries out at once keep nobody out.
    let silent = idle(&address, 600);
    let other = elsewhere()
        .resolve("localhost", address.parse().unwrap())
        .tls_certs_only([Certificate::from_pem(pair.cert.pem().as_bytes()).unwrap()])
        .build()
        .unwrap();
    let port = address.rsplit(':').next().unwrap();
    let mut refused = 0.0;
    for _ in 0..600 {
        let metrics = other.get(format!("https://localhost:{port}/metrics")).send().await.unwrap();
        refused = measured(&metrics.text().await.unwrap(), "tasklane_connections_refused_total");
        if refused > 590.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(refused > 590.0, "{refused} connections are refused");
    drop(silent);
}
