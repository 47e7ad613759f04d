//! Bodies: unfinished, slow, deep, wrong in a thousand places.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::material::{batch, id};
use crate::site::Site;
use crate::wire::{post, request};

/// Batches of the largest size whose last byte never comes.
pub async fn unfinished(site: Arc<Site>) {
    site.begin().await;
    let mut senders = JoinSet::new();
    for number in 0..4 * 90 {
        let site = Arc::clone(&site);
        senders.spawn(async move {
            let token = Site::token(&format!("attacker {}", number / 90));
            let request = post("/batch", &token, &" ".repeat(2 << 20));
            let Some(mut stream) = site.slow().await else { return };
            site.send(&mut stream, &request[..request.len() - 1]).await;
            site.hold().await;
        });
    }
    senders.join_all().await;
}

/// Bodies of usual size, a byte at a time.
pub async fn slow(site: Arc<Site>) {
    let token = Site::token("attacker");
    let request = post("/tasks", &token, &" ".repeat(60_000));
    site.begin().await;
    drip(&site, 500, &request, request.len() - 59_000).await;
}

/// Sends the beginning of a request on many connections, and then a byte each now and then.
pub async fn drip(site: &Arc<Site>, connections: usize, request: &[u8], at_once: usize) {
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let (site, request) = (Arc::clone(site), request.to_vec());
        senders.spawn(async move {
            while !site.is_over() {
                let Some(mut stream) = site.slow().await else { continue };
                let mut sends = site.send(&mut stream, &request[..at_once]).await;
                for byte in &request[at_once..] {
                    if !sends {
                        break;
                    }
                    sleep(Duration::from_millis(200)).await;
                    sends = site.send(&mut stream, &[*byte]).await;
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    senders.join_all().await;
}

/// Arrays in arrays.
pub async fn deep(site: Arc<Site>) {
    let token = Site::token("attacker");
    let small = post("/tasks", &token, &format!("{{\"title\":{}", "[".repeat(60_000)));
    let large = post("/batch", &token, &format!("{{\"operations\":{}", "[{\"a\":".repeat(300_000)));
    site.begin().await;
    site.flood(16, move |connection, _| if connection < 12 { small.clone() } else { large.clone() }).await;
}

/// Batches with as many wrong fields as fit.
pub async fn wrong(site: Arc<Site>) {
    let token = Site::token("attacker");
    let operation =
        r#"{"op":"create","task":{"title":"","priority":1,"due_date":"x","tags":[1,2,3],"description":4}}"#;
    let request = post("/batch", &token, &batch(&vec![operation.to_owned(); 500]));
    site.begin().await;
    site.flood(16, move |_, _| request.clone()).await;
}

/// Conditional writes that are refused with the largest task as it is.
pub async fn stale(site: Arc<Site>) {
    let token = Site::token("attacker");
    site.give_large(&token, 1).await;
    let path = format!("/tasks/{}", id(1));
    let request = request("PATCH", &path, &token, &[("If-Match", "\"0\"")], r#"{"title":"t"}"#);
    site.begin().await;
    site.flood(64, move |_, _| request.clone()).await;
}
