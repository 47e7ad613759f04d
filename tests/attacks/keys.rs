//! Idempotency keys: what is kept for a repetition that never comes.

use std::sync::Arc;

use crate::material::{described, flips, id};
use crate::site::{Extra, Site};
use crate::wire::request;

fn key(connection: usize, round: usize) -> String {
    format!("\"{connection}.{round}\"")
}

/// Batches of which each answer holds the largest task 500 times, under a new key each.
pub async fn large_batches(site: Arc<Site>) {
    let token = Site::token("attacker");
    site.give_large(&token, 1).await;
    let body = flips(1, 500);
    site.begin().await;
    site.flood(8, move |connection, round| {
        request("POST", "/batch", &token, &[("Idempotency-Key", &key(connection, round))], &body)
    })
    .await;
}

/// Small changes of the largest task.
pub async fn one_large_task(site: Arc<Site>) {
    let token = Site::token("attacker");
    site.give_large(&token, 1).await;
    let path = format!("/tasks/{}/complete", id(1));
    site.begin().await;
    site.flood(16, move |connection, round| {
        request("PATCH", &path, &token, &[("Idempotency-Key", &key(connection, round))], "")
    })
    .await;
    let value = site.count("idempotency_keys WHERE length(answer) > 4096").await;
    site.note(Extra { name: "answers kept with the task's text:", value, bound: 0.0 });
}

/// The longest keys, for a create that finds its task. A quota of 512 KiB has room for some 300.
pub async fn longest(site: Arc<Site>) {
    let token = Site::token("attacker");
    let body = format!(r#"{{"id":"{}",{}}}"#, id(1), described(1, 1));
    site.begin().await;
    site.flood(16, move |connection, round| {
        let key = format!("\"{:k>253}\"", format!("{connection}.{round}"));
        request("POST", "/tasks", &token, &[("Idempotency-Key", &key)], &body)
    })
    .await;
    let value = site.count("idempotency_keys").await;
    site.note(Extra { name: "keys kept, of a quota for 300:", value, bound: 500.0 });
}
