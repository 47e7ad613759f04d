//! What requests under way may take together, and one user of it.
//!
//! - [`budget`]: the bytes that they hold
//! - [`pool`]: the threads of heavy work

mod budget;
mod pool;

pub use budget::{WorkBudget, WorkPermit};
pub use pool::WorkPool;
