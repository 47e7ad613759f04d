//! Connections that are opened and not used as they are meant.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::bodies::drip;
use crate::site::Site;
use crate::wire::{connect, get};

/// More connections than the server takes, without a token; one that is closed is opened again.
pub async fn idle(site: Arc<Site>) {
    site.begin().await;
    let mut clients = JoinSet::new();
    for number in 0..site.pick(1_200, 10_200) {
        let site = Arc::clone(&site);
        clients.spawn(async move {
            // Not all at once: the system would refuse most.
            sleep(Duration::from_micros(100 * number)).await;
            while !site.is_over() {
                let opening =
                    timeout(Duration::from_secs(2), connect("127.0.0.1", site.address(), Some(4096)));
                if let Ok(Ok(mut stream)) = opening.await {
                    let _ = stream.read(&mut [0]).await;
                }
                sleep(Duration::from_millis(200)).await;
            }
        });
    }
    clients.join_all().await;
}

/// Heads of requests, a byte at a time.
pub async fn slow_heads(site: Arc<Site>) {
    let token = Site::token("attacker");
    site.begin().await;
    drip(&site, 2_000, &get("/tasks", &token), 10).await;
}

/// Requests that take much more memory than bytes, from clients that read no answer.
pub async fn unread(site: Arc<Site>) {
    let request = format!("GET /health HTTP/1.1\r\nHost: x\r\n{}\r\n", "a:\r\n".repeat(90));
    let many = request.repeat((64 << 10) / request.len());
    site.begin().await;
    let mut open = Vec::new();
    for _ in 0..96 {
        if let Some(mut stream) = site.slow().await {
            let sending = timeout(Duration::from_millis(100), site.send(&mut stream, many.as_bytes()));
            let _ = sending.await;
            open.push(stream);
        }
    }
    site.hold().await;
}

/// Connections that are opened and reset.
pub async fn open_and_reset(site: Arc<Site>) {
    site.begin().await;
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let site = Arc::clone(&site);
        clients.spawn(async move {
            while !site.is_over() {
                let Ok(stream) = connect("127.0.0.1", site.address(), None).await else { continue };
                // No port is kept for a while by this.
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
        });
    }
    clients.join_all().await;
}
