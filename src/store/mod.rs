//! Where tasks are kept: one small trait, two implementations, one conformance suite (`tests/store/`).
//!
//! - [`contract`]: the trait, and what it tells
//! - [`batch`]: what is committed
//! - [`group_commit`]: gathers the batches of all users, and settles what is in doubt
//! - [`retention`]: forgets old deletions and keys
//! - [`check`]: looks whether what is stored keeps the rules
//! - [`copy`]: moves all users from one store to another
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
pub use contract::{Hint, PoolState, Recalled, Store, StoreError, StoredUser};
