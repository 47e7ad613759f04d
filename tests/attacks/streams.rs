//! Event streams, and the cache beneath them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use crate::material::{flip, large};
use crate::site::{Extra, Site};
use crate::wire::get;

/// A user larger than the cache, kept in memory by an open stream: others' reads must not become misses.
pub async fn larger_than_the_cache(site: Arc<Site>) {
    let token = Site::token("attacker");
    let fields = large();
    site.give(&token, 0..site.pick(1_100, 24_000), |_| fields.clone()).await;
    let mut stream = site.slow().await.unwrap();
    site.send(&mut stream, &get("/events", &token)).await;
    let others: Vec<Bytes> =
        (0..40).map(|number| get("/tasks", &Site::token(&format!("other {number}")))).collect();
    let mut wire = None;
    for other in &others {
        site.ask(&mut wire, other).await;
    }
    site.begin().await;
    let (hits, misses) = cache(&site).await;
    while !site.is_over() {
        site.ask(&mut wire, &flip(&token, 7)).await;
        for other in &others {
            site.ask(&mut wire, other).await;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let (hits, misses) = {
        let now = cache(&site).await;
        (now.0 - hits, now.1 - misses)
    };
    site.note(Extra {
        name: "% of all reads missed:",
        value: 100.0 * misses / (hits + misses).max(1.0),
        bound: 10.0,
    });
}

/// Reads from memory so far, and those that loaded their user first.
async fn cache(site: &Site) -> (f64, f64) {
    let metrics = site.read(&get("//metrics", "")).await;
    let of = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
    };
    (of("tasklane_cache_hits_total "), of("tasklane_cache_misses_total "))
}

/// As many streams as a user may have, never read, while the user changes the largest tasks.
pub async fn unread(site: Arc<Site>) {
    let token = Site::token("attacker");
    for number in 0..20 {
        site.give_large(&token, number).await;
    }
    site.begin().await;
    let mut open = Vec::new();
    for _ in 0..600 {
        if site.is_over() {
            break;
        }
        if let Some(mut stream) = site.slow().await {
            site.send(&mut stream, &get("/events", &token)).await;
            open.push(stream);
        }
    }
    site.flood(4, move |connection, round| flip(&token, (connection + round) % 20)).await;
}
