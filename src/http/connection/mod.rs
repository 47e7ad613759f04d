//! The connections of the main listener.
//!
//! - [`limit`]: how many there may be, in all and of one address; which address a request comes from
//! - [`stream`]: one connection, which ends when nobody uses it
//! - [`send_timeout`]: closes connections whose client does not read
//! - [`service`]: what serves a connection: TLS, if there is any, then HTTP

pub(crate) mod limit;
pub(crate) mod send_timeout;
pub(crate) mod service;
pub(crate) mod stream;
