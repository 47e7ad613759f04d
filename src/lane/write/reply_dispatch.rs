//! Carries replies back to the threads that wait for them.
//!
//! Waking a task of another thread costs a system call, and a busy thread takes up such a task only after many of
//! its own. So replies travel together: one task on each thread is woken for all that have come, and hands them on
//! within its thread, where a wake-up is a push onto a queue.

use std::cell::OnceCell;

use actix::Arbiter;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

type Delivery = Box<dyn FnOnce() + Send>;

/// Deliveries run in one go, at most, before other tasks of the thread get their turn.
const AT_ONCE: usize = 64;

thread_local! {
    static CURRENT: OnceCell<ReplyDispatch> = const { OnceCell::new() };
}

/// A thread that runs deliveries; `None`: they run where they come up.
///
/// Its queue needs no bound: each delivery answers one write, and writes are bounded.
#[derive(Clone)]
pub(crate) struct ReplyDispatch(Option<UnboundedSender<Delivery>>);

impl ReplyDispatch {
    /// The current thread, if it runs an arbiter.
    pub(crate) fn of_current_thread() -> Self {
        let found = || {
            Arbiter::try_current()?;
            let (deliveries, waiting) = mpsc::unbounded_channel();
            actix::spawn(run(waiting));
            Some(deliveries)
        };
        CURRENT.with(|of_current_thread| of_current_thread.get_or_init(|| Self(found())).clone())
    }

    /// Runs a delivery on that thread, soon. It must neither wait nor take long.
    pub(crate) fn run(&self, delivery: impl FnOnce() + Send + 'static) {
        let Some(deliveries) = &self.0 else { return delivery() };
        if let Err(refused) = deliveries.send(Box::new(delivery)) {
            // The thread is ending.
            (refused.0)();
        }
    }
}

async fn run(mut waiting: UnboundedReceiver<Delivery>) {
    let mut deliveries = Vec::with_capacity(AT_ONCE);
    while waiting.recv_many(&mut deliveries, AT_ONCE).await > 0 {
        deliveries.drain(..).for_each(|delivery| delivery());
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    /// Has another thread send deliveries here; they note their number and the thread that ran them.
    fn send(dispatch: &ReplyDispatch, count: usize) -> UnboundedReceiver<(usize, thread::ThreadId)> {
        let (note, noted) = unbounded_channel();
        let dispatch = dispatch.clone();
        let sender = thread::spawn(move || {
            for number in 0..count {
                let note = note.clone();
                dispatch.run(move || note.send((number, thread::current().id())).unwrap());
            }
        });
        sender.join().unwrap();
        noted
    }

    #[test]
    fn deliveries_run_on_their_thread_in_order_and_those_for_a_thread_that_ended_at_once() {
        let dispatch = actix::System::new().block_on(async {
            let dispatch = ReplyDispatch::of_current_thread();
            let mut noted = send(&dispatch, 3 * AT_ONCE + 1);
            for number in 0..=3 * AT_ONCE {
                assert_eq!(noted.recv().await, Some((number, thread::current().id())));
            }
            assert_eq!(noted.recv().await, None);
            dispatch
        });
        let mut noted = send(&dispatch, 1);
        let (number, thread_id) = noted.try_recv().unwrap();
        assert_eq!(number, 0);
        assert_ne!(thread_id, thread::current().id());
    }

    #[test]
    fn without_an_arbiter_a_delivery_is_run_at_once() {
        let mut noted = send(&ReplyDispatch::of_current_thread(), 2);
        assert_eq!([noted.try_recv().unwrap().0, noted.try_recv().unwrap().0], [0, 1]);
    }
}
