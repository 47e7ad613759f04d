//! Large bodies: sent in chunks, and counted in the budget of requests under way.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;

use crate::domain::UserId;
use crate::http::error::ApiError;
use crate::lane::{Chunks, TasksBody};
use crate::work::{WorkBudget, WorkPermit};

/// Up to so many bytes a body is sent as one block that nobody counts.
const SMALL: usize = 64 << 10;

/// A body with tasks. It takes from the budget what it keeps in memory until it is sent.
///
/// # Errors
/// 429 or 503 if that is too much.
pub(crate) fn of_tasks(budget: &WorkBudget, user: UserId, body: TasksBody) -> Result<BoxBody, ApiError> {
    Ok(match body {
        TasksBody::Ready(bytes) if bytes.len() <= SMALL => BoxBody::new(bytes),
        TasksBody::Ready(bytes) => {
            let permit = budget.take(user, bytes.len())?;
            BoxBody::new(SlicedBytes { bytes, _permit: Some(Arc::new(permit)) })
        }
        TasksBody::Chunks(chunks) => {
            let permit = chunks.keeps().map(|bytes| budget.take(user, bytes)).transpose()?;
            BoxBody::new(InChunks { length: chunks.length() as u64, chunks, _permit: permit })
        }
    })
}

/// A ready body whose bytes are counted already.
pub(crate) fn of_bytes(bytes: Bytes, permit: Option<Arc<WorkPermit>>) -> BoxBody {
    if bytes.len() <= SMALL {
        BoxBody::new(bytes)
    } else {
        BoxBody::new(SlicedBytes { bytes, _permit: permit })
    }
}

/// A ready body, sent slice by slice: the server copies what it is given into the connection's buffer.
struct SlicedBytes {
    bytes: Bytes,
    _permit: Option<Arc<WorkPermit>>,
}

impl MessageBody for SlicedBytes {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let length = self.bytes.len().min(SMALL);
        Poll::Ready((length > 0).then(|| Ok(self.bytes.split_to(length))))
    }
}

/// A body that is made while it is sent.
struct InChunks {
    length: u64,
    chunks: Chunks,
    _permit: Option<WorkPermit>,
}

impl MessageBody for InChunks {
    type Error = crate::lane::VersionGone;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(self.chunks.next())
    }
}
