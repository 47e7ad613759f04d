//! A thread that owns a connection and runs jobs on it, one at a time.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::store::StoreError;

/// Jobs in the queue; further callers wait until it has room. Few jobs ever wait, because commits are
/// grouped and each lane loads once.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Why a job has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Lost {
    /// The thread had stopped before the job was queued: it had no effect.
    #[error("the store is closed")]
    NeverRan,
    /// The job panicked: its effect is unknown.
    #[error("the store's thread broke off (its panic is in the log)")]
    NoAnswer,
}

/// The handle to such a thread.
pub(super) struct Worker {
    /// `None` once stopped.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    busy: Arc<AtomicBool>,
}

impl Worker {
    /// Starts the thread, with a queue of [`QUEUE`] jobs.
    pub(super) fn start(name: &str, mut connection: Connection) -> io::Result<Self> {
        let (sender, mut receiver) = mpsc::channel::<Job>(QUEUE);
        let busy = Arc::new(AtomicBool::new(false));
        let working = Arc::clone(&busy);
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            while let Some(job) = receiver.blocking_recv() {
                working.store(true, Ordering::Relaxed);
                // A panic ends only its own job. Unwinding normally rolls its transaction back; this makes
                // sure.
                let broke = catch_unwind(AssertUnwindSafe(|| job(&mut connection))).is_err();
                if broke && !connection.is_autocommit() {
                    // If even this fails, the next BEGIN fails too and tells its caller.
                    let _ = connection.execute_batch("ROLLBACK");
                }
                working.store(false, Ordering::Relaxed);
            }
        })?;
        Ok(Self { jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), busy })
    }

    /// Runs `work` on the thread and returns its result. Once queued it runs even if the caller stops
    /// waiting.
    ///
    /// # Errors
    /// [`Lost`] says whether it may have had an effect.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // The caller may have stopped waiting.
            let _ = reply.send(work(connection));
        });
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        jobs.ok_or(Lost::NeverRan)?.send(job).await.map_err(|_| Lost::NeverRan)?;
        answer.await.map_err(|_| Lost::NoAnswer)
    }

    /// Runs a query, with its failures as errors of the store.
    pub(super) async fn query<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answer = self.run(work).await.map_err(|lost| StoreError(format!("SQLite: {lost}")))?;
        answer.map_err(|error| StoreError(format!("SQLite: {error}")))
    }

    /// Lets the thread finish its queue and close its connection, and joins it.
    pub(super) fn stop(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread catches its jobs' panics, so joining it cannot fail.
        let _ = thread.map(JoinHandle::join);
    }

    /// Whether a job is running.
    pub(super) fn busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// The number of queued jobs.
    pub(super) fn waiting(&self) -> usize {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.as_ref().map_or(0, |jobs| jobs.max_capacity() - jobs.capacity())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn a_full_queue_makes_further_callers_wait_for_room() {
        let connection = Connection::open_in_memory().unwrap();
        let worker = Worker::start("a test", connection).unwrap();
        let (go, held) = std::sync::mpsc::channel::<()>();
        let mut waker = Context::from_waker(Waker::noop());
        let mut holding = Box::pin(worker.run(move |_| held.recv().is_ok()));
        assert!(holding.as_mut().poll(&mut waker).is_pending());
        while !worker.busy() {
            tokio::task::yield_now().await;
        }
        // The thread is busy with one; these fill the queue, and the last of them finds it full.
        let mut jobs: Vec<_> = (0..=QUEUE).map(|number| Box::pin(worker.run(move |_| number))).collect();
        for job in &mut jobs {
            assert!(job.as_mut().poll(&mut waker).is_pending());
        }
        assert_eq!(worker.waiting(), QUEUE);
        // One whose caller leaves before it is queued never runs.
        let mut late = Box::pin(worker.run(|_| unreachable!("nobody waits for it")));
        assert!(late.as_mut().poll(&mut waker).is_pending());
        drop::<Pin<Box<dyn Future<Output = Result<(), Lost>>>>>(late);
        go.send(()).unwrap();
        assert_eq!(holding.await, Ok(true));
        for (number, job) in jobs.into_iter().enumerate() {
            assert_eq!(job.await, Ok(number));
        }
        worker.stop();
    }
}
