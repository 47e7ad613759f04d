//! Large bodies: sent in chunks, and counted in the budget of requests under way.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;

use crate::domain::UserId;
use crate::http::error::ApiError;
use crate::lane::{Chunks, TasksBody, VersionGone};
use crate::work::{WorkBudget, WorkPermit};

/// Up to so many bytes a body is sent as one block that nobody counts.
const SMALL: usize = 64 << 10;

/// Bytes that are handed to the connection at once, which copies them: a list of a thousand tasks.
const SLICE: usize = 256 << 10;

/// How long a body may take in any case …
const GRACE: Duration = Duration::from_secs(30);

/// … and beyond that, how many bytes a second have to be read, at least.
const LEAST_RATE: u64 = 16 << 10;

/// A body with tasks. It takes from the budget what it keeps in memory until it is sent.
///
/// # Errors
/// 429 or 503 if that is too much.
pub(crate) fn of_tasks(budget: &WorkBudget, user: UserId, body: TasksBody) -> Result<BoxBody, ApiError> {
    Ok(match body {
        TasksBody::Ready(bytes) if bytes.len() <= SMALL => BoxBody::new(bytes),
        TasksBody::Ready(bytes) => {
            let permit = budget.take(user, bytes.len())?;
            BoxBody::new(SlicedBytes::new(bytes, Some(Arc::new(permit))))
        }
        TasksBody::Chunks(chunks) => {
            let permit = chunks.keeps().map(|bytes| budget.take(user, bytes)).transpose()?;
            let (length, pace) = (chunks.length() as u64, ReadingPace::new());
            BoxBody::new(InChunks { length, chunks, pace, _permit: permit })
        }
    })
}

/// A ready body whose bytes are counted already.
pub(crate) fn of_bytes(bytes: Bytes, permit: Option<Arc<WorkPermit>>) -> BoxBody {
    if bytes.len() <= SMALL { BoxBody::new(bytes) } else { BoxBody::new(SlicedBytes::new(bytes, permit)) }
}

/// A ready body, sent slice by slice: the server copies what it is given into the connection's buffer.
struct SlicedBytes {
    bytes: Bytes,
    pace: ReadingPace,
    _permit: Option<Arc<WorkPermit>>,
}

impl SlicedBytes {
    fn new(bytes: Bytes, permit: Option<Arc<WorkPermit>>) -> Self {
        Self { bytes, pace: ReadingPace::new(), _permit: permit }
    }
}

impl MessageBody for SlicedBytes {
    type Error = Unfinished;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let length = self.bytes.len().min(SLICE);
        if length == 0 {
            return Poll::Ready(None);
        }
        let slice = self.bytes.split_to(length);
        Poll::Ready(Some(self.pace.check(slice)))
    }
}

/// A body that is made while it is sent.
struct InChunks {
    length: u64,
    chunks: Chunks,
    pace: ReadingPace,
    _permit: Option<WorkPermit>,
}

impl MessageBody for InChunks {
    type Error = Unfinished;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let chunk = self.chunks.next();
        Poll::Ready(chunk.map(|chunk| self.pace.check(chunk?)))
    }
}

/// Why a body ends early, and its connection with it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Unfinished {
    #[error(transparent)]
    Gone(#[from] VersionGone),
    #[error("the client reads too slowly")]
    TooSlow,
}

/// How fast a client reads. One that reads nothing at all is cut off by the kernel (`send_timeout`).
struct ReadingPace {
    started: Instant,
    sent: u64,
}

impl ReadingPace {
    fn new() -> Self {
        Self { started: Instant::now(), sent: 0 }
    }

    /// The next part, unless the parts before it took too long.
    fn check(&mut self, part: Bytes) -> Result<Bytes, Unfinished> {
        let allowed = GRACE + Duration::from_millis(self.sent * 1000 / LEAST_RATE);
        self.sent += part.len() as u64;
        if self.started.elapsed() > allowed { Err(Unfinished::TooSlow) } else { Ok(part) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_reads_slower_than_the_least_rate_is_cut_off() {
        let mut pace = ReadingPace::new();
        assert!(pace.check(Bytes::from(vec![0; SMALL])).is_ok());
        pace.started = Instant::now().checked_sub(GRACE + Duration::from_secs(3)).unwrap();
        assert!(pace.check(Bytes::new()).is_ok(), "64 KiB may take four seconds more");
        pace.started = Instant::now().checked_sub(GRACE + Duration::from_secs(5)).unwrap();
        assert!(matches!(pace.check(Bytes::new()), Err(Unfinished::TooSlow)));
    }
}
