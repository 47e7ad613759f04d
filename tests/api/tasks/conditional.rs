//! `If-None-Match` and `If-Match`: a read of an unchanged task or list is a 304, a write to another version a
//! 412.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Server, Store, User, id, on_both_stores, send};

on_both_stores!(
    an_unchanged_task_is_304_for_every_header_that_names_its_tag,
    an_unchanged_list_is_304_whatever_its_query,
    every_change_makes_every_tag_stale_and_a_refusal_makes_none_stale,
    a_304_never_hides_a_change,
    a_write_that_names_the_current_version_succeeds,
    a_write_that_names_another_version_is_412_with_the_current_task_and_changes_nothing,
    of_twenty_writers_that_name_one_version_one_wins,
    writers_that_name_the_version_they_read_lose_no_update,
);

/// Lists of every kind: the tag of each is the seq.
const LISTS: [&str; 14] = [
    "/tasks",
    "/tasks?completed=false",
    "/tasks?status=completed",
    "/tasks?priority=high",
    "/tasks?tag=x&tag=y",
    "/tasks?due_before=2030-01-01&due_after=2020-01-01",
    "/tasks?updated_since_seq=1",
    "/tasks?search=nothing",
    "/tasks?sort=-title",
    "/tasks?limit=1",
    "/tasks?limit=500&status=all&unknown=1",
    "/tasks/",
    "/changes?since=0",
    "/changes?since=1&limit=1",
];

async fn conditional(user: &User, method: Method, path: &str, tags: &[&str]) -> Answer {
    let request = user.request(method, path);
    send(tags.iter().fold(request, |request, tag| request.header("if-none-match", *tag))).await
}

/// Checks a 304: no body, the tag, the seq.
#[track_caller]
fn unmodified(answer: &Answer, tag: &str, seq: i64) {
    assert_eq!((answer.status, answer.header("etag"), answer.seq()), (304, Some(tag), seq), "{answer:?}");
    assert!(answer.body.is_empty() && answer.header("content-type").is_none(), "{answer:?}");
}

async fn an_unchanged_task_is_304_for_every_header_that_names_its_tag(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    ann.create("b").await;
    let path = format!("/tasks/{}", id(&task));
    let read = ann.get(&path).await.expect(200);
    let (tag, lineage) = (&*read.tag(1), read.lineage());
    let good: [&[&str]; 9] = [
        &[tag],
        &[&format!("W/{tag}")],
        &["*"],
        &[" * "],
        &[&format!("\"0\", {tag}")],
        &[&format!("\"0\",W/{tag},\"7\"")],
        &[&format!("\"a,b\" , {tag}")],
        &[&format!(", {tag} ,")],
        &["\"0\"", tag],
    ];
    for tags in good {
        for method in [Method::GET, Method::HEAD] {
            unmodified(&conditional(&ann, method, &path, tags).await, tag, 2);
        }
    }
    let others =
        ["1", "\"01", "\"11", "w/\"1", "\"2", "W/\"2", "'1"].map(|start| format!("{start}-{lineage}\""));
    let longer = format!("\"1-{lineage}x\"");
    let more = ["**", "", "\"1\"", "W/\"1\"", "\"1-\"", &tag[..tag.len() - 1], &longer];
    for other in others.iter().map(String::as_str).chain(more) {
        let whole = conditional(&ann, Method::GET, &path, &[other]).await.expect(200);
        assert_eq!((whole.header("etag"), whole.json()), (Some(tag), task.clone()), "{other}");
    }
    // A missing task is never a 304.
    let missing = format!("/tasks/{}", Uuid::new_v4());
    conditional(&ann, Method::GET, &missing, &["*"]).await.expect_no_task();
    // The tag is the same after a restart: the client's copy stays valid.
    server.stop();
    let server = Server::start(&store);
    unmodified(&conditional(&server.user("ann"), Method::GET, &path, &[tag]).await, tag, 2);
}

async fn an_unchanged_list_is_304_whatever_its_query(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let empty = ann.get("/tasks").await;
    for path in LISTS.iter().filter(|path| !path.contains("since=1")) {
        let tag = empty.list_tag(0);
        unmodified(&conditional(&ann, Method::GET, path, &[&tag]).await, &tag, 0);
    }
    let [one, two, three] = [1, 2, 3].map(|seq| empty.list_tag(seq));
    let strong = empty.tag(2);
    ann.create("a").await;
    ann.create("b").await;
    for path in LISTS {
        let whole = ann.get(path).await.expect(200);
        assert_eq!((whole.header("etag"), whole.seq()), (Some(&*two), 2), "{path}");
        for tags in [&[&*two][..], &[&strong], &["*"], &[&format!("{one}, {two}")], &["\"1\"", &strong]] {
            unmodified(&conditional(&ann, Method::GET, path, tags).await, &two, 2);
        }
        for tag in [&*one, &three, "2", "W/\"2\"", "\"2\"", &two.replace("2-", "02-")] {
            let again = conditional(&ann, Method::GET, path, &[tag]).await.expect(200);
            assert_eq!(again.body, whole.body, "{path} {tag}");
        }
        unmodified(&conditional(&ann, Method::HEAD, path, &[&two]).await, &two, 2);
    }
    // An error stays an error, whatever the tag.
    for path in ["/tasks?limit=0", "/tasks?cursor=x", "/changes"] {
        conditional(&ann, Method::GET, path, &["*"]).await.expect_error(422, "VALIDATION_ERROR");
    }
    conditional(&ann, Method::GET, "/changes?since=3", &["*"]).await.expect_error(410, "RESYNC_REQUIRED");
}

async fn every_change_makes_every_tag_stale_and_a_refusal_makes_none_stale(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = id(&ann.create("a").await).to_owned();
    let (path, complete) = (format!("/tasks/{task}"), format!("/tasks/{task}/complete"));
    let imported = json!({"id": Uuid::new_v4(), "title": "i", "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z"});
    let create = json!({"op": "create", "task": {"title": "b"}});
    let steps = [
        (Method::POST, "/tasks", Some(json!({"title": "b"})), 1),
        (Method::POST, "/tasks", Some(json!({"title": ""})), 0),
        (Method::PUT, &path, Some(json!({"title": "a"})), 1),
        (Method::PATCH, &path, Some(json!({"tags": ["x", "y"]})), 1),
        (Method::PATCH, &path, Some(json!({})), 0),
        (Method::PATCH, &complete, None, 1),
        (Method::POST, "/batch", Some(json!({"operations": [create, create, create]})), 3),
        (Method::POST, "/batch", Some(json!({"operations": [create, {"op": "delete", "id": "x"}]})), 0),
        (Method::POST, "/import", Some(json!({"tasks": [imported]})), 1),
        (Method::POST, "/import", Some(json!({"tasks": [imported]})), 0),
        (Method::DELETE, &path, None, 1),
        (Method::DELETE, &path, None, 0),
        (Method::POST, "/events/ticket", None, 0),
        (Method::DELETE, "", None, 0),
    ];
    let mut seq = 1;
    for (method, path, body, raise) in steps {
        let tag = ann.call(method.clone(), path, body.as_ref()).await.list_tag(seq);
        for list in LISTS {
            let answer = conditional(&ann, Method::GET, list, &[&tag]).await;
            let status = if raise > 0 { 200 } else { 304 };
            assert_eq!((answer.status, answer.seq()), (status, seq + raise), "{method} {path}, {list}");
        }
        seq += raise;
    }
    let tag = ann.erase().await.expect(204).list_tag(seq);
    for list in LISTS.iter().filter(|list| list.starts_with("/tasks")) {
        let answer = conditional(&ann, Method::GET, list, &[&tag]).await.expect(200);
        assert_eq!(answer.seq(), seq + 1, "{list}");
    }
}

async fn a_304_never_hides_a_change(store: Store) {
    const WRITES: i64 = 120;
    let server = Server::start(&store);
    let ann = server.user("ann");
    let lineage = ann.get("/tasks").await.lineage().to_owned();
    let acknowledged = Arc::new(AtomicI64::new(0));
    let writer = {
        let (ann, acknowledged) = (ann.clone(), Arc::clone(&acknowledged));
        async move {
            for number in 1..=WRITES {
                let made = ann.post(&json!({"title": format!("{number}")})).await.expect(201);
                assert_eq!(made.seq(), number);
                acknowledged.store(number, Ordering::SeqCst);
            }
        }
    };
    let reader = |path: &'static str| {
        let (ann, acknowledged) = (server.user("ann"), Arc::clone(&acknowledged));
        let lineage = lineage.clone();
        tokio::spawn(async move {
            let (mut seen, mut unchanged, mut changed) = (-1, 0_u32, 0_u32);
            while seen < WRITES {
                let before = acknowledged.load(Ordering::SeqCst);
                let tag = format!("W/\"{seen}-{lineage}\"");
                let answer = conditional(&ann, Method::GET, path, &[&tag]).await;
                // The answer has everything that was acknowledged before the request.
                assert!(answer.seq() >= before, "{path}: {answer:?} hides {before}");
                assert!(answer.seq() >= seen, "{path}: an answer went back from {seen}");
                if answer.status == 304 {
                    unmodified(&answer, &tag, seen);
                    unchanged += 1;
                    continue;
                }
                let seq = answer.seq();
                assert!(seq > seen, "{path}: 304 though {seen} was outdated");
                if path.starts_with("/tasks") {
                    assert_eq!(answer.expect(200).json()["total"], seq, "{path}");
                }
                (seen, changed) = (seq, changed + 1);
            }
            (unchanged, changed)
        })
    };
    let paths = ["/tasks", "/tasks?limit=3", "/tasks?sort=title&completed=false", "/changes?since=0&limit=2"];
    let readers: Vec<_> = paths.into_iter().cycle().take(8).map(reader).collect();
    writer.await;
    let counts: Vec<_> = join_all(readers).await.into_iter().map(Result::unwrap).collect();
    let unchanged: u32 = counts.iter().map(|(unchanged, _)| unchanged).sum();
    assert!(unchanged > 0 && counts.iter().all(|(_, changed)| *changed > 1), "there was no race: {counts:?}");
}

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

async fn a_write_that_names_the_current_version_succeeds(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let lineage = ann.get("/tasks").await.lineage().to_owned();
    let forms: [fn(i64, &str) -> Vec<String>; 7] = [
        |version, lineage| vec![format!("\"{version}-{lineage}\"")],
        |version, lineage| vec![format!("\"0\", W/\"7-{lineage}\" ,\"{version}-{lineage}\"")],
        |version, _| vec![format!("\"{version}\"")],
        |_, _| vec!["*".to_owned()],
        |version, _| vec![format!("\"0\", W/\"7\" ,\"{version}\"")],
        |version, _| vec!["\"0\"".to_owned(), format!("\"{version}\"")],
        |version, _| vec![format!("\"x,\\\",\"{version}\"")],
    ];
    for form in forms {
        let task = ann.create("a").await;
        let mut version = task["version"].as_i64().unwrap();
        for (method, below, body) in writes() {
            let path = format!("/tasks/{}{below}", id(&task));
            let tags = form(version, &lineage);
            let tags: Vec<_> = tags.iter().map(String::as_str).collect();
            let answer = matching(&ann, method.clone(), &path, &tags, body.as_ref()).await;
            version += 1;
            let status = if method == Method::DELETE { 204 } else { 200 };
            assert_eq!((answer.status, answer.seq()), (status, version), "{method} {path} {tags:?}");
            if status == 200 {
                assert_eq!(answer.json()["version"], version);
                assert_eq!(answer.header("etag"), Some(&*answer.tag(version)));
            }
        }
    }
}

async fn a_write_that_names_another_version_is_412_with_the_current_task_and_changes_nothing(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let task =
        ann.patch(id(&task), &json!({"tags": ["x"], "due_date": "2026-03-01"})).await.expect(200).json();
    let ours = ann.get("/tasks").await.tag(2);
    let theirs = server.user("bob").get("/tasks").await.tag(2);
    let refused_all = async |ann: &User| {
        let weak = format!("W/{ours}");
        for tag in [
            &*theirs,
            &weak,
            "\"1\"",
            "W/\"2\"",
            "2",
            "",
            "\"02\"",
            "\"3\"",
            "\"2-\"",
            "\"1\", W/\"2\", \"x\"",
        ] {
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
    // An invalid body is reported first; a missing task is 404, whatever the condition.
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

async fn of_twenty_writers_that_name_one_version_one_wins(store: Store) {
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

async fn writers_that_name_the_version_they_read_lose_no_update(store: Store) {
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
        panic!("another writer was always faster");
    });
    join_all(writers).await;
    assert_eq!(ann.get(path).await.json()["description"], (WRITERS * EACH).to_string());
}
