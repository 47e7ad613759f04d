//! The rules of a task list, and nothing else: no async, no HTTP, no SQL.
//!
//! Values are parsed once, where they enter ([`Title::parse`] and the like); after that they are trusted.
//! [`Operation::decide`] is all that a write may do; the lane calls it and the store keeps the outcome.
//!
//! - `task`: a task, what may be changed in it, what lists are sorted by; `fields`, `text`: its fields' types
//! - `command`: what a write does; `query`: which tasks a list shows, and in which order
//! - `cost`: what a request makes the service take
//! - `ids`: users, tasks, seqs; `lineage`: what seqs count in; `time`: instants; `rfc3339`: how dates and instants are
//!   read
//! - `unicode`: which texts are the same, which show nothing, how they sort

mod command;
mod cost;
mod fields;
mod ids;
mod lineage;
mod query;
mod rfc3339;
mod task;
mod text;
mod time;
mod unicode;

pub use command::{Command, Conditions, Decision, DecisionContext, Match, Operation, Refusal};
pub use cost::Cost;
pub use fields::*;
pub use ids::{Identity, Seq, TaskId, UserId};
pub use lineage::{GivenRevision, Lineage, Revision, StoreIdentity};
pub(crate) use query::Rank;
pub use query::{CursorPosition, Filter, Sort};
pub(crate) use task::STORED_ROW;
pub use task::{Change, NewTask, Patch, SortField, SortKey, Task, TaskContent};
pub use text::{Description, TextError, Title};
pub use time::Timestamp;
pub use unicode::fold;
