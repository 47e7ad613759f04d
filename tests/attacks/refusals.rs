//! Requests that are refused, or answered with next to nothing.

use std::sync::Arc;

use bytes::Bytes;

use crate::site::Site;
use crate::wire::{get, request};

/// Without a token.
pub async fn without_token(site: Arc<Site>) {
    site.begin().await;
    site.pipeline(8, &get("/tasks", ""), true).await;
}

/// With tokens as long as they may be, which nobody signed.
pub async fn invalid_tokens(site: Arc<Site>) {
    let good = Site::token(&"s".repeat(120));
    let (head, rest) = good.split_once('.').unwrap();
    let tokens: Vec<Bytes> = (0..100)
        .map(|number| {
            get("/tasks", &format!("{head}.{}{}{number}", rest.replace('.', "x"), "A".repeat(7_000)))
        })
        .chain((0..100).map(|number| get("/tasks", &format!("{good}{number}"))))
        .collect();
    site.begin().await;
    site.flood(32, move |connection, round| tokens[(connection + round) % tokens.len()].clone()).await;
}

/// With a good token, for what is not there.
pub async fn missing_tasks(site: Arc<Site>) {
    let token = Site::token("attacker");
    site.begin().await;
    site.pipeline(8, &get(&format!("/tasks/{}", crate::material::id(77)), &token), true).await;
}

pub async fn head_and_options(site: Arc<Site>) {
    let token = Site::token("attacker");
    let head = request("HEAD", "/tasks", &token, &[], "");
    let preflight = [
        ("Origin", "http://localhost:3000"),
        ("Access-Control-Request-Method", "PATCH"),
        ("Access-Control-Request-Headers", "authorization, content-type"),
    ];
    let options = request("OPTIONS", "/tasks", "", &preflight, "");
    site.begin().await;
    tokio::join!(site.pipeline(4, &head, true), site.pipeline(4, &options, true));
}

/// Tickets for event streams, of as many users as there are tickets for in all.
pub async fn tickets(site: Arc<Site>) {
    let requests: Vec<Bytes> = (0..400)
        .map(|number| request("POST", "/events/ticket", &Site::token(&format!("attacker {number}")), &[], ""))
        .collect();
    site.begin().await;
    site.flood(16, move |connection, round| requests[(connection * 25 + round) % requests.len()].clone())
        .await;
}
