//! The bare server: actix-web sends ready answers in turn and does nothing else. With this HTTP stack nothing
//! can be faster.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{io, process};

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse, HttpServer};
use clap::Parser;

/// Sends the answers in turn to every GET of /api/{user}/tasks and below.
#[derive(Parser)]
struct Options {
    /// Files, each with an answer as a server sent it: status line, headers, body. As many different ones as
    /// the other server has, so that both read as much memory.
    #[arg(required = true)]
    answers: Vec<PathBuf>,
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

/// An answer's parts.
#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Answer {
    fn read(raw: &[u8]) -> Option<Self> {
        let end = memchr::memmem::find(raw, b"\r\n\r\n")?;
        let mut lines = std::str::from_utf8(&raw[..end]).ok()?.split("\r\n");
        let status = StatusCode::from_bytes(lines.next()?.get(9..12)?.as_bytes()).ok()?;
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(": ")?;
            // The framework sets these itself.
            if !["date", "content-length", "connection"].contains(&name) {
                headers.push((name.parse().ok()?, value.parse().ok()?));
            }
        }
        Some(Self { status, headers, body: Bytes::copy_from_slice(&raw[end + 4..]) })
    }

    fn give(&self) -> HttpResponse {
        let mut response = if self.body.is_empty() {
            HttpResponse::new(self.status)
        } else {
            HttpResponse::with_body(self.status, actix_web::body::BoxBody::new(self.body.clone()))
        };
        let headers = response.headers_mut();
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        response
    }
}

async fn serve(options: Options) -> io::Result<()> {
    let read =
        |file| Answer::read(&std::fs::read(file)?).ok_or_else(|| io::Error::other("a file has no answer"));
    let answers: Arc<[Answer]> = options.answers.iter().map(read).collect::<Result<_, _>>()?;
    let server = HttpServer::new(move || {
        let get = |path: &str| {
            let (answers, turn) = (Arc::clone(&answers), Cell::new(0));
            let give = move || {
                turn.set((turn.get() + 1) % answers.len());
                std::future::ready(answers[turn.get()].give())
            };
            web::resource(path).route(web::get().to(give))
        };
        App::new().service(get("/api/{user_id}/tasks/{id}")).service(get("/api/{user_id}/tasks"))
    })
    .workers(options.workers)
    .keep_alive(Duration::from_secs(75))
    .client_request_timeout(Duration::from_secs(10))
    .tcp_nodelay(true)
    .bind(("127.0.0.1", 0))?;
    println!("http://{}", server.addrs()[0]);
    server.run().await
}

fn main() {
    if let Err(error) = actix_web::rt::System::new().block_on(serve(Options::parse())) {
        eprintln!("bare: {error}");
        process::exit(1);
    }
}
