//! Any sequence of calls by one user is answered as a plain list in memory would answer it.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::support::{Answer, Server, Store, User, keys, on_both_stores, timestamp};

on_both_stores!(any_sequence_of_calls_is_answered_as_the_model_says);

/// The ids that calls are about; few, so that calls meet one another.
const SLOTS: usize = 4;

/// One call, as a user might make it.
#[derive(Clone, Debug)]
enum Call {
    /// POST, with the slot's id as chosen id or with none.
    Create { slot: Option<usize>, fields: Fields },
    /// PUT or PATCH.
    Update { slot: usize, put: bool, fields: Fields },
    /// PATCH …/complete.
    Complete { slot: usize, completed: Option<bool> },
    /// DELETE.
    Delete { slot: usize },
    /// GET of one.
    Read { slot: usize },
    /// GET of all, or of some.
    List { limit: Option<usize> },
}

/// The fields of a body; `None` is left out.
#[derive(Clone, Debug)]
struct Fields {
    title: Option<String>,
    description: Option<Value>,
    completed: Option<bool>,
}

impl Fields {
    fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        if let Some(title) = &self.title {
            body.insert("title".into(), json!(title));
        }
        if let Some(description) = &self.description {
            body.insert("description".into(), description.clone());
        }
        if let Some(completed) = self.completed {
            body.insert("completed".into(), json!(completed));
        }
        body
    }

    /// The names of the fields that break a rule, in alphabetical order.
    fn bad(&self, title_needed: bool) -> Vec<&'static str> {
        let legal = |text: &str, least: usize, most: usize| {
            (least..=most).contains(&text.chars().count()) && !text.contains('\0')
        };
        let mut bad = Vec::new();
        if self.description.as_ref().and_then(Value::as_str).is_some_and(|text| !legal(text, 0, 2000)) {
            bad.push("description");
        }
        if self.title.as_ref().map_or(title_needed, |text| !legal(text.trim(), 1, 200)) {
            bad.push("title");
        }
        bad
    }
}

fn title() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-c]",
        2 => " ?[a-z🦀\u{3000}]{1,8}\u{a0}?",
        1 => Just("é".repeat(200)),
        1 => Just("é".repeat(201)),
        1 => "[ \u{2003}]{0,2}",
        1 => Just("a\0b".to_owned()),
    ]
}

fn description() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(Value::Null),
        5 => "[ab]?".prop_map(Value::from),
        1 => Just(json!(" \n")),
        1 => Just(json!("用".repeat(2000))),
        1 => Just(json!("用".repeat(2001))),
    ]
}

fn fields(title_likely: f64) -> impl Strategy<Value = Fields> {
    (
        proptest::option::weighted(title_likely, title()),
        proptest::option::of(description()),
        proptest::option::of(any::<bool>()),
    )
        .prop_map(|(title, description, completed)| Fields { title, description, completed })
}

fn call() -> impl Strategy<Value = Call> {
    let slot = 0..SLOTS;
    prop_oneof![
        5 => (proptest::option::weighted(0.8, slot.clone()), fields(0.95))
            .prop_map(|(slot, fields)| Call::Create { slot, fields }),
        4 => (slot.clone(), any::<bool>(), fields(0.5))
            .prop_map(|(slot, put, fields)| Call::Update { slot, put, fields }),
        3 => (slot.clone(), any::<Option<bool>>()).prop_map(|(slot, completed)| Call::Complete { slot, completed }),
        2 => slot.clone().prop_map(|slot| Call::Delete { slot }),
        2 => slot.prop_map(|slot| Call::Read { slot }),
        2 => proptest::option::of(1..4_usize).prop_map(|limit| Call::List { limit }),
    ]
}

/// The reference: a list of tasks as JSON, oldest first, and a seq.
#[derive(Default)]
struct Model {
    seq: i64,
    tasks: Vec<Value>,
    newest: Option<DateTime<Utc>>,
}

impl Model {
    fn position(&self, id: &str) -> Option<usize> {
        self.tasks.iter().position(|task| task["id"] == id)
    }

    fn list(&self) -> Vec<Value> {
        self.tasks.iter().rev().cloned().collect()
    }

    /// Checks a task just written against what the model expects of it, and takes over the times.
    fn written(&mut self, answer: &Answer, mut expected: Value) -> Value {
        self.seq += 1;
        assert_eq!(answer.seq(), self.seq);
        let task = answer.json();
        assert_eq!(answer.header("etag"), Some(format!("\"{}\"", self.seq).as_str()));
        let (created, updated) = (timestamp(&task["created_at"]), timestamp(&task["updated_at"]));
        assert!(created <= updated && self.newest.is_none_or(|newest| newest < updated), "{task}");
        self.newest = Some(updated);
        expected["version"] = json!(self.seq);
        expected["updated_at"] = task["updated_at"].clone();
        if expected["created_at"].is_null() {
            assert_eq!(created, updated);
            expected["created_at"] = task["created_at"].clone();
            expected["id"] =
                if expected["id"].is_null() { task["id"].clone() } else { expected["id"].clone() };
        }
        // Since when it is done: kept while it stays so.
        expected["completed_at"] = match (expected["completed"] == true, &expected["completed_at"]) {
            (false, _) => Value::Null,
            (true, Value::String(since)) => json!(since),
            (true, _) => task["updated_at"].clone(),
        };
        assert_eq!(task, expected);
        task
    }

    fn create(&mut self, answer: Answer, subject: &str, id: Option<&str>, fields: &Fields) {
        let bad = fields.bad(true);
        if !bad.is_empty() {
            assert_eq!(answer.expect_error(422, "VALIDATION_ERROR").bad_fields(), bad);
            return;
        }
        let wanted = json!({
            "title": fields.title.as_deref().unwrap().trim(),
            "description": fields.description,
            "completed": fields.completed.unwrap_or(false),
            "priority": null,
            "tags": [],
            "due_date": null,
            "position": null,
        });
        if let Some(position) = id.and_then(|id| self.position(id)) {
            let stored = &self.tasks[position];
            let same =
                ["title", "description", "completed"].iter().all(|field| stored[field] == wanted[field]);
            let answer = if same { answer.expect(200) } else { answer.expect_error(409, "CONFLICT") };
            assert_eq!(answer.seq(), self.seq);
            if same {
                assert_eq!(answer.json(), *stored);
            }
            return;
        }
        let mut expected = wanted;
        expected["id"] = json!(id);
        expected["user_id"] = json!(subject);
        let task = self.written(&answer.expect(201), expected);
        self.tasks.push(task);
    }

    fn update(&mut self, answer: Answer, id: &str, fields: &Fields) {
        let bad = fields.bad(false);
        if !bad.is_empty() || fields.body().is_empty() {
            let named = answer.expect_error(422, "VALIDATION_ERROR").bad_fields();
            assert!(bad.is_empty() || named == bad);
            return;
        }
        let Some(position) = self.position(id) else { return self.missing(answer) };
        let mut expected = self.tasks[position].clone();
        for (field, value) in fields.body() {
            expected[&field] = if field == "title" { json!(value.as_str().unwrap().trim()) } else { value };
        }
        self.tasks[position] = self.written(&answer.expect(200), expected);
    }

    fn complete(&mut self, answer: Answer, id: &str, completed: Option<bool>) {
        let Some(position) = self.position(id) else { return self.missing(answer) };
        let mut expected = self.tasks[position].clone();
        let was = expected["completed"].as_bool().unwrap();
        expected["completed"] = json!(completed.unwrap_or(!was));
        self.tasks[position] = self.written(&answer.expect(200), expected);
    }

    fn delete(&mut self, answer: Answer, id: &str) {
        let Some(position) = self.position(id) else { return self.missing(answer) };
        self.tasks.remove(position);
        self.seq += 1;
        assert_eq!(answer.expect(204).seq(), self.seq);
    }

    fn missing(&self, answer: Answer) {
        assert_eq!(answer.expect_no_task().seq(), self.seq);
    }
}

/// Makes one call on both sides and compares.
async fn step(user: &User, model: &mut Model, ids: &[String], call: &Call) {
    match call {
        Call::Create { slot, fields } => {
            let id = slot.map(|slot| ids[slot].as_str());
            let mut body = fields.body();
            if let Some(id) = id {
                body.insert("id".into(), json!(id));
            }
            model.create(user.post(&Value::Object(body)).await, &user.subject, id, fields);
        }
        Call::Update { slot, put, fields } => {
            let (id, body) = (&ids[*slot], Value::Object(fields.body()));
            let answer = if *put { user.put(id, &body).await } else { user.patch(id, &body).await };
            model.update(answer, id, fields);
        }
        Call::Complete { slot, completed } => {
            model.complete(user.complete(&ids[*slot], *completed).await, &ids[*slot], *completed);
        }
        Call::Delete { slot } => model.delete(user.delete(&ids[*slot]).await, &ids[*slot]),
        Call::Read { slot } => {
            let answer = user.task(&ids[*slot]).await;
            let Some(position) = model.position(&ids[*slot]) else { return model.missing(answer) };
            assert_eq!((answer.seq(), answer.expect(200).json()), (model.seq, model.tasks[position].clone()));
        }
        Call::List { limit } => {
            let path = limit.map_or("/tasks".to_owned(), |limit| format!("/tasks?limit={limit}"));
            let answer = user.get(&path).await.expect(200);
            let mut expected = model.list();
            expected.truncate(limit.unwrap_or(usize::MAX));
            assert!(keys(&answer.json()).contains(&"count"));
            assert_eq!(answer.json()["tasks"], json!(expected));
            assert_eq!(answer.header("etag"), Some(format!("W/\"{}\"", model.seq).as_str()));
        }
    }
}

async fn any_sequence_of_calls_is_answered_as_the_model_says(store: Store) {
    let server = Server::start(&store);
    let finals = Arc::new(Mutex::new(Vec::new()));
    let handle = Handle::current();
    // proptest is synchronous, and shrinks a failing sequence to a short one: each run has a new user.
    tokio::task::block_in_place(|| {
        let config =
            Config { cases: 40, max_shrink_iters: 300, failure_persistence: None, ..Config::default() };
        let run = TestRunner::new(config).run(&proptest::collection::vec(call(), 1..60), |calls| {
            let user = server.user(&Uuid::new_v4().to_string());
            let ids: Vec<_> = (0..SLOTS).map(|_| Uuid::new_v4().to_string()).collect();
            let mut model = Model::default();
            handle.block_on(async {
                for call in &calls {
                    step(&user, &mut model, &ids, call).await;
                }
                assert_eq!(user.list().await, model.list());
            });
            finals.lock().unwrap().push((user.subject, model));
            Ok(())
        });
        if let Err(error) = run {
            panic!("{error}");
        }
    });
    server.stop();
    // What the store kept is what the model holds.
    let server = Server::start(&store);
    let finals = std::mem::take(&mut *finals.lock().unwrap());
    for (subject, model) in finals {
        let user = server.user(&subject);
        assert_eq!(user.list().await, model.list());
        assert_eq!(user.seq().await, model.seq);
    }
}
