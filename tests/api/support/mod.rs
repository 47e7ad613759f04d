//! What the tests share: the running server, its store, a client, raw sockets, tokens.

mod answer;
mod client;
pub mod cluster;
pub mod command;
mod events;
pub mod issuer;
pub mod keys;
pub mod raw;
mod server;
mod store;
pub mod tokens;

pub use answer::{Answer, keys, send, timestamp};
pub use client::{User, id};
pub use events::{Event, Events};
pub use server::Server;
pub use store::{Kind, Store};

/// Runs each of a module's tests on both stores. A test is an `async fn(Store)`; one that is not listed is
/// dead code, which the compiler reports.
macro_rules! on_both_stores {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            use crate::support::{Kind, Store};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$test(Store::new(Kind::Sqlite).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                needs!(Postgres);
                super::$test(Store::new(Kind::Postgres).await).await;
            }
        }
    )+};
}
pub(crate) use on_both_stores;
