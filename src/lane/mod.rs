//! One lane per user: the actor that orders the user's writes, and the snapshot its readers see.
//!
//! [`Registry`] is the only door: reading takes the lane's newest [`Snapshot`], writing submits a
//! [`Command`](crate::domain::Command) and waits until it is durable.
//!
//! # Glossary
//!
//! | word | meaning |
//! |---|---|
//! | subject, user | the token's name for its bearer; the key made from it |
//! | seq | a user's count of changes: 0 at first, raised by 1 with each change, stored with it |
//! | version | the seq of a task's last change |
//! | lane | all that is in memory of one user: view, actor, locks, counters |
//! | cold, warm, active | a lane whose state is being read; that serves reads; that has an actor |
//! | passivate | take an unused lane out of memory |
//! | snapshot | one committed state of a user's tasks, immutable |
//! | view | shows the newest snapshot, and wakes followers |
//! | follower | an open event stream |
//! | command, operation, write | one rule to apply; with its condition; one or more of them, all or none |
//! | plan | run queued writes on a working copy of the snapshot |
//! | batch | what a plan changed, as it goes to the store |
//! | group commit | many users' batches in one commit |
//! | fence | a batch applies only where the stored seq is the one it was planned at |
//! | conflict | the fence refused a batch: another process wrote, or stored one of its keys, or it was planned in an earlier epoch (never the 409 `CONFLICT`, which is a taken id) |
//! | in doubt | sent, and its outcome is not known |
//! | commit lock | held while a user's batch is on its way: at most one |
//! | cancellation | a caller gives up or the actor plans: the first one wins |
//! | tombstone | a remembered deletion |
//! | horizon | the seq up to which tombstones may be gone |
//! | key | a client's name for a write, so that sending it twice does it once |
//! | epoch | rises when the store is found to be another one: a promotion, a restore |
//! | timeline | of one lane; rises when its state went back |
//! | hint | another process's word that a user has changed; may be lost |
//!
//! # Map
//!
//! - [`registry`]: the door; [`limits`]: what it is set to
//! - [`lane_map`]: the lanes in memory; [`lane`]: one of them; [`permits`]: what keeps it there;
//!   [`eviction`]: what takes it out
//! - [`submission`]: a write's way to its actor and back; [`mod@write`]: the actor and all it does
//! - [`view`]: the newest snapshot; [`read`]: snapshots and what is read from them
//! - [`freshness`], [`follow`]: keep up with what other processes write

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

pub use limits::{LaneLimits, MANY_TASKS, Reads};
pub use permits::Subscription;
pub use read::chunks::{Chunks, TasksBody, VersionGone};
pub use read::feed::{Changes, Event};
pub use read::page::{Page, Query, Selection, cursor, parse_cursor};
pub use read::snapshot::Snapshot;
pub use read::summary::Summary;
pub use read::task_entry::{ShownTask, TaskEntry};
pub use registry::Registry;
pub use write::cancellation::Timing;
pub use write::command::{Effect, IdempotencyKey, Work, Write, WriteReply};
