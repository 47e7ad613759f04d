//! `/health` and `/ready`, for monitoring.

use chrono::DateTime;
use serde_json::json;

use crate::support::{Server, Store, keys, on_both_stores};

on_both_stores!(health_gives_the_time_and_the_version, ready_answers_once_the_store_does,);

async fn health_gives_the_time_and_the_version(store: Store) {
    let server = Server::start(&store);
    let answer = server.get("/health").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let health = answer.json();
    for key in ["status", "timestamp", "version"] {
        assert!(keys(&health).contains(&key), "{health}");
    }
    assert_eq!(
        (&health["status"], &health["version"]),
        (&json!("healthy"), &json!(env!("CARGO_PKG_VERSION")))
    );
    let timestamp = health["timestamp"].as_str().unwrap();
    assert!(timestamp.ends_with('Z') && DateTime::parse_from_rfc3339(timestamp).is_ok(), "{timestamp}");
    // A token is not checked.
    let request = server.request(reqwest::Method::GET, "/health").bearer_auth("garbage");
    crate::support::send(request).await.expect(200);
}

async fn ready_answers_once_the_store_does(store: Store) {
    let server = Server::start(&store);
    let answer = server.get("/ready").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.json().is_object());
}
