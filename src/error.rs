//! The one error below HTTP. `http` maps it to status, code and message.

use bytes::Bytes;

use crate::domain::{Refusal, Revision};

/// Why a read or a write was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A rule of the domain forbids it. Nothing was written.
    #[error("operation {operation} refused at {at}: {refusal:?}")]
    Refused {
        /// The rule.
        refusal: Refusal,
        /// Where the refusal is true.
        at: Revision,
        /// The JSON of the task it is about, as it is, if there is one.
        current: Option<Bytes>,
        /// Which of the write's operations it is, from 0.
        operation: usize,
    },
    /// The idempotency key was used before, for another request. Nothing was written.
    #[error("the idempotency key was used for another request")]
    KeyReused {
        /// The user's.
        at: Revision,
    },
    /// The caller knows a seq that the store has not reached: the store has gone back since. The caller has to resync.
    #[error("the store has only reached {at}")]
    SeqAhead {
        /// The user's.
        at: Revision,
    },
    /// A limit on waiting work is reached. Nothing was written; try again later.
    #[error("too much work is waiting: {0}")]
    Overloaded(&'static str),
    /// The user has more work under way than one user may. Nothing was written; try again later.
    #[error("the user's share is taken: {0}")]
    OverShare(&'static str),
    /// The store cannot be reached or refuses work. Nothing was written.
    #[error("the store is not available: {0}")]
    StoreUnavailable(String),
    /// The write may or may not be carried out; a later read shows which.
    #[error("the outcome of the write is not known")]
    OutcomeUnknown,
    /// The token's subject maps to a user id that another subject already holds.
    #[error("the user id belongs to another subject")]
    ForeignSubject,
    /// A defect of ours. Its text goes to the log and never to a client.
    #[error("internal error: {0}")]
    Internal(String),
}
