//! The log: enough to find a request, and nothing private.

use jsonwebtoken::Algorithm;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::support::issuer::Issuer;
use crate::support::keys::{Key, claims};
use crate::support::{Server, Store, User, id, on_both_stores, send, tokens};

on_both_stores!(
    development_logs_one_line_per_request,
    production_logs_json_and_only_problems,
    production_logs_every_request_when_asked_to,
    a_log_line_names_its_requests_trace,
    a_refused_token_is_always_logged_with_its_reason,
    an_attempt_on_another_user_is_always_logged,
    no_log_line_holds_a_token_a_title_or_a_query,
    not_even_at_the_deepest_level,
);

/// A subject that is a UUID, and so the user's id in the store, too.
const ANN: &str = "6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77";

const PRODUCTION: (&str, &str) = ("ENVIRONMENT", "production");

/// A call with a chosen request id.
async fn named(user: &User, request_id: &str, method: Method, path: &str) -> u16 {
    send(user.request(method, path).header("X-Request-Id", request_id)).await.status
}

/// The fields of a JSON log line, wherever the format puts them.
fn fields(line: &str) -> Value {
    let mut event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    if let Some(nested) = event["fields"].as_object().cloned() {
        event.as_object_mut().unwrap().extend(nested);
    }
    event
}

async fn development_logs_one_line_per_request(store: Store) {
    let server = Server::start(&store);
    let ann = server.user(ANN);
    let task = ann.create("a").await;
    assert_eq!(named(&ann, "the-read", Method::GET, &format!("/tasks/{}", id(&task))).await, 200);
    assert_eq!(named(&ann, "the-list", Method::GET, "/tasks").await, 200);
    let line = server.log_line(&["the-read", "GET", "200", ANN]);
    assert!(line.contains("/tasks/{"), "it must name the route's pattern: {line}");
    assert!(!line.contains(id(&task)), "it must not name the task: {line}");
    server.log_line(&["the-list", "GET", "200", ANN]);
    let lines = server.output().stderr();
    for request in ["the-read", "the-list"] {
        assert_eq!(lines.iter().filter(|line| line.contains(request)).count(), 1, "{lines:#?}");
    }
}

async fn a_log_line_names_its_requests_trace(store: Store) {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let server = Server::with(&store, &[PRODUCTION, ("LOG_REQUESTS", "all")]);
    let ann = server.user("ann");
    let traced = |id: &str, parent: String| {
        let request = ann.request(Method::GET, "/tasks").header("X-Request-Id", id);
        send(request.header("traceparent", parent))
    };
    traced("right", format!("00-{TRACE}-00f067aa0ba902b7-01")).await.expect(200);
    assert_eq!(fields(&server.log_line(&["\"right\""]))["trace_id"], TRACE);
    // A malformed one is ignored and not logged.
    traced("wrong", format!("00-{TRACE}-00f067aa0ba902b7-01-more")).await.expect(200);
    assert_eq!(fields(&server.log_line(&["\"wrong\""])).get("trace_id"), None);
}

async fn production_logs_json_and_only_problems(store: Store) {
    let server = Server::with(&store, &[PRODUCTION]);
    let ann = server.user("ann");
    assert_eq!(named(&ann, "it-is-fine", Method::GET, "/tasks").await, 200);
    let stranger = User::new(&server, "bob", ann.token.clone());
    assert_eq!(named(&stranger, "it-is-not-fine", Method::GET, "/tasks").await, 401);
    let line = server.log_line(&["it-is-not-fine"]);
    assert_eq!(fields(&line)["status"], 401, "{line}");
    let lines = server.output().stderr();
    assert!(!lines.iter().any(|line| line.contains("\"it-is-fine")), "{lines:#?}");
    for line in &lines {
        assert!(fields(line)["level"].is_string(), "{line}");
    }
    assert!(
        server.output().stdout().is_empty(),
        "production prints no greeting: {:?}",
        server.output().stdout()
    );
}

async fn production_logs_every_request_when_asked_to(store: Store) {
    let server = Server::with(&store, &[PRODUCTION, ("LOG_REQUESTS", "all")]);
    let ann = server.user(ANN);
    assert_eq!(named(&ann, "it-is-fine", Method::GET, "/tasks").await, 200);
    let line = server.log_line(&["it-is-fine"]);
    let event = fields(&line).to_string();
    for part in ["GET", "200", ANN, "/tasks"] {
        assert!(event.contains(part), "no {part} in {line}");
    }
}

async fn a_refused_token_is_always_logged_with_its_reason(store: Store) {
    for settings in [&[][..], &[PRODUCTION]] {
        let server = Server::with(&store, settings);
        let expired = tokens::signed(&json!({"sub": "ann", "exp": tokens::now() - 3600}));
        let forged = tokens::signed_with(
            "another secret of good length, it is",
            Algorithm::HS256,
            &json!({"sub": "ann"}),
        );
        let reasons: Vec<_> =
            [("was-expired", expired), ("was-forged", forged), ("was-garbage", "x".to_owned())]
                .into_iter()
                .map(|(name, token)| (name, User::new(&server, "ann", token)))
                .collect();
        let mut seen = Vec::new();
        for (name, user) in &reasons {
            assert_eq!(named(user, name, Method::GET, "/tasks").await, 401);
            let line = server.log_line(&[name, "WARN"]);
            seen.push(line.to_lowercase().replace(name, ""));
        }
        assert!(seen[0].contains("expired"), "no reason: {}", seen[0]);
        assert!(!seen[1].contains("expired"), "{}", seen[1]);
        server.stop();
    }
}

async fn an_attempt_on_another_user_is_always_logged(store: Store) {
    for settings in [&[][..], &[PRODUCTION]] {
        let server = Server::with(&store, settings);
        let stranger = User::new(&server, "bob", tokens::of(ANN));
        assert_eq!(named(&stranger, "the-attempt", Method::GET, "/tasks").await, 401);
        server.log_line(&["the-attempt", "WARN", ANN]);
        server.stop();
    }
}

async fn no_log_line_holds_a_token_a_title_or_a_query(store: Store) {
    for settings in [&[][..], &[PRODUCTION, ("LOG_REQUESTS", "all")], &[PRODUCTION]] {
        let server = Server::with(&store, settings);
        let ann = server.user_with_email("ann", "ann@example.com");
        let body = json!({"title": "private title", "description": "private description", "completed": "private value"});
        ann.post(&body).await.expect(422);
        let task = ann.post(&json!({"title": "private title", "description": "private description"})).await;
        let task = task.expect(201).json();
        ann.put(id(&task), &json!({"title": "private title, changed"})).await.expect(200);
        ann.post(&json!({"title": "private title", "id": "private id"})).await.expect(422);
        ann.post(&json!({"title": "private title", "id": task["id"]})).await.expect(409);
        ann.get("/tasks?limit=private-query&token=private-query").await.expect(422);
        server.get(&format!("/api/ann/tasks?token={}", ann.token)).await.expect(401);
        let broken = ann.request(Method::POST, "/tasks").header(CONTENT_TYPE, "application/json");
        send(broken.body(r#"{"title":"private title"#)).await.expect(422);
        let flipped = format!("{}x", ann.token);
        send(server.request(Method::GET, "/api/ann/tasks").bearer_auth(&flipped)).await.expect(401);
        send(server.request(Method::GET, "/api/ann/tasks").bearer_auth("private-token")).await.expect(401);
        let stranger = User::new(&server, "bob", ann.token.clone());
        assert_eq!(named(&stranger, "the-last", Method::GET, "/tasks?private-query").await, 401);
        server.log_line(&["the-last"]);
        let signature = ann.token.rsplit('.').next().unwrap();
        let claims = ann.token.split('.').nth(1).unwrap();
        for line in server.output().lines() {
            for private in ["private", signature, claims, tokens::SECRET] {
                // The greeting, with its token and a hint on the secret, is not part of the log.
                assert!(!line.text().contains(private), "{private} is in {line:?}");
            }
        }
        server.stop();
    }
}

/// Libraries' own lines quote what passes through them: statements with their parameters, requests with their headers.
async fn not_even_at_the_deepest_level(store: Store) {
    for level in
        ["debug", "trace", "tokio_postgres=trace,rusqlite=trace,actix_http=trace,hyper=trace,tasklane=trace"]
    {
        let key = Key::ed();
        let issuer = Issuer::start(&[key.jwk("private-kid")]);
        let url = issuer.url().replace("http://", "http://private-name:private-word@");
        let settings = [&Issuer::settings(&url)[..], &[("RUST_LOG", level), PRODUCTION]].concat();
        let server = Server::with(&store, &settings);
        let mut theirs = claims("private-subject");
        theirs["email"] = json!("private@example.com");
        let ann = User::new(&server, "private-subject", key.token("private-kid", &theirs));
        let body = json!({"title": "private title", "description": "private text", "tags": ["private tag"]});
        let keyed = ann.request(Method::POST, "/tasks").header("Idempotency-Key", "private key").json(&body);
        let task = send(keyed).await.expect(201).json();
        ann.put(id(&task), &json!({"title": "private title, changed"})).await.expect(200);
        ann.get("/tasks?q=private").await;
        ann.delete(id(&task)).await.expect(204);
        ann.erase().await;
        send(server.request(Method::GET, "/api/me/tasks").bearer_auth("private-token")).await.expect(401);
        server.terminate();
        let output = std::sync::Arc::clone(server.output());
        let _ = { server }.wait();
        let lines = output.lines();
        assert!(!lines.is_empty());
        let [claims, signature] = [1, 2].map(|part| ann.token.split('.').nth(part).unwrap());
        for private in ["private", claims, signature, tokens::SECRET] {
            let found = lines.iter().find(|line| line.text().contains(private));
            assert!(found.is_none(), "{private} is in {found:?}");
        }
    }
}
