//! The connections of the main listener.
//!
//! - [`limit`]: how many there may be, in all and of one address; which address a request comes from
//! - [`stream`]: one connection, which ends when nobody uses it
//! - [`wire`]: hands on its requests one at a time, and refuses what is no request ([`refused_bytes`]); its parts are
//!   [`request_head`] and [`chunk_framing`]
//! - [`send_timeout`]: closes connections whose client does not read
//! - [`service`]: what serves a connection: TLS, if there is any, then HTTP

mod chunk_framing;
pub(crate) mod limit;
pub(crate) mod refused_bytes;
mod request_head;
pub(crate) mod send_timeout;
pub(crate) mod service;
pub(crate) mod stream;
mod wire;
