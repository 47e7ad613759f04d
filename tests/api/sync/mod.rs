//! `/changes`, `/events`, `/events/ticket`: how a client stays up to date.
//!
//! - `seq_and_etags`: the one integer that says which state a client has
//! - `changes`: the feed
//! - `events`: the stream, resumed without a gap or a repeat
//! - `events_in_time`: keep-alives, expiring tickets, stalled readers
//! - `following`: followers of random histories end with the server's list
//! - `lineage`: what seqs count in

mod changes;
mod events;
mod events_in_time;
mod following;
mod lineage;
mod seq_and_etags;
