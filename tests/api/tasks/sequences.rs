//! Any sequence of calls by one user gets the answers that a plain list in memory would give.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::model::{Fields, Refusal, Task, Write};
use crate::support::{Answer, Server, Store, User, keys, on_both_stores, timestamp};

on_both_stores!(any_sequence_of_calls_is_answered_as_the_model_says);

/// The ids that calls use; few, so that calls affect the same tasks.
const SLOTS: usize = 4;

/// One call, as a user might make it.
#[derive(Clone, Debug)]
enum Call {
    /// POST, with the slot's id or without one.
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

/// A body with these fields.
fn body(fields: &Fields) -> Map<String, Value> {
    let Fields { title, description, completed } = fields;
    let given = [
        ("title", title.as_ref().map(|title| json!(title))),
        ("description", description.as_ref().map(|description| json!(description))),
        ("completed", completed.map(Value::from)),
    ];
    given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The fields as stored.
fn kept(fields: &Fields) -> Fields {
    Fields { title: fields.title.as_deref().map(|title| title.trim().to_owned()), ..fields.clone() }
}

/// The names of the fields that break a rule, in alphabetical order.
fn bad(fields: &Fields, title_needed: bool) -> Vec<&'static str> {
    let legal = |text: &str, least: usize, most: usize| {
        (least..=most).contains(&text.chars().count()) && !text.contains('\0')
    };
    let mut bad = Vec::new();
    if fields.description.iter().flatten().any(|text| !legal(text, 0, 2000)) {
        bad.push("description");
    }
    if fields.title.as_ref().map_or(title_needed, |text| !legal(text.trim(), 1, 200)) {
        bad.push("title");
    }
    bad
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

fn description() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        3 => Just(None),
        5 => "[ab]?".prop_map(Some),
        1 => Just(Some(" \n".to_owned())),
        1 => Just(Some("用".repeat(2000))),
        1 => Just(Some("用".repeat(2001))),
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

/// The reference: a list of tasks as last seen, oldest first, and a seq. The model that all suites share says
/// what a write does to a task.
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

    /// Compares the answer to a write with the model's, and takes over ids and times.
    fn write(&mut self, answer: Answer, subject: &str, id: Option<&str>, write: &Write) {
        let position = id.and_then(|id| self.position(id));
        let stored = position.map(|position| &self.tasks[position]);
        let answer = match write.apply(stored.and_then(Task::of).as_ref(), self.seq + 1) {
            Ok(Some(task)) => {
                let answer = answer.expect(if stored.is_some() { 200 } else { 201 });
                let mut shown = stored.cloned().unwrap_or_else(|| {
                    json!({"id": id, "user_id": subject, "priority": null, "tags": [], "due_date": null, "position": null})
                });
                shown["title"] = json!(task.title);
                shown["description"] = json!(task.description);
                shown["completed"] = json!(task.completed);
                shown["version"] = json!(task.version);
                let shown = self.dated(answer.json(), shown);
                assert_eq!(answer.header("etag"), Some(&*answer.tag(task.version)));
                self.seq = task.version;
                match position {
                    Some(position) => self.tasks[position] = shown,
                    None => self.tasks.push(shown),
                }
                answer
            }
            Ok(None) => {
                self.tasks.remove(position.unwrap());
                self.seq += 1;
                answer.expect(204)
            }
            Err(Refusal::Same) => {
                let answer = answer.expect(200);
                assert_eq!(Some(&answer.json()), stored);
                answer
            }
            Err(Refusal::Taken) => answer.expect_error(409, "CONFLICT"),
            Err(Refusal::Missing) => answer.expect_no_task(),
            Err(Refusal::Stale) => unreachable!("no call names a version"),
        };
        assert_eq!(answer.seq(), self.seq);
    }

    /// Checks the times of a task just written, and compares the rest of it.
    fn dated(&mut self, task: Value, mut expected: Value) -> Value {
        let (created, updated) = (timestamp(&task["created_at"]), timestamp(&task["updated_at"]));
        assert!(created <= updated && self.newest.is_none_or(|newest| newest < updated), "{task}");
        self.newest = Some(updated);
        expected["updated_at"] = task["updated_at"].clone();
        if expected["created_at"].is_null() {
            assert_eq!(created, updated);
            expected["created_at"] = task["created_at"].clone();
        }
        if expected["id"].is_null() {
            expected["id"] = task["id"].clone();
        }
        // The time of completion stays while the task stays completed.
        if expected["completed"] == false {
            expected["completed_at"] = Value::Null;
        } else if expected["completed_at"].is_null() {
            expected["completed_at"] = task["updated_at"].clone();
        }
        assert_eq!(task, expected);
        task
    }
}

/// Makes one call to both and compares.
async fn step(user: &User, model: &mut Model, ids: &[String], call: &Call) {
    match call {
        Call::Create { slot, fields } => {
            let id = slot.map(|slot| ids[slot].as_str());
            let mut body = body(fields);
            if let Some(id) = id {
                body.insert("id".into(), json!(id));
            }
            let answer = user.post(&Value::Object(body)).await;
            let bad = bad(fields, true);
            if !bad.is_empty() {
                assert_eq!(answer.expect_error(422, "VALIDATION_ERROR").bad_fields(), bad);
                return;
            }
            let Fields { title, description, completed } = kept(fields);
            let (title, description) = (title.unwrap(), description.unwrap_or_default());
            let write = Write::Create { title, description, completed: completed.unwrap_or(false) };
            model.write(answer, &user.subject, id, &write);
        }
        Call::Update { slot, put, fields } => {
            let (id, body, bad) = (&ids[*slot], Value::Object(body(fields)), bad(fields, false));
            let answer = if *put { user.put(id, &body).await } else { user.patch(id, &body).await };
            if bad.is_empty() && body != json!({}) {
                let write = Write::Update { fields: kept(fields), if_match: None };
                return model.write(answer, &user.subject, Some(id), &write);
            }
            let named = answer.expect_error(422, "VALIDATION_ERROR").bad_fields();
            assert!(bad.is_empty() || named == bad);
        }
        Call::Complete { slot, completed } => {
            let answer = user.complete(&ids[*slot], *completed).await;
            model.write(answer, &user.subject, Some(&ids[*slot]), &Write::Complete(*completed));
        }
        Call::Delete { slot } => {
            let answer = user.delete(&ids[*slot]).await;
            model.write(answer, &user.subject, Some(&ids[*slot]), &Write::Delete { if_match: None });
        }
        Call::Read { slot } => {
            let answer = user.task(&ids[*slot]).await;
            assert_eq!(answer.seq(), model.seq);
            match model.position(&ids[*slot]) {
                Some(position) => assert_eq!(answer.expect(200).json(), model.tasks[position]),
                None => drop(answer.expect_no_task()),
            }
        }
        Call::List { limit } => {
            let path = limit.map_or("/tasks".to_owned(), |limit| format!("/tasks?limit={limit}"));
            let answer = user.get(&path).await.expect(200);
            let mut expected = model.list();
            expected.truncate(limit.unwrap_or(usize::MAX));
            assert!(keys(&answer.json()).contains(&"count"));
            assert_eq!(answer.json()["tasks"], json!(expected));
            assert_eq!(answer.header("etag"), Some(&*answer.list_tag(model.seq)));
        }
    }
}

async fn any_sequence_of_calls_is_answered_as_the_model_says(store: Store) {
    let server = Server::start(&store);
    let finals = Arc::new(Mutex::new(Vec::new()));
    let handle = Handle::current();
    // proptest is synchronous and shrinks a failing sequence to a short one: each run has a new user.
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
    // The store has what the model has.
    let server = Server::start(&store);
    let finals = std::mem::take(&mut *finals.lock().unwrap());
    for (subject, model) in finals {
        let user = server.user(&subject);
        assert_eq!(user.list().await, model.list());
        assert_eq!(user.seq().await, model.seq);
    }
}
