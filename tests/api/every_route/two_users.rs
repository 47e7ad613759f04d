//! No validator, cursor or token of one user is another's: every readable URL of the document, which is made from the
//! table of routes, with two users whose seqs and ids are equal.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Server, Store, User, on_both_stores, send};

on_both_stores!(no_validator_of_one_user_holds_for_another);

/// Further forms of URLs of the document, which are different ways through the code.
const FORMS: [(&str, &[&str]); 3] = [
    (
        "/tasks",
        &[
            "limit=1",
            "limit=500",
            "completed=false",
            "search=a",
            "sort=title",
            "updated_since_seq=0",
            "status=all",
            "x=1",
        ],
    ),
    ("/changes", &["since=1", "since=0&limit=1"]),
    ("/summary", &["tz=Europe/Berlin"]),
];

/// The paths below the user of everything that can be read, with a value for each parameter that must be given.
fn readable(document: &Value, task: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (pattern, item) in document["paths"].as_object().unwrap() {
        let (Some(path), Some(get)) = (pattern.strip_prefix("/api/{user_id}"), item.get("get")) else {
            continue;
        };
        let path = path.replace("{id}", task);
        assert!(!path.contains('{'), "how is {pattern} filled in?");
        let parameters = get["parameters"].as_array().unwrap();
        let required = parameters.iter().filter(|one| one["in"] == "query" && one["required"] == true);
        let query: Vec<_> = required
            .map(|one| match one["name"].as_str().unwrap() {
                "since" => "since=0".to_owned(),
                name => format!(
                    "{name}={}",
                    one["example"].as_str().unwrap_or_else(|| panic!("{one} has no example"))
                ),
            })
            .collect();
        let forms = FORMS.iter().filter(|(named, _)| *named == path).flat_map(|(_, forms)| forms.iter());
        for query in forms.map(|form| (*form).to_owned()).chain([query.join("&")]) {
            paths.push(if query.is_empty() { path.clone() } else { format!("{path}?{query}") });
        }
    }
    assert!(paths.len() > 12, "{paths:?}");
    paths
}

/// Reads a path as `/api/me`, so that both users have one URL. Of a stream, only the head.
async fn read(server: &Server, user: &User, method: Method, path: &str, tags: &[&str]) -> Answer {
    let request = server.request(method, &format!("/api/me{path}")).bearer_auth(&user.token);
    let request = tags.iter().fold(request, |request, tag| request.header("if-none-match", *tag));
    if !path.starts_with("/events") {
        return send(request).await;
    }
    let response = request.send().await.expect("no answer");
    Answer { status: response.status().as_u16(), headers: response.headers().clone(), body: Vec::new() }
}

async fn no_validator_of_one_user_holds_for_another(store: Store) {
    let server = Server::start(&store);
    let document = server.get("/openapi.json").await.json();
    let task = Uuid::new_v4().to_string();
    let users = ["ann", "bob", "b", "me", "Ann"].map(|subject| server.user(subject));
    for user in &users {
        for title in ["a", "b"] {
            let id = if title == "a" { task.clone() } else { Uuid::new_v4().to_string() };
            user.post(&json!({"id": id, "title": title})).await.expect(201);
        }
    }
    let paths = readable(&document, &task);
    let mut seen = BTreeSet::new();
    let mut tags: Vec<Vec<String>> = Vec::new();
    for user in &users {
        let mut own = BTreeSet::new();
        let lineage = read(&server, user, Method::GET, "/tasks", &[]).await.lineage().to_owned();
        assert!((6..=16).contains(&lineage.len()), "{lineage}");
        assert!(seen.insert(lineage.clone()), "two users share {lineage}");
        for path in &paths {
            let answer = read(&server, user, Method::GET, path, &[]).await.expect(200);
            assert_eq!((answer.seq(), answer.lineage()), (2, &*lineage), "{path}");
            if let Some(tag) = answer.header("etag") {
                assert!(tag.ends_with(&format!("-{lineage}\"")), "{path}: {tag}");
                let vary = answer.headers.get_all("vary").iter().map(|line| line.to_str().unwrap());
                let vary = vary.collect::<Vec<_>>().join(", ");
                assert!(vary.contains("Authorization"), "{path}: {vary}");
                assert_eq!(answer.header("cache-control"), Some("private, no-cache"), "{path}");
                own.insert(tag.to_owned());
            }
        }
        tags.push(own.into_iter().collect());
    }
    for (index, user) in users.iter().enumerate() {
        // Everybody else's tags, and the numbers alone.
        let others = tags.iter().enumerate().filter(|(other, _)| *other != index);
        let mut others: Vec<&str> = others.flat_map(|(_, tags)| tags.iter().map(String::as_str)).collect();
        others.extend(["\"1\"", "\"2\"", "W/\"1\"", "W/\"2\""]);
        assert!(others.len() > 8);
        for path in &paths {
            for method in [Method::GET, Method::HEAD] {
                if path.starts_with("/events") && method == Method::HEAD {
                    continue;
                }
                let answer = read(&server, user, method.clone(), path, &others).await;
                assert_eq!(answer.status, 200, "{method} {path} of {}: {answer:?}", user.subject);
                let own = answer.header("etag");
                assert!(own.is_none_or(|own| !others.contains(&own)), "{path}: {own:?}");
            }
        }
    }
    // What one user was given to go on from is of no use to another.
    let [ann, bob, ..] = &users;
    let page = read(&server, ann, Method::GET, "/tasks?limit=1", &[]).await;
    let (body, at) = (page.json(), format!("2-{}", page.lineage()));
    let cursor = body["next_cursor"].as_str().unwrap();
    let link = page.header("link").unwrap().to_owned();
    assert!(link.contains(cursor), "{link}");
    for path in [
        format!("/tasks?limit=1&cursor={cursor}"),
        format!("/tasks?updated_since_seq={at}"),
        format!("/changes?since={at}"),
    ] {
        read(&server, ann, Method::GET, &path, &[]).await.expect(200);
        let refused = read(&server, bob, Method::GET, &path, &[]).await.expect_error(410, "RESYNC_REQUIRED");
        assert_eq!(refused.seq(), 2, "{path}");
    }
    for path in paths.iter().filter(|path| !path.starts_with("/events") && !path.starts_with("/test")) {
        for (user, status) in [(ann, 200), (bob, 410)] {
            let request = server.request(Method::GET, &format!("/api/me{path}")).bearer_auth(&user.token);
            let answer = send(request.header("x-tasklane-min-seq", &at)).await;
            assert_eq!(answer.status, status, "{path} {answer:?}");
        }
    }
}
