//! One lane per user: the actor that orders the user's writes, and the snapshot its readers see.
//!
//! [`Registry`] is the only door: reading takes the lane's newest [`Snapshot`], writing submits a
//! [`Command`](crate::domain::Command) and waits until it is durable.

mod claim;
mod entry;
mod follow;
mod freshness;
mod held;
mod home;
mod keys;
mod limits;
mod page;
mod plan;
mod registry;
mod render;
mod snapshot;
mod summary;
mod sweep;
mod user;
mod view;
mod write;

pub use claim::Timing;
pub use entry::{Entry, Shown};
pub use held::Subscription;
pub use limits::{Limits, Reads};
pub use page::{Page, Query, cursor, parse_cursor};
pub use registry::Registry;
pub use snapshot::{Changes, Event, Snapshot};
pub use summary::Summary;
pub use write::{Answer, Effect, IdempotencyKey, Work, Write};
