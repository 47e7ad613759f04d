//! The queue in which log lines wait for the one thread that writes them.
//!
//! So no request waits for whoever reads the log, and a failed write fails nothing else: a line that finds the
//! queue full, or that cannot be written, is dropped and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use ::metrics::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const MAX_LINES: usize = 8192;

/// Bytes of lines that may wait.
const MAX_BYTES: usize = 4 << 20;

/// Where log lines are put.
#[derive(Clone)]
pub(super) struct LogQueue {
    lines: SyncSender<Box<[u8]>>,
    /// Bytes of lines that are not written yet.
    waiting: Arc<AtomicUsize>,
    dropped: Counter,
}

impl LogQueue {
    /// Starts the thread that writes to `sink`, and counts what is lost in `dropped`.
    pub(super) fn start(sink: impl Write + Send + 'static, dropped: Counter) -> io::Result<Self> {
        let (lines, queued) = sync_channel(MAX_LINES);
        let queue = Self { lines, waiting: Arc::default(), dropped };
        let (waiting, dropped) = (Arc::clone(&queue.waiting), queue.dropped.clone());
        let write = move || write_lines(&queued, sink, &waiting, &dropped);
        thread::Builder::new().name("log".into()).spawn(write)?;
        Ok(queue)
    }

    fn push(&self, line: &[u8]) {
        let others = self.waiting.fetch_add(line.len(), Ordering::Relaxed);
        if others + line.len() > MAX_BYTES || self.lines.try_send(line.into()).is_err() {
            self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            self.dropped.increment(1);
        }
    }

    /// Waits until every line is written, but no longer than `patience`: the reader may read nothing.
    pub(super) fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.waiting.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn write_lines(queued: &Receiver<Box<[u8]>>, mut sink: impl Write, waiting: &AtomicUsize, dropped: &Counter) {
    for line in queued {
        if sink.write_all(&line).is_err() {
            dropped.increment(1);
        }
        waiting.fetch_sub(line.len(), Ordering::Release);
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Each call is one line: `tracing_subscriber::fmt` writes a whole line at once.
impl Write for &LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc;

    use super::*;

    /// Waits for a permit before each write, then fails or keeps the line.
    struct Gate {
        permits: mpsc::Receiver<bool>,
        kept: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            if !self.permits.recv().unwrap_or(true) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.kept.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Gated {
        queue: LogQueue,
        permits: mpsc::Sender<bool>,
        kept: Arc<Mutex<Vec<u8>>>,
        dropped: Arc<AtomicU64>,
    }

    fn gated() -> Gated {
        let (permits, waiting) = mpsc::channel();
        let (kept, dropped) = (Arc::default(), Arc::<AtomicU64>::default());
        let sink = Gate { permits: waiting, kept: Arc::clone(&kept) };
        let queue = LogQueue::start(sink, Counter::from_arc(Arc::clone(&dropped))).unwrap();
        Gated { queue, permits, kept, dropped }
    }

    impl Gated {
        fn log(&self, line: &[u8]) {
            (&self.queue).write_all(line).unwrap();
        }

        fn dropped(&self) -> u64 {
            self.dropped.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn lines_beyond_the_queue_are_dropped_and_counted_and_nobody_waits() {
        let log = gated();
        for _ in 0..MAX_LINES + 100 {
            log.log(b"x");
        }
        // The thread may hold one more, which it cannot write yet.
        assert!((99..=100).contains(&log.dropped()), "{}", log.dropped());
        log.queue.flush(Duration::from_millis(1));
        assert!(log.kept.lock().unwrap().is_empty(), "a reader that does not read holds nothing up");
    }

    #[test]
    fn the_queue_is_bounded_in_bytes_as_well() {
        let log = gated();
        let line = vec![b'x'; MAX_BYTES / 4];
        for _ in 0..6 {
            log.log(&line);
        }
        assert_eq!(log.dropped(), 2);
        for _ in 0..5 {
            log.permits.send(true).unwrap();
        }
        log.queue.flush(Duration::from_mins(1));
        assert_eq!(log.kept.lock().unwrap().len(), MAX_BYTES);
        log.log(&line);
        assert_eq!(log.dropped(), 2, "there is room again");
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted_and_the_next_one_is_written() {
        let log = gated();
        log.permits.send(false).unwrap();
        log.permits.send(true).unwrap();
        log.log(b"lost");
        log.log(b"written");
        log.queue.flush(Duration::from_mins(1));
        assert_eq!((log.dropped(), log.kept.lock().unwrap().as_slice()), (1, &b"written"[..]));
    }
}
