//! `Server-Timing`: every answer to a write says how long it waited and how long its commit took. Pages of
//! listed origins may read it.

use reqwest::Method;
use reqwest::header::ORIGIN;
use serde_json::json;

use crate::support::{Answer, Server, Store, on_both_stores, send};

on_both_stores!(
    a_write_gives_its_queue_and_commit_times_and_a_read_neither,
    a_page_of_a_listed_origin_alone_may_see_the_times,
);

/// The header's metrics in milliseconds, in their order (W3C Server Timing, section 2).
fn metrics(answer: &Answer) -> Vec<(String, f64)> {
    let header = answer.header("server-timing").unwrap_or_default();
    let metrics = header.split(", ").filter(|metric| !metric.is_empty()).map(|metric| {
        let (name, time) = metric.split_once(";dur=").unwrap_or_else(|| panic!("{header}"));
        let decimals = time.split_once('.').unwrap_or_else(|| panic!("{header}")).1;
        assert_eq!(decimals.len(), 3, "{header}");
        (name.to_owned(), time.parse().unwrap())
    });
    metrics.collect()
}

fn names(answer: &Answer) -> Vec<String> {
    metrics(answer).into_iter().map(|(name, _)| name).collect()
}

async fn a_write_gives_its_queue_and_commit_times_and_a_read_neither(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let made = ann.post(&json!({"title": "a"})).await.expect(201);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let operations = json!({"operations": [{"op": "complete", "id": id}]});
    for answer in [
        &made,
        &ann.patch(&id, &json!({"title": "b"})).await.expect(200),
        &ann.call(Method::POST, "/batch", Some(&operations)).await.expect(200),
        &ann.delete(&id).await.expect(204),
        &ann.erase().await.expect(204),
    ] {
        assert_eq!(names(answer), ["queue", "commit"], "{answer:?}");
        assert!(metrics(answer)[1].1 > 0.0, "a commit takes some time: {answer:?}");
        assert_eq!(answer.header("timing-allow-origin"), None);
    }
    let refused = ann.delete(&id).await.expect(404);
    assert_eq!(names(&refused), ["queue"], "nothing was committed: {refused:?}");
    for answer in [
        ann.get("/tasks").await.expect(200),
        ann.get("/changes?since=0").await,
        ann.call(Method::POST, "/events/ticket", None).await.expect(201),
        ann.post(&json!({"title": 1})).await.expect(422),
    ] {
        assert_eq!(names(&answer), [""; 0], "{answer:?}");
    }
}

async fn a_page_of_a_listed_origin_alone_may_see_the_times(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let create = |origin: &str| {
        send(ann.request(Method::POST, "/tasks").header(ORIGIN, origin).json(&json!({"title": "a"})))
    };
    let listed = create("http://localhost:3000").await.expect(201);
    assert_eq!(listed.header("timing-allow-origin"), Some("http://localhost:3000"));
    let exposed = listed.header("access-control-expose-headers").unwrap().to_ascii_lowercase();
    assert!(exposed.contains("server-timing"), "{exposed}");
    let stranger = create("http://evil.example").await.expect(201);
    assert_eq!(stranger.header("timing-allow-origin"), None);
}
