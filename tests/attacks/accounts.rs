//! Imports and erasures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::material::{described, imports, large};
use crate::site::{Extra, Site};
use crate::wire::{post, request};

/// Imports whose bodies never come.
pub async fn idle_imports(site: Arc<Site>) {
    let token = Site::token("attacker");
    site.begin().await;
    let head = format!(
        "POST /api/me/import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 60000000\r\n\r\n{{\"tasks\":["
    );
    let mut open = Vec::new();
    for _ in 0..4 {
        if let Some(mut stream) = site.slow().await {
            site.send(&mut stream, head.as_bytes()).await;
            open.push(stream);
        }
    }
    site.hold().await;
}

fn erase(token: &str, subject: &str) -> Bytes {
    request("DELETE", "", token, &[("X-Confirm-Delete", subject)], "")
}

/// Two users, each with large imports, which it erases.
pub async fn import_and_erase(site: Arc<Site>) {
    let users = [0, 1].map(|number| {
        let subject = format!("attacker {number}");
        let token = Site::token(&subject);
        let body = imports(0..site.pick(12_000, 100_000), |number| described(number, 400)).remove(0);
        [post("/import", &token, &body), erase(&token, &subject)]
    });
    site.begin().await;
    let bystander = tokio::spawn(erase_beside(Arc::clone(&site)));
    site.flood(2, move |connection, round| users[connection][round % 2].clone()).await;
    bystander.await.unwrap();
}

/// Another user erases what little it has, again and again: the slowest of it is noted.
async fn erase_beside(site: Arc<Site>) {
    let token = Site::token("bystander");
    let (mut wire, mut slowest) = (None, Duration::ZERO);
    while !site.is_over() {
        let began = Instant::now();
        site.ask(&mut wire, &erase(&token, "bystander")).await;
        slowest = slowest.max(began.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    let name = "milliseconds for another user's erasure:";
    site.note(Extra { name, value: slowest.as_secs_f64() * 1000.0, bound: 700.0 });
}

/// The largest bodies at once, each of another user.
pub async fn parallel_imports(site: Arc<Site>) {
    let fields = large();
    let body = imports(0..site.pick(1_200, 4_000), |_| fields.clone()).remove(0);
    let requests: Vec<Bytes> =
        (0..8).map(|number| post("/import", &Site::token(&format!("attacker {number}")), &body)).collect();
    site.begin().await;
    site.flood(8, move |connection, _| requests[connection].clone()).await;
}

/// Erasures of nothing.
pub async fn erase_again(site: Arc<Site>) {
    let mut clients = JoinSet::new();
    let token = Site::token("attacker");
    let erasure = erase(&token, "attacker");
    let create = post("/tasks", &token, r#"{"title":"t"}"#);
    site.begin().await;
    for requests in [vec![erasure.clone()], vec![create, erasure]] {
        let site = Arc::clone(&site);
        clients.spawn(async move {
            site.flood(8, move |_, round| requests[round % requests.len()].clone()).await;
        });
    }
    clients.join_all().await;
}
