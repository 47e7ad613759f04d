//! A store in memory, the app over it, and requests to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::body::{MessageBody, to_bytes};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::header::HeaderMap;
use actix_web::test::TestRequest;
use async_trait::async_trait;
use serde_json::Value;
use tasklane::auth::{Signer, Verifier};
use tasklane::config::{AuthConfig, Config, Expected, Secret, Settings};
use tasklane::domain::{Change, Lineage, Seq, StoreIdentity, Task, Timestamp, UserId};
use tasklane::http::Api;
use tasklane::lane::{LaneLimits, Registry};
use tasklane::store::group_commit::GroupCommitter;
use tasklane::store::{Batch, KeyRecord, Outcome, PoolState, Recalled, Store, StoreError, StoredUser};
use tokio::runtime::Handle;

pub const SECRET: &str = "a secret of more than thirty-two bytes";

/// A user as the store in memory keeps it.
struct Row {
    stored: StoredUser,
    keys: HashMap<Arc<str>, KeyRecord>,
}

/// A store in memory that can fail on demand.
#[derive(Default)]
pub struct Memory {
    users: Mutex<HashMap<UserId, Row>>,
    pub down: AtomicBool,
    pub panics: AtomicBool,
}

impl Memory {
    fn apply(&self, batch: &Batch) {
        let mut users = self.users.lock().unwrap();
        let row = users.entry(batch.user).or_insert_with(|| Row {
            stored: StoredUser {
                subject: batch.subject.to_string(),
                email: None,
                seq: Seq::ZERO,
                horizon: Seq::ZERO,
                key_bytes: 0,
                tasks: Vec::new(),
                tombstones: Vec::new(),
            },
            keys: HashMap::new(),
        });
        if batch.erase {
            row.keys.clear();
            row.stored.tasks.clear();
            row.stored.tombstones.clear();
            row.stored.horizon = batch.reached;
        }
        for change in &batch.changes {
            let id = match change {
                Change::Put(task) => task.id,
                Change::Delete { id, .. } => *id,
            };
            row.stored.tasks.retain(|task| task.id != id);
            match change {
                Change::Put(task) => row.stored.tasks.push(Task::clone(task)),
                Change::Delete { id, seq, .. } => row.stored.tombstones.push((*seq, *id)),
            }
        }
        row.keys.extend(batch.keys.iter().map(|record| (Arc::clone(&record.key), record.clone())));
        row.stored.seq = batch.reached;
    }
}

#[async_trait]
impl Store for Memory {
    async fn load(&self, user: UserId) -> Result<Option<StoredUser>, StoreError> {
        self.ping().await?;
        Ok(self.users.lock().unwrap().get(&user).map(|row| row.stored.clone()))
    }

    async fn seqs(&self, users: &[UserId]) -> Result<Vec<(UserId, Seq)>, StoreError> {
        self.ping().await?;
        let rows = self.users.lock().unwrap();
        Ok(users.iter().filter_map(|user| Some((*user, rows.get(user)?.stored.seq))).collect())
    }

    async fn commit(&self, batches: &[Arc<Batch>]) -> Vec<Outcome> {
        if self.down.load(Ordering::Relaxed) {
            return batches.iter().map(|_| Outcome::Unavailable("hunter2".into())).collect();
        }
        for batch in batches {
            self.apply(batch);
        }
        batches.iter().map(|_| Outcome::Committed).collect()
    }

    async fn recall(&self, user: UserId, key: &str) -> Result<Recalled, StoreError> {
        self.ping().await?;
        let users = self.users.lock().unwrap();
        let row = users.get(&user);
        let record = row.and_then(|row| row.keys.get(key).cloned());
        Ok(Recalled { seq: row.map_or(Seq::ZERO, |row| row.stored.seq), record })
    }

    async fn purge(&self, _: Timestamp, _: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn forget(&self, _: UserId, _: Seq) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        assert!(!self.panics.load(Ordering::Relaxed), "hunter2");
        if self.down.load(Ordering::Relaxed) { Err(StoreError("hunter2".into())) } else { Ok(()) }
    }

    fn pool(&self) -> PoolState {
        PoolState::default()
    }

    async fn close(&self) {}
}

pub fn api() -> (Arc<Api>, Arc<Memory>) {
    // In a process with several tests, a log line that is first reached without a subscriber is disabled for
    // all, so that the test that reads the log would miss it. Only the first call sets a subscriber.
    let _ = tracing_subscriber::fmt().with_writer(std::io::sink).try_init();
    let config = Config::check(&Settings::default()).unwrap();
    let store = Arc::new(Memory::default());
    let (committer, _) = GroupCommitter::start(store.clone(), &Handle::current(), 64);
    let arbiters = vec![actix::Arbiter::current()];
    let registry =
        Registry::start(store.clone(), committer, LaneLimits::default(), arbiters, Handle::current());
    let auth = AuthConfig { better_auth_secret: Some(Secret::new(SECRET.into())), ..AuthConfig::default() };
    let verifier = Verifier::start(&auth, &Handle::current()).unwrap();
    (Api::new(registry, Arc::new(verifier), &config), store)
}

pub fn signer() -> Signer {
    Signer::new(Secret::new(SECRET.into()), Expected::default())
}

pub fn token(subject: &str) -> String {
    signer().issue(subject, Some("a@example.org"), Duration::from_mins(1))
}

/// The parts of a response.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub closes: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Checks the JSON body of an error.
    pub fn is_error(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        let form = self.json();
        assert_eq!(form["error"]["code"], code);
        assert_eq!(form["detail"], form["error"]["message"]);
        assert_eq!(form["message"], form["error"]["message"]);
        assert_eq!(form["status"], status);
        assert_eq!(form["type"], "about:blank");
        assert_eq!(form["request_id"], self.header("x-request-id"));
        self.has_common_headers();
    }

    pub fn has_common_headers(&self) {
        assert!(!self.header("x-request-id").is_empty());
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        assert!(self.header("vary").contains("Origin"));
        assert!(!self.header("cache-control").is_empty());
        assert_eq!(self.header("server"), "");
    }
}

/// Sends a request to the app.
pub async fn send<S, B>(app: &S, request: TestRequest) -> Answer
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody + 'static,
{
    let (head, body) = match app.call(request.to_request()).await {
        Ok(response) => response.into_parts().1.map_into_boxed_body().into_parts(),
        Err(error) => error.error_response().into_parts(),
    };
    let closes = head.head().connection_type() == ConnectionType::Close;
    let body = to_bytes(body).await.unwrap().to_vec();
    Answer { status: head.status().as_u16(), headers: head.headers().clone(), body, closes }
}

pub fn request(method: &str, path: &str) -> TestRequest {
    TestRequest::default().method(method.parse().unwrap()).uri(path)
}

/// Alice's lineage in the store of these tests.
pub fn lineage() -> Lineage {
    StoreIdentity::default().lineage("alice")
}

/// The tag of alice's task in this version.
pub fn tag(version: i64) -> String {
    format!("\"{version}-{}\"", lineage())
}

/// The tag of alice's list at this seq.
pub fn list_tag(seq: i64) -> String {
    format!("W/{}", tag(seq))
}

/// The header of a user's token.
pub fn bearer(subject: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {}", token(subject)))
}

/// A request with alice's token.
pub fn alice(method: &str, path: &str) -> TestRequest {
    request(method, path).insert_header(bearer("alice"))
}
