//! One HTTP/1.1 exchange on an open connection.
//!
//! A load generator shares the machine with what it measures, so this does as little as possible: the request
//! is prepared bytes, and of the answer only status and length are read.

use std::io::{self, ErrorKind};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes read at once; an answer of 20 tasks fits.
const CHUNK: usize = 32 * 1024;

/// A connection, and the bytes read from it but not yet used.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Where the unused bytes of the buffer end.
    filled: usize,
}

/// An answer's head, and how long its body was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Bytes of the body, without the framing of chunks.
    pub body: usize,
    /// Whether the server closes the connection after it.
    pub close: bool,
}

/// How an answer's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

impl Connection {
    /// Connects, without delay of small writes.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// The same over a stream that is open already.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        Self { stream, buffer: vec![0; CHUNK], filled: 0 }
    }

    /// Sends a request and reads its answer to the end.
    ///
    /// # Errors
    /// Those of the system; `InvalidData` for an answer that is not HTTP/1.1.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.filled = 0;
        let head = loop {
            if let Some(end) = memmem::find(&self.buffer[..self.filled], b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let (mut answer, framing) = parse_head(&self.buffer[..head]).ok_or(ErrorKind::InvalidData)?;
        match framing {
            Framing::Length(length) => {
                while self.filled < head + length {
                    self.more().await?;
                }
                answer.body = length;
            }
            Framing::Chunked => loop {
                if let Some(body) = chunked(&self.buffer[head..self.filled])? {
                    answer.body = body;
                    break;
                }
                self.more().await?;
            },
        }
        Ok(answer)
    }

    /// The last answer's bytes, head and body, as received.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.buffer.len() - self.filled < CHUNK / 2 {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        match self.stream.read(&mut self.buffer[self.filled..]).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => {
                self.filled += read;
                Ok(())
            }
        }
    }
}

/// A status line and headers, with the empty line after them.
fn parse_head(head: &[u8]) -> Option<(Answer, Framing)> {
    let rest = head.strip_prefix(b"HTTP/1.1 ")?;
    let status = std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()?;
    let (mut length, mut chunked, mut close) = (0, false, false);
    let mut line = memchr::memchr(b'\n', head)? + 1;
    // The first letter decides for most lines.
    while let Some(end) = memchr::memchr(b'\n', &head[line..]) {
        let text = &head[line..line + end];
        match text.first() {
            Some(b'c' | b'C') => {
                if let Some(value) = value_of(text, b"content-length:") {
                    length = std::str::from_utf8(value).ok()?.parse().ok()?;
                } else if let Some(value) = value_of(text, b"connection:") {
                    close = value.eq_ignore_ascii_case(b"close");
                }
            }
            Some(b't' | b'T') => {
                chunked |= value_of(text, b"transfer-encoding:")
                    .is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"));
            }
            _ => {}
        }
        line += end + 1;
    }
    let framing = if chunked { Framing::Chunked } else { Framing::Length(length) };
    Some((Answer { status, body: 0, close }, framing))
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

/// The length of a chunked body (RFC 9112, section 7.1); `None` while it is incomplete.
fn chunked(mut rest: &[u8]) -> io::Result<Option<usize>> {
    let mut body = 0;
    loop {
        let Some(end) = memmem::find(rest, b"\r\n") else { return Ok(None) };
        let size =
            std::str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or(ErrorKind::InvalidData)?;
        let Some(after) = rest.get(end + 2 + size + 2..) else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        body += size;
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_status_length_and_whether_the_connection_stays() {
        let head = b"HTTP/1.1 201 Created\r\nContent-Length: 12\r\nx-a: b\r\nconnection: close\r\n\r\n";
        let answer = Answer { status: 201, body: 0, close: true };
        assert_eq!(parse_head(head), Some((answer, Framing::Length(12))));
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(parse_head(head).unwrap().1, Framing::Chunked);
        assert_eq!(parse_head(b"HTTP/1.1 304 Not Modified\r\n\r\n").unwrap().1, Framing::Length(0));
        assert_eq!(parse_head(b"garbage\r\n\r\n"), None);
    }

    #[test]
    fn chunks_are_added_up_once_the_last_one_has_arrived() {
        let whole = b"5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(chunked(whole).unwrap(), Some(15));
        for end in 0..whole.len() {
            assert_eq!(chunked(&whole[..end]).unwrap(), None, "{end}");
        }
        assert!(chunked(b"x\r\n").is_err());
    }
}
