//! Every method, every condition, every state: what RFC 9110, sections 13.1 and 13.2, makes of it.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Server, Store, User, on_both_stores, send};

on_both_stores!(
    every_method_obeys_every_condition_in_every_state,
    a_write_that_was_carried_out_is_answered_again_whatever_its_condition_says_now,
);

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// With a strong tag.
    Task,
    /// With a weak tag.
    List,
    /// It exists, and has no tag.
    Untagged,
    /// It does not exist.
    Missing,
}

/// A tag in a header, and how it relates to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Absent,
    Star,
    Current,
    CurrentAsWeak,
    BareVersion,
    OtherVersion,
    OtherUsers,
    Junk,
    EmptyList,
    /// A list in which the current tag is the last one.
    Among,
}

const ALL: [Given; 10] = [
    Given::Absent,
    Given::Star,
    Given::Current,
    Given::CurrentAsWeak,
    Given::BareVersion,
    Given::OtherVersion,
    Given::OtherUsers,
    Given::Junk,
    Given::EmptyList,
    Given::Among,
];

impl Given {
    /// The header's value, where the current tag is `"<version>-<lineage>"`.
    fn value(self, version: i64, lineage: &str, other_lineage: &str) -> Option<String> {
        Some(match self {
            Self::Absent => return None,
            Self::Star => "*".to_owned(),
            Self::Current => format!("\"{version}-{lineage}\""),
            Self::CurrentAsWeak => format!("W/\"{version}-{lineage}\""),
            Self::BareVersion => format!("\"{version}\""),
            Self::OtherVersion => format!("\"{}-{lineage}\"", version + 1),
            Self::OtherUsers => format!("\"{version}-{other_lineage}\""),
            Self::Junk => format!("{version}-{lineage}"),
            Self::EmptyList => String::new(),
            Self::Among => format!("\"x\", W/\"0-{lineage}\",\"{version}-{lineage}\""),
        })
    }

    /// Whether `If-Match` holds: strong comparison, and a task's bare version.
    fn is_matched(self, kind: Kind) -> bool {
        match self {
            Self::Absent | Self::Star => true,
            Self::Current | Self::BareVersion | Self::Among => kind == Kind::Task,
            _ => false,
        }
    }

    /// Whether `If-None-Match` names what is there: weak comparison, whole tags.
    fn is_named(self, kind: Kind) -> bool {
        match self {
            Self::Star => true,
            Self::Current | Self::CurrentAsWeak | Self::Among => matches!(kind, Kind::Task | Kind::List),
            _ => false,
        }
    }
}

/// The status, in the order of section 13.2.2; `success` is the one without conditions.
fn expected(method: &Method, kind: Kind, if_match: Given, if_none_match: Given, success: u16) -> u16 {
    let is_read = *method == Method::GET || *method == Method::HEAD;
    if kind == Kind::Missing {
        // Section 13.2.1: conditions are ignored where the answer would be no success anyway.
        404
    } else if !if_match.is_matched(kind) {
        412
    } else if if_none_match.is_named(kind) {
        if is_read { 304 } else { 412 }
    } else {
        success
    }
}

/// A request of the table: method, path, body, what the path stands for, the status without conditions.
type Row = (Method, String, Option<Value>, Kind, u16);

fn rows(task: &str) -> Vec<Row> {
    let (one, none) = (format!("/tasks/{task}"), format!("/tasks/{}", Uuid::new_v4()));
    let title = json!({"title": "b"});
    let mut rows = Vec::new();
    for (path, kind) in [(&one, Kind::Task), (&none, Kind::Missing)] {
        for method in [Method::GET, Method::HEAD] {
            rows.push((method, path.clone(), None, kind, 200));
        }
        for method in [Method::PUT, Method::PATCH] {
            rows.push((method, path.clone(), Some(title.clone()), kind, 200));
        }
        rows.push((Method::PATCH, format!("{path}/complete"), None, kind, 200));
        rows.push((Method::DELETE, path.clone(), None, kind, 204));
    }
    for method in [Method::GET, Method::HEAD] {
        for path in ["/tasks", "/tasks?completed=false&sort=title", "/tasks?limit=1", "/changes?since=0"] {
            rows.push((method.clone(), path.to_owned(), None, Kind::List, 200));
        }
        for path in ["/summary", "/export", "/test"] {
            rows.push((method.clone(), path.to_owned(), None, Kind::Untagged, 200));
        }
    }
    rows.push((Method::GET, "/events".to_owned(), None, Kind::Untagged, 200));
    // What is created is a task, but what the path names is the list, which always exists.
    rows.push((Method::POST, "/tasks".to_owned(), Some(title), Kind::List, 201));
    let batch = json!({"operations": [{"op": "create", "task": {"title": "c"}}]});
    rows.push((Method::POST, "/batch".to_owned(), Some(batch), Kind::Untagged, 200));
    rows.push((Method::POST, "/import".to_owned(), Some(json!({"tasks": []})), Kind::Untagged, 200));
    rows.push((Method::POST, "/events/ticket".to_owned(), None, Kind::Untagged, 201));
    rows.push((Method::DELETE, String::new(), None, Kind::Untagged, 204));
    rows
}

/// The task of the table as it is now, made if it is gone; and the seq.
async fn state(user: &User, task: &str) -> (Value, i64) {
    let read = user.task(task).await;
    if read.status == 200 {
        return (read.json(), read.seq());
    }
    let made = user.post(&json!({"id": task, "title": "a"})).await.expect(201);
    (made.json(), made.seq())
}

async fn asked(user: &User, row: &Row, headers: &[(&str, Option<String>)]) -> Answer {
    let (method, path, body, ..) = row;
    let mut request = user.request(method.clone(), path).header("x-confirm-delete", &user.subject);
    for (name, value) in headers {
        if let Some(value) = value {
            request = request.header(*name, value);
        }
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    if path != "/events" {
        return send(request).await;
    }
    // A stream does not end.
    let mut response = request.send().await.expect("no answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body =
        if status == 200 { Vec::new() } else { response.chunk().await.unwrap().unwrap_or_default().to_vec() };
    Answer { status, headers, body }
}

async fn every_method_obeys_every_condition_in_every_state(store: Store) {
    let server = Server::start(&store);
    let user = server.user("ann");
    let task = Uuid::new_v4().to_string();
    let (_, first) = state(&user, &task).await;
    assert_eq!(first, 1);
    let lineage = user.get("/tasks").await.lineage().to_owned();
    let other = server.user("bob").get("/tasks").await.lineage().to_owned();
    for row in rows(&task) {
        let (method, path, _, kind, success) = &row;
        let is_read = *method == Method::GET || *method == Method::HEAD;
        for if_match in ALL {
            for if_none_match in ALL {
                // Every pair where there is a strong tag; else each alone, and beside a star.
                let simple = |given: Given| given == Given::Absent || given == Given::Star;
                if *kind != Kind::Task && !simple(if_match) && !simple(if_none_match) {
                    continue;
                }
                let (now, seq) = state(&user, &task).await;
                let version = if *kind == Kind::Task { now["version"].as_i64().unwrap() } else { seq };
                let value = |given: Given| given.value(version, &lineage, &other);
                let headers = [("if-match", value(if_match)), ("if-none-match", value(if_none_match))];
                let answer = asked(&user, &row, &headers).await;
                let case = format!("{method} {path} {headers:?}: {answer:?}");
                assert_eq!(
                    answer.status,
                    expected(method, *kind, if_match, if_none_match, *success),
                    "{case}"
                );
                assert_eq!(answer.lineage(), lineage, "{case}");
                if answer.status == 412 {
                    let details = if *kind == Kind::Task { &now } else { &Value::Null };
                    if *method != Method::HEAD {
                        let refused = answer.expect_error(412, "PRECONDITION_FAILED");
                        assert_eq!(refused.json()["error"]["details"], *details, "{case}");
                    }
                    if !is_read {
                        let after = user.task(&task).await;
                        assert_eq!((after.json(), after.seq()), (now, seq), "{case}");
                    }
                } else if answer.status == 304 {
                    assert!(answer.body.is_empty(), "{case}");
                    let tag = match kind {
                        Kind::Task => Some(answer.tag(version)),
                        Kind::List => Some(answer.list_tag(version)),
                        _ => None,
                    };
                    assert_eq!(answer.header("etag"), tag.as_deref(), "{case}");
                }
            }
        }
    }
    // What belongs to no user has no tag either.
    for path in ["/health", "/ready", "/openapi.json", "/docs"] {
        for (name, value, status) in [
            ("if-match", "*", 200),
            ("if-match", "\"1\"", 412),
            ("if-none-match", "\"1\"", 200),
            ("if-none-match", "*", 304),
        ] {
            let answer = send(server.request(Method::GET, path).header(name, value)).await;
            assert_eq!(answer.status, status, "{path} {name}: {value}");
        }
    }
}

async fn a_write_that_was_carried_out_is_answered_again_whatever_its_condition_says_now(store: Store) {
    let server = Server::start(&store);
    let user = server.user("ann");
    let chosen = Uuid::new_v4().to_string();
    let tag = user.get("/tasks").await.list_tag(1);
    let create = || {
        let create = user.request(Method::POST, "/tasks").header("if-none-match", &tag);
        send(create.json(&json!({"id": chosen, "title": "a"})))
    };
    let made = create().await.expect(201);
    // The list has the tag now; but this create has been carried out (section 13.1.1).
    assert_eq!(create().await.expect(200).json(), made.json());
    let path = format!("/tasks/{chosen}");
    let change = |key: &'static str, tag: String| {
        let change = user.request(Method::PATCH, &path).header("idempotency-key", key);
        send(change.header("if-match", tag).json(&json!({"title": "b"})))
    };
    let changed = change("one", made.tag(1)).await.expect(200);
    let again = change("one", made.tag(1)).await.expect(200);
    assert_eq!((again.json(), again.header("idempotent-replayed")), (changed.json(), Some("true")));
    change("two", made.tag(1)).await.expect_error(412, "PRECONDITION_FAILED");
    change("one", made.tag(2)).await.expect_error(422, "IDEMPOTENCY_KEY_REUSED");
}
