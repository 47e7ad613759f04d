//! One connection: its socket, its place among the open connections, and its end when nobody uses it.
//!
//! actix limits the time for a connection's first head and the pause between requests. Neither holds once a part
//! of a later head has come: such a connection would stay open for ever.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_rt::net::{ActixStream, Ready, TcpStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::limit::OpenConnection;

/// A connection on which nothing is sent for so long, while no request waits for its response, is closed; after
/// twice this time at the latest.
const MAX_IDLE: Duration = Duration::from_secs(75);

/// Requests of one connection that are answered before other connections get their turn.
const IN_A_ROW: u32 = 4;

/// Bytes that a connection reads before other connections get their turn.
const READ_AT_ONCE: usize = 16 << 10;

/// What a connection's requests tell it.
#[derive(Default)]
pub(crate) struct Activity {
    /// Whether a request waits for its response.
    pub(crate) awaited: Cell<bool>,
    /// Requests begun since all that had come was read.
    in_a_row: Cell<u32>,
    /// Whether the client has not taken what was sent.
    is_blocked: Cell<bool>,
    /// Woken when it has.
    waiting: Cell<Option<Waker>>,
}

impl Activity {
    /// Notes the begin of a request. Whether other connections come first: a client that sends requests without waiting
    /// for responses would otherwise have them answered all in one go.
    pub(crate) fn begin(&self) -> bool {
        self.awaited.set(true);
        let in_a_row = self.in_a_row.get() + 1;
        let has_had_its_turn = in_a_row > IN_A_ROW;
        self.in_a_row.set(if has_had_its_turn { 0 } else { in_a_row });
        has_had_its_turn
    }

    /// Waits until the client has taken what was sent before: no response is made for one that does not read.
    pub(crate) fn poll_unblocked(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_blocked.get() {
            return Poll::Ready(());
        }
        self.waiting.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn note_write(&self, taken: bool) {
        self.is_blocked.set(!taken);
        if taken && let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

/// A client's connection.
pub(crate) struct ClientStream {
    socket: TcpStream,
    activity: Rc<Activity>,
    /// Bytes read in this turn.
    read: usize,
    /// Whether anything was sent since the last check.
    sent: bool,
    next_check: Pin<Box<Sleep>>,
    /// Whether the task will be woken for it: all polls come from one task.
    is_scheduled: bool,
    _open: OpenConnection,
}

impl ClientStream {
    /// A connection that has just been accepted.
    pub(crate) fn new(socket: TcpStream, open: OpenConnection) -> Self {
        let next_check = Box::pin(sleep(MAX_IDLE));
        let activity = Rc::default();
        Self { socket, activity, read: 0, sent: false, next_check, is_scheduled: false, _open: open }
    }

    /// What the connection's requests tell it.
    pub(crate) fn activity(&self) -> Rc<Activity> {
        Rc::clone(&self.activity)
    }

    /// Checks now and then whether anybody uses the connection.
    fn is_unused(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_scheduled && !self.next_check.is_elapsed() {
            return false;
        }
        while self.next_check.as_mut().poll(cx).is_ready() {
            if !mem::take(&mut self.sent) && !self.activity.awaited.get() {
                return true;
            }
            self.next_check.as_mut().reset(Instant::now() + MAX_IDLE);
        }
        self.is_scheduled = true;
        false
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read >= READ_AT_ONCE {
            // All that is read is taken for requests at once, each of which takes memory until its turn comes.
            self.read = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        self.read += buffer.filled().len() - before;
        if read.is_pending() {
            self.read = 0;
            self.activity.in_a_row.set(0);
        }
        // Nothing read means the end.
        if read.is_pending() && self.is_unused(cx) { Poll::Ready(Ok(())) } else { read }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.sent |= written.is_ready();
        self.activity.note_write(written.is_ready());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        self.sent |= written.is_ready();
        self.activity.note_write(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// The acceptor of TLS asks for it.
impl ActixStream for ClientStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(&self.socket, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(&self.socket, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use crate::config::{Config, Settings};
    use crate::http::connection::limit::Connections;

    async fn connected() -> (ClientStream, TcpStream) {
        let listener = actix_rt::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, peer) = listener.accept().await.unwrap();
        let connections = Connections::new(&Config::check(&Settings::default()).unwrap().http);
        (ClientStream::new(socket, connections.admit(peer.ip()).unwrap()), client)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_a_part_of_a_head_ends_when_nothing_was_sent_for_long() {
        let (mut stream, mut client) = connected().await;
        client.write_all(b"GE").await.unwrap();
        let mut bytes = [0; 16];
        assert_eq!(stream.read(&mut bytes).await.unwrap(), 2);
        stream.write_all(b"an earlier request's response").await.unwrap();
        let began = Instant::now();
        assert_eq!(timeout(20 * MAX_IDLE, stream.read(&mut bytes)).await.unwrap().unwrap(), 0);
        let idle = began.elapsed();
        assert!(idle >= MAX_IDLE && idle <= 2 * MAX_IDLE + Duration::from_secs(1), "{idle:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_stays_open_while_a_request_is_under_way_or_something_is_sent() {
        let (mut stream, _client) = connected().await;
        let mut bytes = [0; 16];
        stream.activity().awaited.set(true);
        assert!(timeout(20 * MAX_IDLE, stream.read(&mut bytes)).await.is_err());
        stream.activity().awaited.set(false);
        for _ in 0..20 {
            stream.write_all(b": an event").await.unwrap();
            assert!(timeout(MAX_IDLE * 9 / 10, stream.read(&mut bytes)).await.is_err());
        }
        assert_eq!(timeout(20 * MAX_IDLE, stream.read(&mut bytes)).await.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn requests_in_a_row_let_other_connections_have_their_turn() {
        let (mut stream, _client) = connected().await;
        let activity = Rc::clone(&stream.activity);
        let turns: Vec<_> = (0..2 * (IN_A_ROW + 1)).map(|_| activity.begin()).collect();
        let fifth: Vec<_> = (1..=turns.len()).map(|number| number % 5 == 0).collect();
        assert_eq!(turns, fifth);
        for _ in 0..3 * IN_A_ROW {
            assert!(!activity.begin(), "its client waited for the response before");
            let mut bytes = [0; 16];
            assert!(timeout(Duration::from_millis(1), stream.read(&mut bytes)).await.is_err());
        }
    }
}
