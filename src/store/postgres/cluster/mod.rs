//! Several servers behind one URL, and several processes on one database.
//!
//! - [`hosts`]: finds the primary among the servers in `DATABASE_URL`
//! - [`notify`]: hints to other processes that users have changed
//! - [`peers`]: detects other processes on this database

pub(crate) mod hosts;
pub(crate) mod notify;
pub(crate) mod peers;
