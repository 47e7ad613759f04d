//! Everything around the operations: origins, ids, logs, metrics, documentation, the server.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use actix_web::test::init_service;
use serde_json::json;
use tasklane::http;

use crate::harness::{alice, api, request, send};

#[actix_web::test]
async fn a_draining_server_is_not_ready_but_serves() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let ready = send(&app, request("GET", "/ready")).await;
    assert_eq!((ready.json(), ready.closes), (json!({"status": "ready"}), false));
    api.drain();
    let stopping = send(&app, request("GET", "/ready")).await;
    stopping.is_error(503, "OVERLOADED");
    assert!(stopping.closes);
    assert_eq!(send(&app, alice("GET", "/api/me/test")).await.json()["user"]["email"], "a@example.org");
}

#[actix_web::test]
async fn a_harmless_request_id_is_echoed_and_others_are_replaced() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let longest = "x".repeat(128);
    for id in ["a", "é", "a b", &longest, &"x".repeat(129)] {
        let answer = send(&app, request("GET", "/health").insert_header(("x-request-id", id))).await;
        let echoed = id == "a" || id == longest;
        assert_eq!(answer.header("x-request-id") == id, echoed, "{id}");
    }
    let made: std::collections::HashSet<_> = [
        send(&app, request("GET", "/health")).await.header("x-request-id").to_owned(),
        send(&app, request("GET", "/health")).await.header("x-request-id").to_owned(),
    ]
    .into();
    assert_eq!(made.len(), 2);
}

#[actix_web::test]
async fn only_listed_origins_are_allowed_with_credentials_on_errors_too() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let listed = ("origin", "http://localhost:3000");
    for request in
        [alice("GET", "/api/me/tasks"), request("GET", "/api/me/tasks"), request("GET", "/nowhere")]
    {
        let answer = send(&app, request.insert_header(listed)).await;
        assert_eq!(answer.header("access-control-allow-origin"), listed.1);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        let exposed = answer.header("access-control-expose-headers").to_ascii_lowercase();
        for name in [
            "etag",
            "location",
            "link",
            "x-tasklane-seq",
            "x-request-id",
            "retry-after",
            "idempotent-replayed",
        ] {
            assert!(exposed.contains(name), "{name} is not exposed");
        }
        answer.has_common_headers();
    }
    let unlisted = alice("GET", "/api/me/tasks").insert_header(("origin", "http://evil.example"));
    let unlisted = send(&app, unlisted).await;
    assert_eq!(unlisted.status, 200);
    assert!(unlisted.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    let preflight = |origin| {
        request("OPTIONS", "/api/me/tasks")
            .insert_header(("origin", origin))
            .insert_header(("access-control-request-method", "PATCH"))
            .insert_header(("access-control-request-headers", "authorization, if-match, idempotency-key"))
    };
    let allowed = send(&app, preflight(listed.1)).await;
    assert_eq!((allowed.status, allowed.header("access-control-max-age")), (200, "7200"));
    assert!(allowed.header("access-control-allow-methods").contains("PATCH"));
    let refused = send(&app, preflight("http://evil.example")).await;
    refused.is_error(400, "BAD_REQUEST");
    assert!(refused.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
}

#[actix_web::test]
async fn the_documentation_is_complete_and_runs_no_inline_script() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    assert_eq!(send(&app, request("GET", "/openapi.json")).await.json()["openapi"], "3.1.0");
    for page in ["/docs", "/redoc"] {
        let answer = send(&app, request("GET", page)).await;
        let policy = answer.header("content-security-policy").to_owned();
        assert!(policy.contains("script-src 'self';"), "{policy}");
        let html = String::from_utf8(answer.body).unwrap();
        assert!(!html.contains("<script>") && !html.contains("//"), "{html}");
        let files = html.split(['"']).filter(|part| part.starts_with('/'));
        for file in files {
            let found = send(&app, request("GET", file)).await;
            assert!(found.status == 200 && found.body.len() > 50, "{page} asks for {file}");
            assert!(!String::from_utf8_lossy(&found.body).contains("cdn.redoc.ly"));
        }
    }
    send(&app, request("GET", "/docs/nothing.js")).await.is_error(404, "NOT_FOUND");
}

#[actix_web::test]
async fn requests_are_counted_by_route_and_status_and_never_by_user() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    send(&app, alice("GET", "/api/alice/tasks")).await;
    send(&app, request("GET", "/api/alice/tasks")).await;
    send(&app, request("GET", "/secret-words")).await;
    let text = String::from_utf8(send(&app, request("GET", "/metrics")).await.body).unwrap();
    for line in [
        r#"tasklane_http_requests_total{route="/api/{user_id}/tasks",method="GET",status="200"} 1"#,
        r#"tasklane_http_requests_total{route="/api/{user_id}/tasks",method="GET",status="401"} 1"#,
        r#"tasklane_http_requests_total{route="unknown",method="GET",status="404"} 1"#,
        r#"tasklane_http_request_duration_seconds_count{route="/api/{user_id}/tasks"} 2"#,
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
    assert!(!text.contains("alice") && !text.contains("secret-words"));
    assert_eq!(api.in_flight(), 0);
}

#[actix_web::test]
async fn a_panic_is_a_500_without_its_message_and_does_not_affect_other_requests() {
    let (api, store) = api();
    let app = init_service(http::app(&api)).await;
    store.panics.store(true, Ordering::Relaxed);
    let answer = send(&app, request("GET", "/ready")).await;
    answer.is_error(500, "INTERNAL_SERVER_ERROR");
    assert!(!String::from_utf8_lossy(&answer.body).contains("hunter2"));
    assert_eq!(send(&app, request("GET", "/health")).await.status, 200);
    assert_eq!(api.in_flight(), 0);
}

/// The log lines of a test.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[actix_web::test]
async fn a_log_line_has_the_route_the_users_key_and_the_cause_and_no_user_input() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_target(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    send(&app, alice("POST", "/api/alice/tasks?word=typed").set_json(json!({"title": "typed"}))).await;
    send(&app, alice("GET", "/api/typed/tasks")).await;
    send(&app, request("GET", "/typed").insert_header(("authorization", "Bearer typed"))).await;
    send(&app, request("GET", "/api/me/test").insert_header(("authorization", "Bearer typed"))).await;
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let log: Vec<_> = log.lines().collect();
    assert_eq!(log.len(), 4, "{log:#?}");
    // Not the subject: it may be an e-mail address.
    let key = tasklane::domain::UserId::of_subject("alice").to_string();
    let (by, asked) = (format!("user={key}"), format!("user {key} asked as"));
    for (line, parts) in log.iter().zip([
        ["INFO request method=POST", "route=/api/{user_id}/tasks ", "status=201", &by],
        ["WARN request method=GET", "route=/api/{user_id}/tasks ", "status=401", &asked],
        ["INFO request method=GET", "route=unknown ", "status=404", "request_id="],
        ["WARN request method=GET", "route=/api/{user_id}/test ", "status=401", "its header cannot be read"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{line} lacks one of {parts:?}");
        assert!(!line.contains("typed") && !line.contains("alice") && !line.contains("eyJ"), "{line}");
    }
}

#[actix_web::test]
async fn the_server_returns_its_address_and_serves_metrics_on_their_own_listener() {
    let (api, _) = api();
    let (addresses, server) = http::run("127.0.0.1", 0, 1, &api, None).unwrap();
    let (metrics_addresses, metrics_server) =
        http::run_metrics("127.0.0.1:0".parse().unwrap(), &api).unwrap();
    let handles = [server.handle(), metrics_server.handle()];
    actix_web::rt::spawn(server);
    actix_web::rt::spawn(metrics_server);
    let health = reqwest::get(format!("http://{}/health", addresses[0])).await.unwrap();
    assert_eq!(health.status(), 200);
    let text = reqwest::get(format!("http://{}/metrics", metrics_addresses[0])).await.unwrap();
    assert!(text.text().await.unwrap().contains("tasklane_http_requests_total{route=\"/health\""));
    for (path, status) in [("/health", 200), ("/ready", 200), ("/docs", 404)] {
        let answer = reqwest::get(format!("http://{}{path}", metrics_addresses[0])).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
    for handle in handles {
        handle.stop(true).await;
    }
}
