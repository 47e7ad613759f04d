//! The bytes that requests under way hold: bodies being read, writes that wait, answers being sent.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::domain::UserId;
use crate::error::Error;
use crate::telemetry::metrics;

/// One user may have half of the bytes. A body of this size still fits, if nobody else has much.
const PART_OF_ONE: usize = 2;

/// An eighth is left to users who hold little, whoever holds the rest.
const RESERVE: usize = 8;

/// Who holds at most this part holds little.
const LITTLE: usize = 64;

/// Bytes that requests under way may hold. A clone is another handle on the same ones.
#[derive(Clone)]
pub struct WorkBudget(Arc<BudgetState>);

struct BudgetState {
    most: usize,
    taken: AtomicUsize,
    users: DashMap<UserId, usize>,
    /// Whose turn it is among those that become several times their size.
    turn: Arc<Mutex<()>>,
}

/// Bytes taken from the budget; given back when it is dropped.
pub struct WorkPermit {
    budget: WorkBudget,
    user: UserId,
    bytes: usize,
    turn: Option<OwnedMutexGuard<()>>,
}

impl WorkBudget {
    /// So many bytes for all users together.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let (taken, users, turn) = (AtomicUsize::new(0), DashMap::new(), Arc::default());
        Self(Arc::new(BudgetState { most, taken, users, turn }))
    }

    /// Takes bytes for a user.
    ///
    /// # Errors
    /// As [`WorkPermit::grow_to`].
    pub fn take(&self, user: UserId, bytes: usize) -> Result<WorkPermit, Error> {
        let mut permit = WorkPermit { budget: self.clone(), user, bytes: 0, turn: None };
        permit.grow_to(bytes)?;
        Ok(permit)
    }

    /// Bytes taken by all.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }
}

impl WorkPermit {
    /// Waits for its turn among requests that need several times the size of their body, and keeps it for as
    /// long as its bytes, even if the caller goes away.
    ///
    /// # Errors
    /// [`Error::Overloaded`] after `most`.
    pub async fn wait_for_turn(&mut self, most: Duration) -> Result<(), Error> {
        let turn = timeout(most, Arc::clone(&self.budget.0.turn).lock_owned()).await;
        self.turn = Some(turn.map_err(|_| {
            metrics().work_overloaded.increment(1);
            Error::Overloaded("other imports are under way")
        })?);
        Ok(())
    }

    /// Takes more, until it has so many bytes. It never gives back.
    ///
    /// # Errors
    /// [`Error::OverShare`] when the user would have more than half of all; [`Error::Overloaded`] when too few are
    /// left. The permit is then as before.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Error> {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        let state = &*self.budget.0;
        // The entry is locked until the end, so that two requests of a user cannot both take the last bytes.
        let mut own = state.users.entry(self.user).or_insert(0);
        let after = *own + more;
        let refused = if after > state.most / PART_OF_ONE {
            metrics().work_over_share.increment(1);
            Some(Error::OverShare("the user's requests under way hold too many bytes"))
        } else {
            let reserve = if after <= state.most / LITTLE { 0 } else { state.most / RESERVE };
            let enough = |taken: usize| (taken + more <= state.most - reserve).then_some(taken + more);
            let taken = state.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough);
            taken.is_err().then(|| {
                metrics().work_overloaded.increment(1);
                Error::Overloaded("requests under way hold too many bytes")
            })
        };
        if let Some(error) = refused {
            if *own == 0 {
                drop(own);
                state.users.remove_if(&self.user, |_, own| *own == 0);
            }
            return Err(error);
        }
        *own = after;
        self.bytes = bytes;
        Ok(())
    }
}

impl fmt::Debug for WorkPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkPermit({} bytes)", self.bytes)
    }
}

impl Drop for WorkPermit {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let state = &*self.budget.0;
        state.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        if let Some(mut own) = state.users.get_mut(&self.user) {
            *own -= self.bytes;
        }
        state.users.remove_if(&self.user, |_, own| *own == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_half_at_most_and_those_who_hold_little_find_the_reserve() {
        let budget = WorkBudget::new(6400);
        let [ann, bob, cid] = ["ann", "bob", "cid"].map(UserId::of_subject);
        let mut first = budget.take(ann, 3000).unwrap();
        assert!(matches!(budget.take(ann, 201), Err(Error::OverShare(_))));
        assert!(matches!(first.grow_to(3201), Err(Error::OverShare(_))));
        first.grow_to(3200).unwrap();
        // All but an eighth.
        let second = budget.take(bob, 2400).unwrap();
        assert!(matches!(budget.take(bob, 1), Err(Error::Overloaded(_))));
        assert!(matches!(budget.take(cid, 101), Err(Error::Overloaded(_))));
        let little = budget.take(cid, 100).unwrap();
        assert_eq!(budget.taken(), 5700);
        drop((first, second, little));
        assert_eq!((budget.taken(), budget.0.users.len()), (0, 0), "nothing is left of them");
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_lasts_as_long_as_its_bytes_and_is_waited_for_only_so_long() {
        let budget = WorkBudget::new(6400);
        let [ann, bob] = ["ann", "bob"].map(UserId::of_subject);
        let (mut first, mut second) = (budget.take(ann, 100).unwrap(), budget.take(bob, 100).unwrap());
        let most = Duration::from_secs(30);
        first.wait_for_turn(most).await.unwrap();
        assert!(matches!(second.wait_for_turn(most).await, Err(Error::Overloaded(_))));
        let next = tokio::spawn(async move { second.wait_for_turn(most).await });
        tokio::time::sleep(most / 2).await;
        assert!(!next.is_finished());
        drop(first);
        next.await.unwrap().unwrap();
    }
}
