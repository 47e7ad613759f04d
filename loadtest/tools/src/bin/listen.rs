//! Opens thousands of event streams for one user, lets the user write, and measures which streams received
//! each write, and when. It prints one JSON object.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, process};

use clap::Parser;
use memchr::memmem;
use serde_json::json;
use tasklane_load::http1::Connection;
use tasklane_load::times::Times;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Barrier, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long the last event may take to reach the last stream.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens event streams of one user and counts what arrives.
#[derive(Parser)]
struct Options {
    /// host:port
    address: String,
    /// A file with the request that opens a stream, as bytes.
    open: PathBuf,
    /// A file with the request of one write.
    write: PathBuf,
    #[arg(long, default_value_t = 1000)]
    streams: usize,
    #[arg(long, default_value_t = 50)]
    writes: usize,
    /// Milliseconds between two writes.
    #[arg(long, default_value_t = 100)]
    pause: u64,
    /// Pauses when all streams are open, and again when everything has arrived; a line on stdin continues.
    #[arg(long)]
    halt: bool,
}

/// The ids of the changes in a piece of a stream, and how many bytes were consumed.
fn changes(text: &[u8]) -> (Vec<u64>, usize) {
    let (mut ids, mut used) = (Vec::new(), 0);
    while let Some(end) = memmem::find(&text[used..], b"\n\n") {
        let event = &text[used..used + end];
        if memmem::find(event, b"event: change").is_some()
            && let Some(id) = memmem::find(event, b"id: ")
        {
            let digits = event[id + 4..].iter().take_while(|byte| byte.is_ascii_digit());
            ids.push(digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')));
        }
        used += end + 2;
    }
    (ids, used)
}

/// One stream: reports each event, until `writes` have arrived.
async fn stream(
    address: Arc<str>,
    open: Arc<Vec<u8>>,
    ready: Arc<Barrier>,
    writes: usize,
    heard: mpsc::UnboundedSender<(u64, Instant)>,
) -> io::Result<usize> {
    let mut stream = TcpStream::connect(&*address).await?;
    stream.write_all(&open).await?;
    let (mut buffer, mut count, mut opened) = (Vec::with_capacity(4096), 0, false);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::Error::other(format!("ended after {count} events: {}", buffer.escape_ascii())));
        }
        let now = Instant::now();
        if !opened && memmem::find(&buffer, b"event: hello").is_some() {
            opened = true;
            ready.wait().await;
        }
        let (ids, used) = changes(&buffer);
        buffer.drain(..used);
        count += ids.len();
        for id in ids {
            // The receiver is gone only when the time is up.
            let _ = heard.send((id, now));
        }
        if count >= writes {
            return Ok(count);
        }
    }
}

fn halt(word: &str) -> io::Result<()> {
    println!("{word}");
    io::stdin().read_line(&mut String::new()).map(drop)
}

async fn run(options: Options) -> io::Result<()> {
    let address: Arc<str> = options.address.as_str().into();
    let (open, write) = (Arc::new(std::fs::read(&options.open)?), std::fs::read(&options.write)?);
    let ready = Arc::new(Barrier::new(options.streams + 1));
    let (heard, mut events) = mpsc::unbounded_channel();
    let mut streams = JoinSet::new();
    for _ in 0..options.streams {
        let (address, open) = (Arc::clone(&address), Arc::clone(&open));
        streams.spawn(stream(address, open, Arc::clone(&ready), options.writes, heard.clone()));
    }
    drop(heard);
    timeout(PATIENCE, ready.wait()).await.map_err(|_| io::Error::other("not all streams opened"))?;
    if options.halt {
        halt("open")?;
    }
    let mut connection = Connection::open(&address).await?;
    let (mut sent, mut first) = (Vec::with_capacity(options.writes), None);
    for _ in 0..options.writes {
        let started = Instant::now();
        let answer = connection.exchange(&write).await?;
        if answer.status != 201 {
            return Err(io::Error::other(format!("a write was answered {}", answer.status)));
        }
        let seq = seq_of(connection.raw()).ok_or_else(|| io::Error::other("an answer without seq"))?;
        first.get_or_insert(seq);
        sent.push((started, Instant::now()));
        tokio::time::sleep(Duration::from_millis(options.pause)).await;
    }
    let first = first.unwrap_or_default();
    let mut failed = 0;
    let all = async {
        while let Some(ended) = streams.join_next().await {
            if !matches!(ended, Ok(Ok(count)) if count == options.writes) {
                failed += 1;
                eprintln!("listen: a stream failed: {ended:?}");
            }
        }
    };
    let in_time = timeout(PATIENCE, all).await.is_ok();
    let (mut since_sent, mut since_answered, mut delivered) = (Times::default(), Times::default(), 0_u64);
    while let Ok((seq, at)) = events.try_recv() {
        let place = usize::try_from(seq.saturating_sub(first)).unwrap_or(usize::MAX);
        let Some((started, answered)) = sent.get(place) else { continue };
        delivered += 1;
        since_sent.note(at.saturating_duration_since(*started));
        since_answered.note(at.saturating_duration_since(*answered));
    }
    if options.halt {
        halt("heard")?;
    }
    println!(
        "{}",
        json!({
            "streams": options.streams, "writes": options.writes, "in_time": in_time,
            "failed": failed, "expected": options.streams * options.writes, "delivered": delivered,
            "since_sent": since_sent.to_json(), "since_answered": since_answered.to_json(),
        })
    );
    Ok(())
}

fn seq_of(answer: &[u8]) -> Option<u64> {
    let name = b"x-tasklane-seq: ";
    let at = memmem::find(answer, name)? + name.len();
    let end = memchr::memchr(b'\r', &answer[at..])?;
    std::str::from_utf8(&answer[at..at + end]).ok()?.parse().ok()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    if let Err(error) = runtime.and_then(|runtime| runtime.block_on(run(Options::parse()))) {
        eprintln!("listen: {error}");
        process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_changes_are_consumed() {
        let text =
            b"retry: 2000\nevent: hello\nid: 7\ndata: {}\n\nevent: change\nid: 8\ndata: {}\n\nevent: ch";
        assert_eq!(changes(text), (vec![8], text.len() - 9));
    }

    #[test]
    fn the_seq_is_found_among_the_headers() {
        assert_eq!(seq_of(b"HTTP/1.1 201 Created\r\nx-tasklane-seq: 12\r\n\r\n"), Some(12));
        assert_eq!(seq_of(b"HTTP/1.1 201 Created\r\n\r\n"), None);
    }
}
