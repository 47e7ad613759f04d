//! `/changes`, `/events`, `/events/ticket`: how a client stays in step.
//!
//! - `seq_and_etags`: the one integer that tells a client where it is
//! - `changes`: the feed
//! - `events`: the stream, resumed without a hole and without a repeat
//! - `events_in_time`: what streams do as half a minute passes
//! - `following`: followers of random histories end with the server's list

mod changes;
mod events;
mod events_in_time;
mod following;
mod seq_and_etags;
