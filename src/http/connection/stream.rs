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
use super::refused_bytes::RefusedBytes;

/// How often a connection is looked at: was anything sent, or does a request wait for its response?
const CHECK: Duration = Duration::from_secs(15);

/// After so many checks in a row that find neither, it is closed; after the first one where connections are scarce.
const UNUSED_CHECKS: u32 = 5;

/// Requests of one connection that are answered before other connections get their turn.
const IN_A_ROW: u32 = 4;

/// Bytes that a connection reads before other connections get their turn.
const READ_AT_ONCE: usize = 8 << 10;

/// The same, of a body.
const BODY_AT_ONCE: usize = 32 << 10;

/// Bytes that are read from a connection, its request's head included, before that request is answered. actix makes
/// requests of all that it is given, each of which takes memory until its turn comes.
const READ_AHEAD: usize = 8 << 10;

/// What a connection's requests tell it.
#[derive(Default)]
pub(crate) struct Activity {
    /// Whether a request waits for its response.
    pub(super) awaited: Cell<bool>,
    /// Whether its handler reads its body.
    reads_body: Cell<bool>,
    /// Responses that are made while they are sent.
    sending: Cell<usize>,
    /// Woken when what was read is answered.
    reader: Cell<Option<Waker>>,
    /// Requests begun since all that had come was read.
    in_a_row: Cell<u32>,
    /// Whether the client has not taken what was sent.
    is_blocked: Cell<bool>,
    /// Woken when it has.
    waiting: Cell<Option<Waker>>,
    /// Why what the client sent is no request; the request under way stands for it.
    pub(crate) refused: Cell<Option<RefusedBytes>>,
    /// Whether no further request can follow the one under way.
    pub(crate) closes: Cell<bool>,
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

    /// Notes whether the request's body is being read.
    pub(crate) fn read_body(&self, reads: bool) {
        self.reads_body.set(reads);
        self.read_on();
    }

    /// Notes that the request has its response, or that its client has gone.
    pub(crate) fn end(&self) {
        self.awaited.set(false);
        self.read_body(false);
    }

    /// Holds a response that is made while it is sent.
    pub(crate) fn hold(self: &Rc<Self>) -> SendingResponse {
        self.sending.set(self.sending.get() + 1);
        SendingResponse(Rc::clone(self))
    }

    /// Whether all that was read is answered, and the answers are taken; or a body is wanted.
    fn wants_more(&self) -> bool {
        self.reads_body.get() || !self.awaited.get() && self.sending.get() == 0 && !self.is_blocked.get()
    }

    /// Whether a request waits for its response, or a long response is being sent.
    pub(super) fn is_answering(&self) -> bool {
        self.awaited.get() || self.sending.get() > 0
    }

    fn read_on(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Wakes this task when the request under way has its response.
    pub(super) fn wake_reader(&self, cx: &Context<'_>) {
        self.reader.set(Some(cx.waker().clone()));
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
        if taken {
            self.read_on();
        }
    }
}

/// A response that is made while it is sent: until it is dropped, its connection has one to answer.
pub(crate) struct SendingResponse(Rc<Activity>);

impl Drop for SendingResponse {
    fn drop(&mut self) {
        self.0.sending.set(self.0.sending.get() - 1);
        self.0.read_on();
    }
}

/// A client's connection.
pub(crate) struct ClientStream {
    socket: TcpStream,
    activity: Rc<Activity>,
    /// Bytes read in this turn.
    read: usize,
    /// Bytes read that are not answered yet, but for those of bodies.
    ahead: usize,
    /// Whether anything was sent since the last check.
    sent: bool,
    /// Checks in a row that found it unused.
    unused: u32,
    next_check: Pin<Box<Sleep>>,
    /// Whether the task will be woken for it: all polls come from one task.
    is_scheduled: bool,
    open: OpenConnection,
}

impl ClientStream {
    /// A connection that has just been accepted.
    pub(crate) fn new(socket: TcpStream, open: OpenConnection) -> Self {
        let (activity, next_check) = (Rc::default(), Box::pin(sleep(CHECK)));
        let (read, ahead, sent, unused, is_scheduled) = (0, 0, false, 0, false);
        Self { socket, activity, read, ahead, sent, unused, next_check, is_scheduled, open }
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
            let used = mem::take(&mut self.sent) || self.activity.awaited.get();
            self.unused = if used { 0 } else { self.unused + 1 };
            if self.unused >= UNUSED_CHECKS || self.unused > 0 && self.open.is_in_a_crowd() {
                return true;
            }
            self.next_check.as_mut().reset(Instant::now() + CHECK);
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
        let wants_more = self.activity.wants_more();
        if self.read >= if self.activity.reads_body.get() { BODY_AT_ONCE } else { READ_AT_ONCE } {
            self.read = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.ahead >= READ_AHEAD && !wants_more {
            self.read = 0;
            self.activity.reader.set(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        if self.read == 0 && wants_more {
            self.ahead = 0;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        let bytes = buffer.filled().len() - before;
        self.read += bytes;
        self.ahead += bytes;
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
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use crate::config::{Config, HttpConfig, Settings};
    use crate::http::connection::limit::Connections;

    const MAX_IDLE: Duration = Duration::from_secs(75);

    async fn connected() -> (ClientStream, TcpStream) {
        connected_to(&Connections::new(&Config::check(&Settings::default()).unwrap().http)).await
    }

    async fn connected_to(connections: &Arc<Connections>) -> (ClientStream, TcpStream) {
        let listener = actix_rt::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, peer) = listener.accept().await.unwrap();
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
        assert!(idle >= MAX_IDLE && idle <= MAX_IDLE + 2 * CHECK, "{idle:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn where_connections_are_scarce_an_unused_one_ends_sooner() {
        let http = Config::check(&Settings::default()).unwrap().http;
        let connections = Connections::new(&HttpConfig { max_connections: 1, ..http });
        let (mut stream, _client) = connected_to(&connections).await;
        let began = Instant::now();
        assert_eq!(timeout(MAX_IDLE, stream.read(&mut [0; 16])).await.unwrap().unwrap(), 0);
        assert!(began.elapsed() <= 2 * CHECK, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_stays_open_while_a_request_is_under_way_or_something_is_sent() {
        let (mut stream, _client) = connected().await;
        let mut bytes = [0; 16];
        stream.activity().begin();
        assert!(timeout(20 * MAX_IDLE, stream.read(&mut bytes)).await.is_err());
        stream.activity().end();
        for _ in 0..20 {
            stream.write_all(b": an event").await.unwrap();
            assert!(timeout(MAX_IDLE * 9 / 10, stream.read(&mut bytes)).await.is_err());
        }
        assert_eq!(timeout(20 * MAX_IDLE, stream.read(&mut bytes)).await.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn only_so_much_is_read_ahead_of_a_response_and_all_of_a_body() {
        let (mut stream, mut client) = connected().await;
        let activity = stream.activity();
        let sending = tokio::spawn(async move {
            client.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
            client
        });
        let mut bytes = vec![0; 4 << 10];
        // Until nothing more is read for a while.
        let mut read_all = async || {
            let mut all = 0;
            while let Ok(read) = timeout(Duration::from_millis(300), stream.read(&mut bytes)).await {
                all += read.unwrap();
            }
            all
        };
        activity.begin();
        let ahead = read_all().await;
        assert!((READ_AHEAD..=READ_AHEAD + (4 << 10)).contains(&ahead), "{ahead}");
        activity.end();
        activity.begin();
        let held = activity.hold();
        let next = read_all().await;
        assert!(next <= READ_AHEAD + (4 << 10), "{next} after a response, with the next request");
        activity.end();
        assert_eq!(read_all().await, 0, "a response is being sent");
        drop(held);
        activity.begin();
        activity.read_body(true);
        assert_eq!(ahead + next + read_all().await, 1 << 20);
        drop(sending.await.unwrap());
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
