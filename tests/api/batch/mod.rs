//! `/batch`: many writes in one request.
//!
//! - `all_or_none`: all of them, in order, in one commit, or none

mod all_or_none;
