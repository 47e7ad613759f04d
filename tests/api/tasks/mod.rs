//! `/tasks`, `/tasks/{id}`, `/tasks/{id}/complete`, `/summary`: writing and reading one user's tasks.
//!
//! - `create`: a new task's form and defaults
//! - `chosen_ids`: a client chooses the id and may send the create again
//! - `update`: partial updates, completing, deleting
//! - `text`: which titles and descriptions are valid
//! - `fields`: priority, tags, due date, position, `completed_at`
//! - `conditional`: 304 to `If-None-Match`, 412 to `If-Match`
//! - `list`: everything, newest first
//! - `list_pages`: a list in pages
//! - `list_queries`: filters and sorting
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
