//! Where several processes share one store: what others wrote is shown here, too.
//!
//! - [`freshness`]: asks the store how far a user is, and fetches what is missing
//! - [`follow`]: keeps lanes with open event streams up to date

pub(crate) mod follow;
pub(crate) mod freshness;
