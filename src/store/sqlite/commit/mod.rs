//! The service's writes.
//!
//! - [`group`]: a group of batches, in one transaction
//! - [`large`]: a large batch, a slice at a time
//! - [`sweep`]: removes rows that count for nothing

pub(super) mod group;
pub(super) mod large;
pub(super) mod sweep;
