//! One lane per user: the actor that orders the user's writes, and the snapshot its readers see.
//!
//! [`Registry`] is the only door: reading takes the lane's newest [`Snapshot`], writing submits a
//! [`Command`](crate::domain::Command) and waits until it is durable.

mod eviction;
mod follow;
mod freshness;
#[expect(clippy::module_inception, reason = "it is what the folder is named for")]
mod lane;
mod lane_map;
mod limits;
mod permits;
mod read;
mod registry;
mod submission;
mod view;
mod write;

pub use limits::{LaneLimits, Reads};
pub use permits::Subscription;
pub use read::page::{Page, Query, cursor, parse_cursor};
pub use read::snapshot::{Changes, Event, Snapshot};
pub use read::summary::Summary;
pub use read::task_entry::{ShownTask, TaskEntry};
pub use registry::Registry;
pub use write::cancellation::Timing;
pub use write::command::{Effect, IdempotencyKey, Work, Write, WriteReply};
