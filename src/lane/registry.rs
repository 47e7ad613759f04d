//! The map of lanes, and the only door to them (placeholder, replaced in the next step).

use std::sync::Arc;

use super::{Entry, Snapshot};
use crate::domain::{Command, Identity, Seq};
use crate::error::Error;

/// An accepted write, durable in the store.
#[derive(Clone, Debug)]
pub struct Written {
    /// The write's own seq (for [`Effect::Exists`], the seq at which the answer is true).
    pub seq: Seq,
    /// What it did.
    pub effect: Effect,
}

/// What an accepted write did.
#[derive(Clone, Debug)]
pub enum Effect {
    /// The task is new.
    Created(Arc<Entry>),
    /// The same create came before; this is the stored task.
    Exists(Arc<Entry>),
    /// The task changed.
    Updated(Arc<Entry>),
    /// The task is gone.
    Deleted,
}

/// The map of lanes. A clone is another handle on the same map.
#[derive(Clone)]
pub struct Registry {}

impl Registry {
    /// The newest snapshot of a user, if the user's lane is loaded: no wait, no store call.
    #[must_use]
    pub fn cached(&self, _who: &Identity) -> Option<Arc<Snapshot>> {
        unreachable!()
    }

    /// The newest snapshot of a user, loading the lane first where need be.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] when it had to be loaded and could not be;
    /// [`Error::ForeignSubject`]; [`Error::Overloaded`].
    pub async fn snapshot(&self, _who: &Identity) -> Result<Arc<Snapshot>, Error> {
        unreachable!()
    }

    /// Carries out a write and returns once it is durable.
    ///
    /// # Errors
    /// Every variant of [`Error`]; only [`Error::OutcomeUnknown`] leaves open whether it was applied.
    pub async fn submit(&self, _who: &Identity, _command: Command) -> Result<Written, Error> {
        unreachable!()
    }

    /// Asks the store for a sign of life.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] says what is down.
    pub async fn ping(&self) -> Result<(), Error> {
        unreachable!()
    }
}
