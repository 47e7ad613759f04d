//! Several servers behind one address, several processes on one database.
//!
//! - [`hosts`]: asks the servers in `DATABASE_URL` which of them is the primary
//! - [`notify`]: tells other processes of commits
//! - [`peers`]: finds out whether other processes use this database

pub(crate) mod hosts;
pub(crate) mod notify;
pub(crate) mod peers;
