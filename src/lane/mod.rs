//! One lane per user: the actor that orders the user's writes, and the snapshot its readers see.
//!
//! [`Registry`] is the only door: reading takes the lane's newest [`Snapshot`], writing submits a
//! [`Command`](crate::domain::Command) and waits until it is durable.

mod registry;
mod snapshot;
mod user;
mod view;

pub use registry::{Effect, Limits, Registry, Written};
pub use snapshot::{Entry, Snapshot, list_body};
