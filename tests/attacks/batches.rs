//! Batches: much done, or much kept, for few bytes.

use std::sync::Arc;

use crate::material::{batch, create, delete, described, flips, large};
use crate::site::{Extra, Site};
use crate::watch::disk;
use crate::wire::post;

/// Each answer would hold the largest task 500 times.
pub async fn flip_one_large_task(site: Arc<Site>) {
    let token = Site::token("attacker");
    site.give_large(&token, 1).await;
    let request = post("/batch", &token, &flips(1, 500));
    site.begin().await;
    site.flood(site.pick(120, 300), move |_, _| request.clone()).await;
}

/// Each deletion is remembered for as long as a client may ask for changes since before it, within the quota.
pub async fn create_and_delete(site: Arc<Site>) {
    let token = Site::token("attacker");
    site.begin().await;
    site.flood(4, move |connection, round| {
        let first = (connection << 32) + round * 250;
        let pair = |task| [create(task, r#""title":"t""#), delete(task)];
        post("/batch", &token, &batch(&(first..first + 250).flat_map(pair).collect::<Vec<_>>()))
    })
    .await;
    // A deletion takes 40 bytes at least: a user, an id, a seq, an instant.
    site.note(Extra {
        name: "thousand deletions kept:",
        value: site.count("tombstones").await / 1e3,
        bound: 2_097.152 / 40.0,
    });
}

/// The largest bodies of different text, each replacing the text before it.
pub async fn large_texts(site: Arc<Site>) {
    let token = Site::token("attacker");
    site.give(&token, 0..500, |number| described(number, 10)).await;
    let request = |letter: &str| {
        let update = |number| {
            let (id, text) = (crate::material::id(number), letter.repeat(2000));
            format!(r#"{{"op":"update","id":"{id}","task":{{"description":"{text}"}}}}"#)
        };
        post("/batch", &token, &batch(&(0..500).map(update).collect::<Vec<_>>()))
    };
    let requests = ["a", "b", "c", "d"].map(request);
    site.begin().await;
    site.flood(16, move |connection, round| requests[(connection + round) % 4].clone()).await;
}

/// The largest tasks, as many as a body holds, within the quota.
#[expect(clippy::cast_precision_loss, reason = "it is far from 2^52")]
pub async fn fill_the_list(site: Arc<Site>) {
    let token = Site::token("attacker");
    let fields = large();
    let before = disk(&site).await;
    site.begin().await;
    site.flood(8, move |connection, round| {
        let first = (connection << 32) + round * 150;
        let tasks = (first..first + 150).map(|task| create(task, &fields));
        post("/batch", &token, &batch(&tasks.collect::<Vec<_>>()))
    })
    .await;
    // Above the quota: a part of a table that is not yet full, and the victim's own.
    let grown = disk(&site).await.saturating_sub(before) >> 20;
    site.note(Extra { name: "MiB on disk of a quota of 2 MiB:", value: grown as f64, bound: 24.0 });
}
