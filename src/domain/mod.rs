//! The rules of a task list, and nothing else: no async, no HTTP, no SQL.
//!
//! Values are parsed once, at the edge ([`Title::parse`] and its kin); whoever holds one may trust it.
//! [`Operation::decide`] is the whole of what a write may do; the lane calls it and the store keeps its
//! outcome.

mod command;
mod fields;
mod ids;
mod query;
mod task;
mod text;
mod time;

pub use command::{Command, Decision, DecisionContext, Match, Operation, Refusal};
pub use fields::{Due, DueDate, Position, Priority, Tags, TagsError};
pub use ids::{Identity, Seq, TaskId, UserId};
pub use query::{CursorPosition, Filter, Sort};
pub use task::{Change, NewTask, Patch, SortField, SortKey, Task, TaskContent};
pub use text::{Description, TextError, Title, fold};
pub use time::Timestamp;
