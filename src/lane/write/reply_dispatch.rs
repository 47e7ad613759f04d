//! The way of an answer back to the thread that waits for it.
//!
//! Waking a task of another thread costs a system call, and that thread, when it is busy, takes up one woken
//! from elsewhere only after many of its own. So answers travel together: one task on each thread is woken
//! for as many as have come, and hands them on where a wake-up is a push onto a queue.

use std::cell::OnceCell;

use actix::Arbiter;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

type Errand = Box<dyn FnOnce() + Send>;

/// Errands run in one go at the most, before other tasks of the thread get their turn.
const AT_ONCE: usize = 64;

thread_local! {
    static HERE: OnceCell<Home> = const { OnceCell::new() };
}

/// A thread on which errands can be run; without one, they are run where they come up.
///
/// What waits is bounded by what was let in: each errand answers one write.
#[derive(Clone)]
pub(crate) struct Home(Option<UnboundedSender<Errand>>);

impl Home {
    /// The present thread, if it runs an arbiter.
    pub(crate) fn here() -> Self {
        let found = || {
            Arbiter::try_current()?;
            let (errands, waiting) = mpsc::unbounded_channel();
            actix::spawn(run(waiting));
            Some(errands)
        };
        HERE.with(|here| here.get_or_init(|| Self(found())).clone())
    }

    /// Has that thread run an errand, soon. It must neither wait nor take long.
    pub(crate) fn run(&self, errand: impl FnOnce() + Send + 'static) {
        let Some(errands) = &self.0 else { return errand() };
        if let Err(refused) = errands.send(Box::new(errand)) {
            // The thread is ending.
            (refused.0)();
        }
    }
}

async fn run(mut waiting: UnboundedReceiver<Errand>) {
    let mut errands = Vec::with_capacity(AT_ONCE);
    while waiting.recv_many(&mut errands, AT_ONCE).await > 0 {
        errands.drain(..).for_each(|errand| errand());
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    /// Has another thread send errands home; they tell their number and where they were run.
    fn send(home: &Home, count: usize) -> UnboundedReceiver<(usize, thread::ThreadId)> {
        let (note, noted) = unbounded_channel();
        let home = home.clone();
        let sender = thread::spawn(move || {
            for number in 0..count {
                let note = note.clone();
                home.run(move || note.send((number, thread::current().id())).unwrap());
            }
        });
        sender.join().unwrap();
        noted
    }

    #[test]
    fn errands_are_run_at_home_in_their_order_and_those_for_a_thread_that_ended_where_they_are() {
        let home = actix::System::new().block_on(async {
            let home = Home::here();
            let mut noted = send(&home, 3 * AT_ONCE + 1);
            for number in 0..=3 * AT_ONCE {
                assert_eq!(noted.recv().await, Some((number, thread::current().id())));
            }
            assert_eq!(noted.recv().await, None);
            home
        });
        let mut noted = send(&home, 1);
        let (number, place) = noted.try_recv().unwrap();
        assert_eq!(number, 0);
        assert_ne!(place, thread::current().id());
    }

    #[test]
    fn without_an_arbiter_an_errand_is_run_at_once() {
        let mut noted = send(&Home::here(), 2);
        assert_eq!([noted.try_recv().unwrap().0, noted.try_recv().unwrap().0], [0, 1]);
    }
}
