//! One server, wherever it is started again: on its port, on its way to the store.

use std::net::TcpListener;

use tokio::task::block_in_place;

use crate::proxy::Proxy;
use crate::support::{Server, Store};

/// A server that comes back under its address.
pub struct Replica {
    /// The one that runs now.
    pub server: Server,
    /// The store, as it sees it.
    pub store: Store,
    /// What lies between it and PostgreSQL.
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

    /// Starts another one in its place, once it is gone.
    pub fn start_again(&mut self) {
        self.server = block_in_place(|| start(&self.store, &self.port, self.mode));
    }

    /// Ends it in good order.
    pub fn stop(&mut self) {
        self.server.terminate();
        let status = block_in_place(|| self.server.wait());
        assert!(status.success(), "after SIGTERM: {status}; it wrote:\n{:#?}", self.server.output().stderr());
    }

    /// The same, and starts another one, which has nothing but the store.
    pub fn stop_and_start(&mut self) {
        self.stop();
        self.start_again();
    }
}

fn start(store: &Store, port: &str, mode: &str) -> Server {
    // A file that may not grow is then an error of the write; left alone, the signal would end the server.
    let ignoring = ["/bin/sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    Server::under(&ignoring, store, &[("PORT", port), ("MODE", mode)])
}

/// A port below those that systems take for outgoing connections: it is still free at the next start. No
/// seed chooses it, or two tests with one seed would have the same.
fn free_port() -> u16 {
    for _ in 0..1_000 {
        let port = 10_000 + (uuid::Uuid::new_v4().as_u128() % 5_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
