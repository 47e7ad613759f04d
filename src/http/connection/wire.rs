//! What stands between a connection and `actix-http`: it hands on requests one at a time, and only such as can be
//! understood in one way.
//!
//! - A head is read by [`request_head`](super::request_head) first. Bytes that are no request are replaced by one that
//!   stands for them, so that the refusal passes the middleware like every other response.
//! - A request is handed on when the one before has its response: `actix-http` would apply what a later head says
//!   (`HEAD`, `Connection`) to an earlier response.
//! - No request follows one whose response says that the connection closes.
//!
//! Usually a whole request arrives at once. Then it is looked at where it was read, and nothing is copied.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::chunk_framing::ChunkFraming;
use super::refused_bytes::RefusedBytes;
use super::request_head::{BodyLength, MAX_HEAD, Scanned, scan};
use super::stream::Activity;

/// How long a head may take to arrive.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long a refused client may go on sending, so that it can read the response.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes that are read ahead of the request under way, about.
const MAX_AHEAD: usize = 8 << 10;

/// Stands for bytes that are no request. No route takes it; the middleware makes the refusal of the response.
const REFUSED_REQUEST: &[u8] = b"- * HTTP/1.1\r\nhost: -\r\nconnection: close\r\n\r\n";

/// What the next byte belongs to.
enum NextByte {
    Head,
    Body(u64),
    Chunks(ChunkFraming),
    /// Nothing more is handed on.
    Done,
    /// The same, because bytes were refused.
    Refused,
    /// `actix-http` is told that nothing more comes.
    Ended,
}

/// A connection, as `actix-http` reads it.
pub(super) struct Wire<T> {
    stream: T,
    activity: Rc<Activity>,
    state: NextByte,
    /// Whether the request under way is the last one.
    is_last: bool,
    /// What was read and is not handed on.
    held: Vec<u8>,
    /// Bytes of `held` that may be handed on.
    ready: usize,
    /// How many bytes must be held before they are looked at again.
    look_at: usize,
    /// The end of the time for a head.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Whether anything has come.
    is_used: bool,
    /// The end of the time for a refused client.
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<T> Wire<T> {
    /// A connection that has just been opened.
    pub(super) fn new(stream: T, activity: Rc<Activity>) -> Self {
        Self {
            stream,
            activity,
            state: NextByte::Head,
            is_last: false,
            held: Vec::new(),
            ready: 0,
            look_at: 0,
            deadline: Some(Box::pin(sleep(HEAD_DEADLINE))),
            is_used: false,
            lingering: None,
        }
    }

    /// What the connection's requests tell it.
    pub(super) fn activity(&self) -> Rc<Activity> {
        Rc::clone(&self.activity)
    }

    /// Whether the next request has to wait for its turn.
    fn has_to_wait(&self) -> bool {
        matches!(self.state, NextByte::Head) && self.waits()
    }

    /// Whether the next request has to wait, or does not come to its turn at all.
    fn waits(&self) -> bool {
        match self.state {
            NextByte::Head => self.activity.is_answering() || self.activity.closes.get(),
            NextByte::Done | NextByte::Refused | NextByte::Ended => true,
            NextByte::Body(_) | NextByte::Chunks(_) => false,
        }
    }

    /// How many of these bytes, which come next, may be handed on now. It is an error if those after them are refused.
    fn admit(&mut self, bytes: &mut [u8]) -> (usize, Result<(), RefusedBytes>) {
        let mut done = 0;
        while done < bytes.len() && !self.waits() {
            let rest = &mut bytes[done..];
            match &mut self.state {
                // An empty line before a request, which is removed later.
                NextByte::Head if rest[0] == b'\r' => break,
                NextByte::Head => match scan(rest) {
                    Scanned::Partial => break,
                    Scanned::Refused(refusal) => return (done, Err(refusal)),
                    Scanned::Head(head) => {
                        done += head.length;
                        self.activity.awaited.set(true);
                        self.deadline = None;
                        self.is_last = head.is_last;
                        self.state = match head.body {
                            BodyLength::Known(length) => NextByte::Body(length),
                            BodyLength::Chunked => NextByte::Chunks(ChunkFraming::new()),
                        };
                    }
                },
                NextByte::Body(left) => {
                    let part = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    done += part;
                    *left -= part as u64;
                }
                NextByte::Chunks(body) => {
                    let Ok((part, ended)) = body.read(rest) else {
                        // The handler finds that its body is incomplete.
                        self.break_off();
                        break;
                    };
                    done += part;
                    if ended {
                        self.state = NextByte::Body(0);
                    }
                }
                NextByte::Done | NextByte::Refused | NextByte::Ended => break,
            }
            if matches!(self.state, NextByte::Body(0)) {
                self.state = if self.is_last { NextByte::Done } else { NextByte::Head };
            }
        }
        (done, Ok(()))
    }

    /// The client's bytes end, or have no more meaning, within a request or before one.
    fn break_off(&mut self) {
        if matches!(self.state, NextByte::Body(_) | NextByte::Chunks(_)) {
            self.activity.closes.set(true);
        }
        self.state = NextByte::Ended;
    }

    /// Hands on a request that stands for bytes that are refused.
    fn refuse(&mut self, refusal: RefusedBytes) {
        self.activity.refused.set(Some(refusal));
        self.activity.awaited.set(true);
        self.deadline = None;
        self.state = NextByte::Refused;
        self.held = REFUSED_REQUEST.into();
        self.ready = self.held.len();
    }

    /// Looks at what is held.
    fn look_at_held(&mut self) {
        let mut held = mem::take(&mut self.held);
        if matches!(self.state, NextByte::Head) {
            // RFC 9112, section 2.2.
            let empty = held.chunks_exact(2).take_while(|pair| pair == b"\r\n").count();
            held.drain(..2 * empty);
        }
        let (done, refused) = self.admit(&mut held);
        // Nothing of a refused request is handed on, and before it there is nothing: its turn has come.
        if let Err(refusal) = refused {
            held.truncate(done);
            self.refuse(refusal);
            held.append(&mut self.held);
            self.ready = held.len();
        } else {
            self.ready = done;
            // Not at every byte, if they come one by one.
            self.look_at = if done == 0 && !self.waits() { MAX_HEAD.min(2 * held.len()) } else { 0 };
        }
        self.held = held;
    }

    /// Holds bytes back. Once there is an empty line, a head may be complete.
    fn hold(&mut self, bytes: &[u8]) {
        let before = self.held.len().saturating_sub(3);
        self.held.extend_from_slice(bytes);
        if self.held[before..].windows(4).any(|end| end == b"\r\n\r\n") {
            self.look_at = 0;
        }
    }

    /// Whether the time for a head is over. It begins with its first byte, or with the connection.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        if self.waits()
            || !matches!(self.state, NextByte::Head)
            || (self.held.is_empty() && self.deadline.is_none())
        {
            return false;
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(HEAD_DEADLINE)));
        deadline.as_mut().poll(cx).is_ready()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.ready > 0 {
                let part = this.ready.min(buffer.remaining());
                buffer.put_slice(&this.held[..part]);
                this.held.drain(..part);
                this.ready -= part;
                if this.held.is_empty() {
                    // Idle connections hold no memory for it.
                    this.held = Vec::new();
                }
                return Poll::Ready(Ok(()));
            }
            if matches!(this.state, NextByte::Ended) {
                return Poll::Ready(Ok(()));
            }
            if !this.waits() && !this.held.is_empty() && this.held.len() >= this.look_at {
                this.look_at_held();
                if this.ready > 0 || matches!(this.state, NextByte::Ended) {
                    continue;
                }
            }
            if this.has_to_wait() && this.held.len() >= MAX_AHEAD {
                this.activity.wake_reader(cx);
                return Poll::Pending;
            }
            let before = buffer.filled().len();
            let read = Pin::new(&mut this.stream).poll_read(cx, buffer)?;
            let count = buffer.filled().len() - before;
            if read.is_pending() {
                if this.is_late(cx) {
                    if this.is_used {
                        this.refuse(RefusedBytes::Late);
                    } else {
                        this.break_off();
                    }
                    continue;
                }
                if !this.held.is_empty() {
                    this.activity.wake_reader(cx);
                }
                return Poll::Pending;
            }
            if count == 0 {
                if this.has_to_wait() && !this.held.is_empty() {
                    // What came before the end is not handed on yet.
                    this.activity.wake_reader(cx);
                    return Poll::Pending;
                }
                this.break_off();
                continue;
            }
            this.is_used = true;
            if matches!(this.state, NextByte::Done | NextByte::Refused) {
                buffer.set_filled(before);
            } else if this.held.is_empty() && !this.waits() {
                let (done, refused) = this.admit(&mut buffer.filled_mut()[before..]);
                match refused {
                    Ok(()) if !matches!(this.state, NextByte::Ended) => {
                        this.hold(&buffer.filled()[before + done..]);
                    }
                    Ok(()) => {}
                    Err(refusal) => this.refuse(refusal),
                }
                this.look_at = 0;
                buffer.set_filled(before + done);
                if done > 0 {
                    return Poll::Ready(Ok(()));
                }
            } else {
                this.hold(&buffer.filled()[before..]);
                buffer.set_filled(before);
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// A refused client may still be sending: the system would tell it that the connection is reset, and it would not
    /// read the response. So what comes is read for a moment.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !matches!(this.state, NextByte::Refused) {
                return Poll::Ready(Ok(()));
            }
        }
        let end = this.lingering.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
