//! One server that can be restarted, on the same port and the same path to the store.

use std::net::TcpListener;

use tokio::task::block_in_place;

use crate::proxy::Proxy;
use crate::support::{Server, Store};

/// A server that keeps its address when it is restarted.
pub struct Replica {
    /// The running server.
    pub server: Server,
    /// The store, as it sees it.
    pub store: Store,
    /// The proxy between it and PostgreSQL.
    pub proxy: Option<Proxy>,
    port: String,
    mode: &'static str,
}

impl Replica {
    /// Starts one.
    pub fn start(store: Store, proxy: Option<Proxy>, mode: &'static str) -> Self {
        let port = free_port().to_string();
        let server = start(&store, &port, mode);
        Self { server, store, proxy, port, mode }
    }

    /// Starts a new one in its place, once it has ended.
    pub fn start_again(&mut self) {
        self.server = block_in_place(|| start(&self.store, &self.port, self.mode));
    }

    /// Stops it gracefully.
    pub fn stop(&mut self) {
        self.server.terminate();
        let status = block_in_place(|| self.server.wait());
        assert!(status.success(), "after SIGTERM: {status}; it wrote:\n{:#?}", self.server.output().stderr());
    }

    /// The same, then starts a new one, which has only the store.
    pub fn stop_and_start(&mut self) {
        self.stop();
        self.start_again();
    }
}

fn start(store: &Store, port: &str, mode: &str) -> Server {
    // With SIGXFSZ ignored, a file that may not grow is an error of the write; the signal would end the
    // server.
    let ignoring = ["/bin/sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    Server::under(&ignoring, store, &[("PORT", port), ("MODE", mode)])
}

/// A port below the range for outgoing connections, so that it is still free at the next start. It does not
/// depend on the seed, or two tests with one seed would use the same.
fn free_port() -> u16 {
    for _ in 0..1_000 {
        let port = 10_000 + (uuid::Uuid::new_v4().as_u128() % 5_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
