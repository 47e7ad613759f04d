//! The way of a read: what readers see of a user's tasks. Nothing here waits or asks the store.
//!
//! - [`snapshot`]: one committed state, immutable
//! - [`task_entry`]: a task in it, with its JSON
//! - [`task_json`]: a task becomes JSON here and nowhere else
//! - [`list_json`]: the JSON around a list's tasks; [`chunks`]: a large body, made while it is sent
//! - [`feed`]: what changed after a seq
//! - [`key_bytes`]: what idempotency keys take
//! - [`pinned`]: versions that such bodies are made from
//! - [`page`]: lists, filtered, sorted and cut into pages
//! - [`summary`] counts them

pub(crate) mod chunks;
pub(crate) mod feed;
pub(crate) mod key_bytes;
pub(crate) mod list_json;
pub(crate) mod page;
pub(crate) mod pinned;
pub(crate) mod snapshot;
pub(crate) mod summary;
pub(crate) mod task_entry;
pub(crate) mod task_json;
