//! Several servers behind one address, several processes on one database.
//!
//! - [`failover`]: detects fail-over and restore: a new timeline or system identifier starts a new epoch
//! - [`hosts`]: asks the servers in `DATABASE_URL` which of them is the primary
//! - [`notify`]: tells other processes of commits
//! - [`peers`]: finds out whether other processes use this database

pub(crate) mod failover;
pub(crate) mod hosts;
pub(crate) mod notify;
pub(crate) mod peers;
