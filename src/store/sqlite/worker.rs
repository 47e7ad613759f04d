//! A thread that owns a connection and works off jobs, one at a time.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

/// Jobs that may wait for a thread; further callers wait for a place in the queue. Lanes load and
/// commit in groups, so that few jobs ever wait.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Why a job has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The thread had stopped before the job was handed over: it has no effect.
    NeverRan,
    /// The job began and broke off: its effect is not known.
    NoAnswer,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeverRan => "the store is closed",
            Self::NoAnswer => "the store's thread broke off (its panic is in the log)",
        })
    }
}

/// The handle of such a thread.
pub(super) struct Worker {
    /// `None` once stopped.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    busy: Arc<AtomicBool>,
}

impl Worker {
    /// Starts the thread; [`QUEUE`] jobs may wait for it.
    pub(super) fn start(name: &str, mut connection: Connection) -> io::Result<Self> {
        let (sender, mut receiver) = mpsc::channel::<Job>(QUEUE);
        let busy = Arc::new(AtomicBool::new(false));
        let working = Arc::clone(&busy);
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            while let Some(job) = receiver.blocking_recv() {
                working.store(true, Ordering::Relaxed);
                // A panic ends that job only. Unwinding has rolled its transaction back; the second
                // look costs nothing.
                let broke = catch_unwind(AssertUnwindSafe(|| job(&mut connection))).is_err();
                if broke && !connection.is_autocommit() {
                    // Should even this fail, the next BEGIN fails too, and says so to its caller.
                    let _ = connection.execute_batch("ROLLBACK");
                }
                working.store(false, Ordering::Relaxed);
            }
        })?;
        Ok(Self { jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), busy })
    }

    /// Has the thread do `work` and returns what comes of it. Once handed over, the work is done
    /// whether or not anybody still waits.
    ///
    /// # Errors
    /// [`Lost`] says whether it may have had an effect.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // The caller may have left; then nobody wants to know.
            let _ = reply.send(work(connection));
        });
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        jobs.ok_or(Lost::NeverRan)?.send(job).await.map_err(|_| Lost::NeverRan)?;
        answer.await.map_err(|_| Lost::NoAnswer)
    }

    /// Lets the thread finish what is queued, closes its connection and joins it.
    pub(super) fn stop(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread catches its jobs' panics, so that joining it has no news.
        let _ = thread.map(JoinHandle::join);
    }

    /// Whether a job is being done.
    pub(super) fn busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// How many jobs wait.
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
    async fn only_so_many_jobs_wait_and_whoever_comes_then_waits_for_a_place() {
        let connection = Connection::open_in_memory().unwrap();
        let worker = Worker::start("a test", connection).unwrap();
        let (go, held) = std::sync::mpsc::channel::<()>();
        let mut waker = Context::from_waker(Waker::noop());
        let mut holding = Box::pin(worker.run(move |_| held.recv().is_ok()));
        assert!(holding.as_mut().poll(&mut waker).is_pending());
        while !worker.busy() {
            tokio::task::yield_now().await;
        }
        // The thread is busy with one; these wait, and the last of them has found no place.
        let mut jobs: Vec<_> = (0..=QUEUE).map(|number| Box::pin(worker.run(move |_| number))).collect();
        for job in &mut jobs {
            assert!(job.as_mut().poll(&mut waker).is_pending());
        }
        assert_eq!(worker.waiting(), QUEUE);
        // One that leaves before it has a place is never done.
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
