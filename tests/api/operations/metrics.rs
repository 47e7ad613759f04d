//! `/metrics`: Prometheus text that names no user and no task.

use std::net::TcpListener;

use reqwest::Method;
use serde_json::json;

use crate::support::{Server, Store, id, on_both_stores, send};

on_both_stores!(
    development_serves_metrics_without_a_user_in_them,
    production_serves_no_metrics_on_the_main_listener,
    metrics_can_have_a_listener_of_their_own,
    what_is_measured_is_what_happened,
);

/// The metrics that a dashboard may rely on.
const NAMES: [&str; 11] = [
    "tasklane_http_requests_total{",
    "tasklane_http_request_duration_seconds_bucket{",
    "tasklane_lanes ",
    "tasklane_write_queue_depth ",
    "tasklane_commit_users_bucket{",
    "tasklane_commit_duration_seconds_bucket{",
    "tasklane_commit_conflicts_total ",
    "tasklane_cache_hits_total ",
    "tasklane_cache_misses_total ",
    "tasklane_cache_bytes ",
    "tasklane_store_connections ",
];

/// Makes calls of every kind, and returns what no metric may contain.
async fn traffic(server: &Server) -> Vec<String> {
    let subject = "user-3fd1c2";
    let user = server.user_with_email(subject, "seen@example.com");
    let task = user.create("a very private title").await;
    user.list().await;
    user.task(id(&task)).await.expect(200);
    user.get("/tasks?limit=1&note=private-query").await.expect(200);
    user.complete(id(&task), None).await.expect(200);
    user.post(&json!({"title": ""})).await.expect(422);
    server.get(&format!("/api/{subject}/tasks")).await.expect(401);
    server.get("/no-such-route-7351").await.expect(404);
    user.delete(id(&task)).await.expect(204);
    let words = [subject, "seen@example.com", "very private", "private-query", "no-such-route", id(&task)];
    words.into_iter().map(str::to_owned).chain([user.token]).collect()
}

/// Checks that Prometheus can read every line, and that none contains any of `private`.
fn check(text: &str, private: &[String]) {
    let samples: Vec<_> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    for line in &samples {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        assert!(value.parse::<f64>().is_ok(), "no number: {line}");
        let name = name.split('{').next().unwrap();
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        assert!(!name.is_empty() && name.chars().all(legal), "no name: {line}");
    }
    for word in private {
        assert!(!text.contains(word.as_str()), "the metrics contain {word}");
    }
    assert!(
        samples.iter().any(|line| line.contains("tasks/{")),
        "no route is counted by its pattern:\n{text}"
    );
    for status in ["200", "201", "204", "401", "404", "422"] {
        assert!(
            samples.iter().any(|line| line.contains(status)),
            "no request with {status} is counted:\n{text}"
        );
    }
    for name in NAMES {
        assert!(samples.iter().any(|line| line.starts_with(name)), "there is no {name}:\n{text}");
    }
    assert!(samples.iter().any(|line| line.contains("_bucket{")), "no histogram:\n{text}");
}

async fn development_serves_metrics_without_a_user_in_them(store: Store) {
    let server = Server::start(&store);
    let private = traffic(&server).await;
    let answer = server.get("/metrics").await.expect(200);
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"), "{answer:?}");
    check(&answer.text(), &private);
}

async fn production_serves_no_metrics_on_the_main_listener(store: Store) {
    let server = Server::with(&store, &[("ENVIRONMENT", "production")]);
    traffic(&server).await;
    for method in [Method::GET, Method::POST] {
        send(server.request(method, "/metrics")).await.expect_error(404, "NOT_FOUND");
    }
}

async fn metrics_can_have_a_listener_of_their_own(store: Store) {
    for environment in ["production", "development"] {
        let address = free_address();
        let settings = [("ENVIRONMENT", environment), ("METRICS_LISTEN", address.as_str())];
        let server = Server::with(&store, &settings);
        let private = traffic(&server).await;
        let metrics = send(server.http().get(format!("http://{address}/metrics"))).await.expect(200);
        check(&metrics.text(), &private);
        server.get("/metrics").await.expect_error(404, "NOT_FOUND");
        for path in ["/health", "/ready"] {
            send(server.http().get(format!("http://{address}{path}"))).await.expect(200);
        }
        let counted = send(server.http().get(format!("http://{address}/metrics"))).await.expect(200).text();
        assert!(counted.contains("route=\"/ready\",method=\"GET\",status=\"200\"} 1"), "{counted}");
        // Nothing else is served there, not even to a user whose tasks are in memory.
        let ann = server.user("ann");
        ann.create("a").await;
        ann.list().await;
        let tasks = server.http().get(format!("http://{address}/api/ann/tasks")).bearer_auth(&ann.token);
        send(tasks).await.expect_error(404, "NOT_FOUND");
        server.stop();
    }
}

async fn what_is_measured_is_what_happened(store: Store) {
    let server = Server::start(&store);
    let users: Vec<_> = (0..3).map(|number| server.user(&format!("user {number}"))).collect();
    for user in &users {
        user.create("a").await;
        user.list().await;
        user.list().await;
    }
    let measured = |text: &str, name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    // Gauges may be updated only every few seconds.
    let mut text = String::new();
    for _ in 0..600 {
        text = server.get("/metrics").await.expect(200).text();
        // Gauges are set every second, on a busy machine in the middle of the writes above.
        if measured(&text, "tasklane_lanes ") > 2.5 && measured(&text, "tasklane_store_connections ") > 0.0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let exact = [
        ("tasklane_lanes ", 3.0),
        ("tasklane_write_queue_depth ", 0.0),
        ("tasklane_commit_conflicts_total ", 0.0),
        ("tasklane_cache_hits_total ", 6.0),
        ("tasklane_commit_users_sum", 3.0),
        ("tasklane_http_requests_total{route=\"/api/{user_id}/tasks\",method=\"POST\",status=\"201\"}", 3.0),
        ("tasklane_http_requests_total{route=\"/api/{user_id}/tasks\",method=\"GET\",status=\"200\"}", 6.0),
    ];
    for (name, value) in exact {
        assert!((measured(&text, name) - value).abs() < 0.5, "{name} is not {value}:\n{text}");
    }
    assert!(measured(&text, "tasklane_cache_bytes ") > 300.0, "{text}");
    assert!(measured(&text, "tasklane_store_connections ") >= 1.0, "{text}");
}

/// A free address. If another process takes it before the server does, the start fails and says so.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
