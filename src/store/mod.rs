//! Stores users and their tasks: one trait, two implementations, one conformance suite (`tests/store/`).
//!
//! - [`contract`]: the trait and its types
//! - [`batch`]: what is committed, and what became of it
//! - [`group_commit`]: commits the batches of many users together, and settles those in doubt
//! - [`retention`]: purges old tombstones and idempotency keys
//! - [`check`]: checks that the stored data keep the rules
//! - [`copy`]: copies all users from one store to another
//! - [`postgres`], [`sqlite`]: the two stores; in each, `task_row` alone knows the columns of a task

mod batch;
pub mod check;
mod contract;
pub mod copy;
pub mod group_commit;
pub mod postgres;
pub mod retention;
pub mod sqlite;
mod tags;

pub use batch::{Batch, KeyRecord, Outcome};
pub use contract::{Hint, PoolState, Recalled, Store, StoreError, StoreLife, StoredUser};
