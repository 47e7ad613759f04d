//! `/tasks`, `/tasks/{id}`, `/tasks/{id}/complete`, `/summary`: one user's tasks, written and read.
//!
//! - `create`: a new task's form and defaults
//! - `chosen_ids`: a client that chooses the id, and sends the create again
//! - `update`: partial updates, ticking, deleting
//! - `text`: what a title and a description may be
//! - `fields`: priority, tags, due date, position, `completed_at`
//! - `conditional`: 304 to `If-None-Match`, 412 to `If-Match`
//! - `list`: everything, newest first
//! - `list_pages`: a list cut into pages
//! - `list_queries`: a list narrowed and sorted
//! - `summary`: the counts
//! - `sequences`: random calls against the model

mod chosen_ids;
mod conditional;
mod create;
mod fields;
mod list;
mod list_pages;
mod list_queries;
mod sequences;
mod summary;
mod text;
mod update;
