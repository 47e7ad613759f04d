//! Reads of large lists: rendered again and again, read slowly, searched and sorted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::material::{described, flip, large};
use crate::site::Site;
use crate::wire::{connect, get};

/// The largest tasks, of which a list has 18 MB.
const LARGE: usize = 1_400;

/// Every change makes the next list a new one.
pub async fn render(site: Arc<Site>) {
    let token = Site::token("attacker");
    let bytes = site.pick(400, 1_200);
    site.give(&token, 0..32_000, |number| described(number, bytes)).await;
    site.begin().await;
    let both = [flip(&token, 5), get("/tasks", &token)].concat().into();
    site.pipeline(4, &both, true).await;
}

async fn give_large_tasks(site: &Site) -> String {
    let token = Site::token("attacker");
    let fields = large();
    site.give(&token, 0..LARGE, |_| fields.clone()).await;
    token
}

/// Each connection holds on to a version of its own.
pub async fn read_slowly(site: Arc<Site>) {
    let token = give_large_tasks(&site).await;
    site.begin().await;
    slow_readers(&site, &token, &get("/tasks", &token)).await;
}

pub async fn export_slowly(site: Arc<Site>) {
    let token = give_large_tasks(&site).await;
    site.begin().await;
    slow_readers(&site, &token, &get("/export", &token)).await;
}

/// The feed of changes since the beginning.
pub async fn changes_slowly(site: Arc<Site>) {
    let token = give_large_tasks(&site).await;
    site.begin().await;
    slow_readers(&site, &token, &get("/changes?since=0&limit=500", &token)).await;
}

async fn slow_readers(site: &Arc<Site>, token: &str, request: &Bytes) {
    let mut readers = JoinSet::new();
    let mut wire = None;
    for number in 0..60 {
        if site.is_over() {
            break;
        }
        site.ask(&mut wire, &flip(token, number)).await;
        let Some(mut stream) = site.slow().await else { continue };
        site.send(&mut stream, request).await;
        // The answer has begun: it is of this version.
        let _ = timeout(Duration::from_secs(1), stream.read(&mut [0])).await;
        readers.spawn(trickle(Arc::clone(site), stream));
    }
    site.hold().await;
}

/// Reads a little now and then.
async fn trickle(site: Arc<Site>, mut stream: TcpStream) {
    let mut part = [0; 512];
    while !site.is_over() && stream.read(&mut part).await.is_ok_and(|count| count > 0) {
        sleep(Duration::from_millis(100)).await;
    }
}

/// A list that nobody reads, asked for again and again on one connection.
pub async fn pipeline(site: Arc<Site>) {
    let token = give_large_tasks(&site).await;
    site.begin().await;
    site.pipeline(50, &get("/tasks", &token), false).await;
}

/// Searches whose answers nobody waits for: half of the connections are closed, half reset.
pub async fn search_and_leave(site: Arc<Site>) {
    let token = Site::token("attacker");
    site.give(&token, 0..site.pick(12_000, 40_000), |number| described(number, 1_200)).await;
    let requests: Arc<[Bytes]> =
        (0..10).map(|number| get(&format!("/tasks?search=none{number}"), &token)).collect();
    site.begin().await;
    let mut clients = JoinSet::new();
    for _ in 0..50 {
        let (site, requests) = (Arc::clone(&site), Arc::clone(&requests));
        clients.spawn(async move {
            for round in 0..site.pick(20, 300) {
                if site.is_over() {
                    break;
                }
                let Ok(mut stream) = connect("127.0.0.1", site.address(), None).await else { break };
                site.send(&mut stream, &requests[round % requests.len()]).await;
                sleep(Duration::from_millis(10)).await;
                if round % 2 == 0 {
                    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                }
            }
        });
    }
    clients.join_all().await;
    site.hold().await;
}

pub async fn search_long(site: Arc<Site>) {
    let token = Site::token("attacker");
    site.give(&token, 0..site.pick(12_000, 40_000), |number| described(number, 1_200)).await;
    site.begin().await;
    // Every character of the text begins as the pattern does.
    site.flood(16, move |_, round| {
        get(&format!("/tasks?limit=1&search={}{}", "d".repeat(190), round % 1_000), &token)
    })
    .await;
}

/// More users than there are threads of heavy work.
pub async fn search_by_many(site: Arc<Site>) {
    let users = [0, 1, 2, 3, 4, 5].map(|number| Site::token(&format!("attacker {number}")));
    for token in &users {
        site.give(token, 0..site.pick(8_000, 20_000), |number| described(number, 1_200)).await;
    }
    site.begin().await;
    site.flood(24, move |connection, round| {
        get(&format!("/tasks?limit=1&search={}{round}", "d".repeat(150)), &users[connection % 6])
    })
    .await;
}

pub async fn sort(site: Arc<Site>) {
    let token = Site::token("attacker");
    site.give(&token, 0..site.pick(12_000, 40_000), |number| described(number, 100)).await;
    site.begin().await;
    site.flood(16, move |_, _| get("/tasks?sort=title&limit=1", &token)).await;
}
