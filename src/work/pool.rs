//! Threads of their own for heavy work: parsing large bodies, searching and sorting many tasks, planning large writes.
//!
//! Work comes in slices of some milliseconds. After each slice another user's work gets its turn, and work whose caller
//! has gone ends. One user has at most half of the threads.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::domain::UserId;
use crate::error::Error;
use crate::telemetry::metrics;

/// Works of one user that may wait.
const WAITING_PER_USER: usize = 32;

/// Works that may wait in all.
const WAITING: usize = 1024;

/// How long a caller waits for its result.
const DEADLINE: Duration = Duration::from_secs(10);

/// Does one slice; `true` when nothing is left to do.
type HeavyWork = Box<dyn FnMut() -> bool + Send>;

/// The threads of heavy work. A clone is another handle on the same ones; they end with the last of them.
#[derive(Clone)]
pub struct WorkPool(Arc<PoolHandle>);

struct PoolHandle(Arc<SharedTurns>);

struct SharedTurns {
    turns: Mutex<Turns>,
    /// Wakes a thread when there is something to do.
    wake: Condvar,
    /// Threads of one user, at most.
    threads_per_user: usize,
}

#[derive(Default)]
struct Turns {
    /// What waits, by its user.
    waiting: HashMap<UserId, VecDeque<HeavyWork>>,
    /// Whose turn comes when: the users of `waiting`, each once.
    order: VecDeque<UserId>,
    /// Threads that work for a user.
    working: HashMap<UserId, usize>,
    count: usize,
    ended: bool,
}

impl WorkPool {
    /// Starts so many threads, at least two.
    ///
    /// # Panics
    /// When the system cannot start a thread.
    #[must_use]
    pub fn start(threads: usize) -> Self {
        let threads = threads.max(2);
        let state = Arc::new(SharedTurns {
            turns: Mutex::default(),
            wake: Condvar::new(),
            threads_per_user: threads / 2,
        });
        for _ in 0..threads {
            let state = Arc::clone(&state);
            let thread = Builder::new().name("heavy".to_owned()).spawn(move || state.work());
            thread.expect("the system starts threads");
        }
        Self(Arc::new(PoolHandle(state)))
    }

    /// Runs work in one go, which has to be short, or is bounded by what its request carries.
    ///
    /// # Errors
    /// As [`WorkPool::run_slices`].
    pub async fn run<T: Send + 'static>(
        &self,
        user: UserId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let mut work = Some(work);
        self.run_slices(user, move || work.take().map(|work| work())).await
    }

    /// Calls `slice` until it returns the result. Dropping the future ends the work before its next slice.
    ///
    /// # Errors
    /// [`Error::OverShare`] when too much of this user's work waits; [`Error::Overloaded`] when too much waits in
    /// all, or the result took too long; [`Error::Internal`] when the work panicked.
    pub async fn run_slices<T: Send + 'static>(
        &self,
        user: UserId,
        mut slice: impl FnMut() -> Option<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, result) = oneshot::channel();
        let mut sender = Some(sender);
        let slices = move || {
            if sender.as_ref().is_none_or(oneshot::Sender::is_closed) {
                return true;
            }
            let Some(done) = slice() else { return false };
            // The caller may have gone.
            let _ = sender.take().map(|sender| sender.send(done));
            true
        };
        self.0.0.add(user, Box::new(slices))?;
        match timeout(DEADLINE, result).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(Error::Internal("heavy work panicked".into())),
            Err(_) => Err(Error::Overloaded("heavy work took too long")),
        }
    }
}

impl SharedTurns {
    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, user: UserId, slices: HeavyWork) -> Result<(), Error> {
        let mut turns = self.lock();
        if turns.count >= WAITING {
            return Err(Error::Overloaded("too much heavy work is waiting"));
        }
        if turns.waiting.get(&user).is_some_and(|own| own.len() >= WAITING_PER_USER) {
            metrics().work_over_share.increment(1);
            return Err(Error::OverShare("too much heavy work of this user is waiting"));
        }
        turns.put(user, slices);
        drop(turns);
        self.wake.notify_one();
        Ok(())
    }

    /// A thread's life: slice after slice, each of the user whose turn it is.
    fn work(&self) {
        let mut turns = self.lock();
        loop {
            if turns.ended {
                return;
            }
            let Some((user, mut slices)) = turns.next(self.threads_per_user) else {
                turns = self.wake.wait(turns).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(turns);
            // A panic ends only its own work; its caller is told by the dropped sender.
            let done = catch_unwind(AssertUnwindSafe(&mut slices)).unwrap_or(true);
            turns = self.lock();
            turns.finished(user);
            if done {
                drop(slices);
            } else {
                turns.put(user, slices);
            }
            // A user who had all threads allowed may go on, and so may another thread.
            self.wake.notify_one();
        }
    }
}

impl Turns {
    fn put(&mut self, user: UserId, slices: HeavyWork) {
        let own = self.waiting.entry(user).or_default();
        if own.is_empty() {
            self.order.push_back(user);
        }
        own.push_back(slices);
        self.count += 1;
    }

    /// The next slice to do, of the first user who has a thread left.
    fn next(&mut self, threads_per_user: usize) -> Option<(UserId, HeavyWork)> {
        let may = |user: &UserId| self.working.get(user).is_none_or(|threads| *threads < threads_per_user);
        let index = self.order.iter().position(may)?;
        let user = self.order.remove(index)?;
        let own = self.waiting.get_mut(&user)?;
        let slices = own.pop_front()?;
        self.count -= 1;
        if own.is_empty() {
            self.waiting.remove(&user);
        } else {
            self.order.push_back(user);
        }
        *self.working.entry(user).or_default() += 1;
        Some((user, slices))
    }

    fn finished(&mut self, user: UserId) {
        if let Some(threads) = self.working.get_mut(&user) {
            *threads -= 1;
            if *threads == 0 {
                self.working.remove(&user);
            }
        }
    }
}

impl Drop for PoolHandle {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn one_user_has_half_of_the_threads_and_others_get_their_turn() {
        let pool = WorkPool::start(2);
        let [ann, bob] = ["ann", "bob"].map(UserId::of_subject);
        let (release, held) = mpsc::channel::<()>();
        let (began, first) = oneshot::channel();
        let blocked = pool.clone();
        let hog = tokio::spawn(async move {
            let began = Mutex::new(Some(began));
            let work = move || {
                began.lock().unwrap().take().unwrap().send(()).unwrap();
                held.recv().unwrap();
            };
            blocked.run(ann, work).await
        });
        first.await.unwrap();
        let second = pool.clone();
        let waits = tokio::spawn(async move { second.run(ann, || 2).await });
        // One thread is held by ann; the other one is not for ann's second work, but for bob's.
        assert_eq!(pool.run(bob, || 3).await.unwrap(), 3);
        assert!(!waits.is_finished());
        release.send(()).unwrap();
        hog.await.unwrap().unwrap();
        assert_eq!(waits.await.unwrap().unwrap(), 2);
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_ends_and_too_much_of_it_is_refused() {
        let pool = WorkPool::start(2);
        let ann = UserId::of_subject("ann");
        let slices = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&slices);
        let endless = pool.run_slices(ann, move || {
            counted.fetch_add(1, Ordering::Relaxed);
            None::<()>
        });
        let gone = timeout(Duration::from_millis(20), endless).await;
        assert!(gone.is_err() && slices.load(Ordering::Relaxed) > 0);
        // It has ended once the next work of the same user is done: they share one thread.
        pool.run(ann, || ()).await.unwrap();
        pool.run(ann, || ()).await.unwrap();
        let after = slices.load(Ordering::Relaxed);
        pool.run(ann, || ()).await.unwrap();
        assert_eq!(slices.load(Ordering::Relaxed), after);

        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let mut all = vec![tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(ann, move || held.lock().unwrap().recv().unwrap()).await }
        })];
        tokio::task::yield_now().await;
        let mut refused = 0;
        for _ in 0..=WAITING_PER_USER + 1 {
            let pool = pool.clone();
            all.push(tokio::spawn(async move { pool.run(ann, || ()).await }));
            tokio::task::yield_now().await;
        }
        release.send(()).unwrap();
        for one in all {
            refused += usize::from(matches!(one.await.unwrap(), Err(Error::OverShare(_))));
        }
        // One more if the first one was not taken up yet.
        assert!((2..=3).contains(&refused), "{refused}");
        assert!(matches!(pool.run(ann, || panic!("on purpose")).await, Err(Error::Internal(_))));
        assert_eq!(pool.run(ann, || 7).await.unwrap(), 7, "a panic takes no thread with it");
    }
}
