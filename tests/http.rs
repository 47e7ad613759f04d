//! The HTTP layer over a store in memory: what every answer says and has, whatever comes in.

#![allow(clippy::unwrap_used, reason = "a panic is a test's way to fail")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, init_service, read_body};
use async_trait::async_trait;
use serde_json::{Value, json};
use tasklane::auth::{Verifier, issue};
use tasklane::config::{Config, Expected, Secret, Settings};
use tasklane::domain::{Change, Seq, Task, UserId};
use tasklane::http::{self, Api};
use tasklane::lane::{Limits, Registry};
use tasklane::store::committer::Committer;
use tasklane::store::{Batch, Changes, Outcome, PoolState, Store, StoreError, StoredUser};
use tokio::runtime::Handle;

const SECRET: &str = "a secret of more than thirty-two bytes";

/// A store in memory that can be told to fail.
#[derive(Default)]
struct Memory {
    users: Mutex<HashMap<UserId, StoredUser>>,
    down: AtomicBool,
}

#[async_trait]
impl Store for Memory {
    async fn load(&self, user: UserId) -> Result<Option<StoredUser>, StoreError> {
        self.ping().await?;
        Ok(self.users.lock().unwrap().get(&user).cloned())
    }

    async fn commit(&self, batches: &[Arc<Batch>]) -> Vec<Outcome> {
        if self.down.load(Ordering::Relaxed) {
            return batches.iter().map(|_| Outcome::Unavailable("hunter2".into())).collect();
        }
        let mut users = self.users.lock().unwrap();
        for batch in batches {
            let user = users.entry(batch.user).or_insert_with(|| StoredUser {
                subject: batch.subject.to_string(),
                email: None,
                seq: Seq::ZERO,
                tasks: Vec::new(),
            });
            for change in &batch.changes {
                let id = match change {
                    Change::Put(task) => task.id,
                    Change::Delete { id, .. } => *id,
                };
                user.tasks.retain(|task| task.id != id);
                if let Change::Put(task) = change {
                    user.tasks.push(Task::clone(task));
                }
            }
            user.seq = batch.reached;
        }
        batches.iter().map(|_| Outcome::Committed).collect()
    }

    async fn changes_since(&self, _: UserId, _: Seq, _: usize) -> Result<Changes, StoreError> {
        Err(StoreError("not asked for here".into()))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        if self.down.load(Ordering::Relaxed) { Err(StoreError("hunter2".into())) } else { Ok(()) }
    }

    fn pool(&self) -> PoolState {
        PoolState::default()
    }

    async fn close(&self) {}
}

fn api() -> (Arc<Api>, Arc<Memory>) {
    let config = Config::check(&Settings::default()).unwrap();
    let store = Arc::new(Memory::default());
    let (committer, _) = Committer::start(store.clone(), &Handle::current(), 64);
    let arbiters = vec![actix::Arbiter::current()];
    let registry = Registry::start(store.clone(), committer, Limits::default(), arbiters, Handle::current());
    let verifier = Arc::new(
        Verifier::start(Some(&Secret::new(SECRET.into())), None, &Expected::default(), &Handle::current())
            .unwrap(),
    );
    (Api::new(registry, verifier, &config), store)
}

fn token(subject: &str) -> String {
    issue(&Secret::new(SECRET.into()), subject, Some("a@example.org"), Duration::from_mins(1))
}

/// An answer, taken apart.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Checks the contract's error form.
    fn is_error(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        let form = self.json();
        assert_eq!(form["error"]["code"], code);
        assert_eq!(form["detail"], form["error"]["message"]);
        assert_eq!(form["status"], status);
        assert_eq!(form["type"], "about:blank");
        assert_eq!(form["request_id"], self.header("x-request-id"));
        assert_eq!(
            form["error"]["details"].is_array(),
            code == "VALIDATION_ERROR" || form["error"]["details"].is_array()
        );
        self.has_common_headers();
    }

    fn has_common_headers(&self) {
        assert!(!self.header("x-request-id").is_empty());
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        assert!(self.header("vary").contains("Origin"));
        assert!(!self.header("cache-control").is_empty());
        assert_eq!(self.header("server"), "");
    }
}

/// Sends a request to the app.
async fn send<S, B>(app: &S, request: TestRequest) -> Answer
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody + 'static,
{
    let response = match app.call(request.to_request()).await {
        Ok(response) => response.map_into_boxed_body(),
        Err(error) => panic!("the edge let an error through: {error}"),
    };
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: read_body(response).await.to_vec() }
}

fn request(method: &str, path: &str) -> TestRequest {
    TestRequest::default().method(method.parse().unwrap()).uri(path)
}

/// A request with alice's token.
fn alice(method: &str, path: &str) -> TestRequest {
    request(method, path).insert_header(("authorization", format!("Bearer {}", token("alice"))))
}

#[actix_web::test]
async fn a_task_is_created_read_changed_ticked_and_deleted() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let created = send(&app, alice("POST", "/api/me/tasks").set_json(json!({"title": " Milk "}))).await;
    assert_eq!(created.status, 201);
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/me/tasks/{id}");
    assert_eq!(created.header("location"), path);
    assert_eq!((created.header("etag"), created.header("x-tasklane-seq")), ("\"1\"", "1"));
    assert_eq!(created.header("content-type"), "application/json");
    assert_eq!(created.header("cache-control"), "private, no-cache");
    created.has_common_headers();

    let read = send(&app, alice("GET", &format!("/api/alice/tasks/{id}"))).await;
    assert_eq!((read.status, &read.body), (200, &created.body));
    let changed = send(&app, alice("PUT", &path).set_json(json!({"description": "2 l"}))).await;
    assert_eq!((changed.status, changed.header("etag")), (200, "\"2\""));
    assert_eq!(changed.json()["description"], "2 l");
    let ticked = send(&app, alice("PATCH", &format!("{path}/complete"))).await;
    assert_eq!((ticked.status, &ticked.json()["completed"]), (200, &json!(true)));
    let set = alice("PATCH", &format!("{path}/complete")).set_json(json!({"completed": true}));
    assert_eq!(send(&app, set).await.json()["version"], 4);
    let deleted = send(&app, alice("DELETE", &path)).await;
    assert_eq!((deleted.status, deleted.header("x-tasklane-seq"), deleted.body.len()), (204, "5", 0));
    let gone = send(&app, alice("GET", &path)).await;
    gone.is_error(404, "NOT_FOUND");
    assert_eq!(gone.header("x-tasklane-seq"), "5");
}

#[actix_web::test]
async fn a_list_is_counted_limited_and_spared_when_unchanged() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let empty = send(&app, alice("GET", "/api/me/tasks")).await;
    assert_eq!((empty.json(), empty.header("etag")), (json!({"tasks": [], "count": 0}), "W/\"0\""));
    for title in ["a", "b", "c"] {
        let created = send(&app, alice("POST", "/api/me/tasks/").set_json(json!({"title": title}))).await;
        assert!(created.header("location").starts_with("/api/me/tasks/0"));
    }
    let all = send(&app, alice("GET", "/api/me/tasks?limit=2")).await;
    let titles: Vec<_> =
        all.json()["tasks"].as_array().unwrap().iter().map(|task| task["title"].clone()).collect();
    assert_eq!((titles, &all.json()["count"]), (vec![json!("c"), json!("b")], &json!(2)));
    send(&app, alice("GET", "/api/me/tasks?limit=0")).await.is_error(422, "VALIDATION_ERROR");
    let unchanged = alice("GET", "/api/me/tasks").insert_header(("if-none-match", "\"1\", W/\"3\""));
    let unchanged = send(&app, unchanged).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!((unchanged.header("etag"), unchanged.header("x-tasklane-seq")), ("W/\"3\"", "3"));
    assert_eq!(unchanged.header("cache-control"), "private, no-cache");
    let changed = alice("GET", "/api/me/tasks").insert_header(("if-none-match", "W/\"2\""));
    assert_eq!(send(&app, changed).await.json()["count"], 3);
    assert_eq!(send(&app, alice("HEAD", "/api/me/tasks")).await.status, 200);
}

#[actix_web::test]
async fn the_same_create_is_answered_from_the_store_and_another_one_refused() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let body = json!({"id": "6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77", "title": "a"});
    let first = send(&app, alice("POST", "/api/me/tasks").set_json(&body)).await;
    let again = send(&app, alice("POST", "/api/me/tasks").set_json(&body)).await;
    assert_eq!((first.status, again.status, again.header("location")), (201, 200, ""));
    assert_eq!(first.body, again.body);
    let other = json!({"id": body["id"], "title": "b"});
    let conflict = send(&app, alice("POST", "/api/me/tasks").set_json(other)).await;
    conflict.is_error(409, "CONFLICT");
    assert_eq!(conflict.header("x-tasklane-seq"), "1");
}

#[actix_web::test]
async fn without_a_valid_token_for_the_paths_user_it_is_401_whatever_else_is_wrong() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    for (method, path) in [
        ("GET", "/api/alice/tasks?limit=x"),
        ("POST", "/api/alice/tasks"),
        ("PUT", "/api/alice/tasks/no-uuid"),
        ("BREW", "/api/alice/tasks"),
        ("GET", "/api/alice/nothing"),
        ("GET", "/api"),
    ] {
        let refused = send(&app, request(method, path).set_payload(vec![b'x'; 70_000])).await;
        refused.is_error(401, "UNAUTHORIZED");
        assert_eq!(refused.json()["detail"], "Missing authentication token");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        assert_eq!(refused.header("x-tasklane-seq"), "");
        let refused =
            send(&app, request(method, path).insert_header(("authorization", "Bearer a.b.c"))).await;
        refused.is_error(401, "UNAUTHORIZED");
        assert_eq!(refused.json()["detail"], "Invalid token");
    }
    for (method, path) in [
        ("GET", "/api/bob/tasks"),
        ("POST", "/api/bob/tasks"),
        ("GET", "/api/bob/x"),
        ("GET", "/api/Alice/test"),
    ] {
        // Twice: once verified, once remembered.
        for _ in 0..2 {
            let refused = send(&app, alice(method, path)).await;
            refused.is_error(401, "UNAUTHORIZED");
            assert_eq!(refused.json()["detail"], "Unauthorized access");
        }
    }
}

#[actix_web::test]
async fn every_error_has_the_contracts_form() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    send(&app, request("GET", "/nowhere")).await.is_error(404, "NOT_FOUND");
    send(&app, alice("GET", "/api/me/nowhere")).await.is_error(404, "NOT_FOUND");
    send(&app, alice("GET", "/api/me/tasks/42")).await.is_error(404, "NOT_FOUND");
    let refused = send(&app, alice("DELETE", "/api/me/tasks")).await;
    refused.is_error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(refused.header("allow"), "GET, HEAD, POST");
    let refused = send(&app, request("POST", "/health")).await;
    refused.is_error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(refused.header("allow"), "GET, HEAD");
    let text = alice("POST", "/api/me/tasks").insert_header(("content-type", "text/plain")).set_payload("{}");
    send(&app, text).await.is_error(415, "UNSUPPORTED_MEDIA_TYPE");
    let large = alice("POST", "/api/me/tasks").set_payload(vec![b' '; 65_537]);
    let large = send(&app, large).await;
    large.is_error(413, "PAYLOAD_TOO_LARGE");
    let wrong = alice("POST", "/api/me/tasks").set_payload(r#"{"title":7,"completed":"x"}"#);
    let wrong = send(&app, wrong).await;
    wrong.is_error(422, "VALIDATION_ERROR");
    let details = json!([
        {"field": "title", "message": "must be a string"},
        {"field": "completed", "message": "must be true or false"},
    ]);
    assert_eq!(wrong.json()["error"]["details"], details);
    let empty =
        alice("PATCH", "/api/me/tasks/6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77/complete").set_payload("{}");
    send(&app, empty).await.is_error(422, "VALIDATION_ERROR");
    let problem = alice("GET", "/api/me/tasks/42")
        .insert_header(("accept", "application/json, application/problem+json;q=0.5"));
    let problem = send(&app, problem).await;
    problem.is_error(404, "NOT_FOUND");
    assert_eq!(problem.header("content-type"), "application/problem+json");
}

#[actix_web::test]
async fn a_known_users_error_has_the_seq_it_is_true_at() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    send(&app, alice("POST", "/api/me/tasks").set_json(json!({"title": "a"}))).await;
    for (method, path) in [
        ("POST", "/api/me/tasks"),
        ("GET", "/api/me/tasks/42"),
        ("GET", "/api/me/test"),
        ("GET", "/api/me/nowhere"),
        ("PATCH", "/api/me/tasks"),
        ("DELETE", "/api/me/tasks/6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77"),
    ] {
        let answer = send(&app, alice(method, path)).await;
        assert_eq!(answer.header("x-tasklane-seq"), "1", "{method} {path} {}", answer.status);
    }
}

#[actix_web::test]
async fn a_store_that_is_down_is_503_with_retry_after_and_its_text_stays_inside() {
    let (api, store) = api();
    let app = init_service(http::app(&api)).await;
    send(&app, request("GET", "/ready")).await.has_common_headers();
    store.down.store(true, Ordering::Relaxed);
    for request in [
        alice("GET", "/api/me/tasks"),
        alice("POST", "/api/me/tasks").set_json(json!({"title": "a"})),
        request("GET", "/ready"),
    ] {
        let answer = send(&app, request).await;
        answer.is_error(503, "STORE_UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), "2");
        assert!(!String::from_utf8_lossy(&answer.body).contains("hunter2"));
    }
    assert_eq!(send(&app, request("GET", "/health")).await.json()["status"], "healthy");
}

#[actix_web::test]
async fn while_it_drains_it_is_not_ready_but_serves() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    assert_eq!(send(&app, request("GET", "/ready")).await.json(), json!({"status": "ready"}));
    api.drain();
    send(&app, request("GET", "/ready")).await.is_error(503, "OVERLOADED");
    assert_eq!(send(&app, alice("GET", "/api/me/test")).await.json()["user"]["email"], "a@example.org");
}

#[actix_web::test]
async fn a_request_id_is_echoed_where_it_is_harmless_and_made_elsewhere() {
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
async fn only_listed_origins_are_named_and_given_credentials_on_errors_too() {
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
    let stranger = alice("GET", "/api/me/tasks").insert_header(("origin", "http://evil.example"));
    let stranger = send(&app, stranger).await;
    assert_eq!(stranger.status, 200);
    assert!(stranger.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
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
async fn the_documentation_is_whole_and_runs_no_inline_script() {
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
