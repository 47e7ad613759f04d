//! `If-Match`: a write only into the version its client has seen.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Server, Store, User, id, on_both_stores, send};

on_both_stores!(
    a_write_in_the_version_it_names_goes_through,
    a_write_in_another_version_is_412_with_the_task_as_it_is_and_changes_nothing,
    of_twenty_writers_in_one_version_one_wins,
    who_writes_only_what_it_has_read_loses_no_update,
);

async fn matching(user: &User, method: Method, path: &str, tags: &[&str], body: Option<&Value>) -> Answer {
    let request = user.request(method, path);
    let request = tags.iter().fold(request, |request, tag| request.header("if-match", *tag));
    send(match body {
        Some(body) => request.json(body),
        None => request,
    })
    .await
}

/// Every write that may be conditional: its method, its path below the task's, its body.
fn writes() -> [(Method, &'static str, Option<Value>); 5] {
    [
        (Method::PUT, "", Some(json!({"title": "b"}))),
        (Method::PATCH, "", Some(json!({"title": "c"}))),
        (Method::PATCH, "/complete", None),
        (Method::PATCH, "/complete", Some(json!({"completed": true}))),
        (Method::DELETE, "", None),
    ]
}

async fn a_write_in_the_version_it_names_goes_through(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let forms: [fn(i64) -> Vec<String>; 5] = [
        |version| vec![format!("\"{version}\"")],
        |_| vec!["*".to_owned()],
        |version| vec![format!("\"0\", W/\"7\" ,\"{version}\"")],
        |version| vec!["\"0\"".to_owned(), format!("\"{version}\"")],
        |version| vec![format!("\"x,\\\",\"{version}\"")],
    ];
    for form in forms {
        let task = ann.create("a").await;
        let mut version = task["version"].as_i64().unwrap();
        for (method, below, body) in writes() {
            let path = format!("/tasks/{}{below}", id(&task));
            let tags = form(version);
            let tags: Vec<_> = tags.iter().map(String::as_str).collect();
            let answer = matching(&ann, method.clone(), &path, &tags, body.as_ref()).await;
            version += 1;
            let status = if method == Method::DELETE { 204 } else { 200 };
            assert_eq!((answer.status, answer.seq()), (status, version), "{method} {path} {tags:?}");
            if status == 200 {
                assert_eq!(answer.json()["version"], version);
                assert_eq!(answer.header("etag"), Some(&*format!("\"{version}\"")));
            }
        }
    }
}

async fn a_write_in_another_version_is_412_with_the_task_as_it_is_and_changes_nothing(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let task =
        ann.patch(id(&task), &json!({"tags": ["x"], "due_date": "2026-03-01"})).await.expect(200).json();
    let refused_all = async |ann: &User| {
        for tag in ["\"1\"", "W/\"2\"", "2", "", "\"02\"", "\"3\"", "\"1\", W/\"2\", \"x\""] {
            for (method, below, body) in writes() {
                let path = format!("/tasks/{}{below}", id(&task));
                let refused = matching(ann, method.clone(), &path, &[tag], body.as_ref()).await;
                let refused = refused.expect_error(412, "PRECONDITION_FAILED");
                assert_eq!(refused.json()["error"]["details"], task, "{method} {path} {tag}");
                assert_eq!(refused.seq(), 2, "{method} {path} {tag}");
            }
        }
        assert_eq!((ann.list().await, ann.seq().await), (vec![task.clone()], 2));
    };
    refused_all(&ann).await;
    // A body that is wrong is told first; what is not there is 404, whatever the condition.
    let path = format!("/tasks/{}", id(&task));
    let wrong = matching(&ann, Method::PUT, &path, &["\"1\""], Some(&json!({"title": ""}))).await;
    wrong.expect_error(422, "VALIDATION_ERROR");
    for (method, below, body) in writes() {
        let path = format!("/tasks/{}{below}", Uuid::new_v4());
        matching(&ann, method, &path, &["*"], body.as_ref()).await.expect_no_task();
    }
    server.stop();
    let server = Server::start(&store);
    refused_all(&server.user("ann")).await;
}

async fn of_twenty_writers_in_one_version_one_wins(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let path = format!("/tasks/{}", id(&task));
    for version in 1..=5_i64 {
        let tag = format!("\"{version}\"");
        let (ann, path, tag) = (&ann, &path, &tag);
        let writers = (0..20).map(|writer| async move {
            let body = json!({"title": format!("{version} {writer}")});
            matching(ann, Method::PATCH, path, &[tag], Some(&body)).await
        });
        let (won, lost): (Vec<_>, Vec<_>) =
            join_all(writers).await.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(won.len(), 1, "version {version}");
        for answer in lost {
            assert_eq!(
                answer.expect_error(412, "PRECONDITION_FAILED").json()["error"]["details"],
                won[0].json()
            );
        }
    }
    assert_eq!(ann.seq().await, 6);
}

async fn who_writes_only_what_it_has_read_loses_no_update(store: Store) {
    const WRITERS: usize = 6;
    const EACH: usize = 8;
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.post(&json!({"title": "a", "description": "0"})).await.expect(201).json();
    let path = format!("/tasks/{}", id(&task));
    let (ann, path) = (&ann, &path);
    let writers = (0..WRITERS).map(|_| async move {
        let mut left = EACH;
        for _ in 0..10_000 {
            let read = ann.get(path).await.expect(200);
            let count: usize = read.json()["description"].as_str().unwrap().parse().unwrap();
            let body = json!({"description": (count + 1).to_string()});
            let tag = read.header("etag").unwrap();
            match matching(ann, Method::PUT, path, &[tag], Some(&body)).await.status {
                200 => left -= 1,
                412 => {}
                status => panic!("{status}"),
            }
            if left == 0 {
                return;
            }
        }
        panic!("another one always was faster");
    });
    join_all(writers).await;
    assert_eq!(ann.get(path).await.json()["description"], (WRITERS * EACH).to_string());
}
