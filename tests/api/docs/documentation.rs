//! The documentation the binary serves: complete, in agreement with the routes, and usable offline.

use std::collections::HashSet;

use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::support::{Answer, Server, Store, command, id, keys, on_both_stores, send};

on_both_stores!(
    the_api_description_names_every_call,
    the_api_descriptions_references_resolve,
    an_answer_has_the_described_fields,
    the_docs_page_works_without_a_network,
    the_redoc_page_works_without_a_network,
    the_command_line_prints_the_same_description,
);

const CALLS: [(&str, &str); 12] = [
    ("/health", "get"),
    ("/ready", "get"),
    ("/api/{user_id}/test", "get"),
    ("/api/{user_id}/tasks", "get"),
    ("/api/{user_id}/tasks", "post"),
    ("/api/{user_id}/tasks/{id}", "get"),
    ("/api/{user_id}/tasks/{id}", "put"),
    ("/api/{user_id}/tasks/{id}", "patch"),
    ("/api/{user_id}/tasks/{id}", "delete"),
    ("/api/{user_id}/tasks/{id}/complete", "patch"),
    ("/metrics", "get"),
    ("/openapi.json", "get"),
];

/// The last two of [`CALLS`] need not be described.
const DESCRIBED: usize = 10;

async fn description(server: &Server) -> Value {
    let answer = server.get("/openapi.json").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json()
}

/// A path without the names of its parameters, which the contract does not fix.
fn shape(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

async fn the_api_description_names_every_call(store: Store) {
    let server = Server::start(&store);
    let api = description(&server).await;
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1."), "{}", api["openapi"]);
    assert_eq!(api["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut ids = HashSet::new();
    for (path, method) in &CALLS[..DESCRIBED] {
        let paths = api["paths"].as_object().unwrap();
        let (_, item) = paths
            .iter()
            .find(|(key, _)| shape(key) == shape(path))
            .unwrap_or_else(|| panic!("{path} is not described, only {:?}", paths.keys()));
        let call = &item[*method];
        let id = call["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} is not described"));
        assert!(ids.insert(id.to_owned()), "{id} occurs twice");
        let mut statuses = keys(&call["responses"]);
        statuses.retain(|status| status.starts_with('2'));
        assert!(!statuses.is_empty(), "{method} {path} has no success");
        if path.starts_with("/api/") {
            assert!(keys(&call["responses"]).contains(&"401"), "{method} {path} does not document 401");
            let security = if call["security"].is_null() { &api["security"] } else { &call["security"] };
            assert!(
                security.as_array().is_some_and(|list| !list.is_empty()),
                "{method} {path} needs a token"
            );
        }
    }
    let schemes = api["components"]["securitySchemes"].as_object().unwrap();
    assert!(
        schemes.values().any(|scheme| scheme["type"] == "http" && scheme["scheme"] == "bearer"),
        "{schemes:?}"
    );
}

async fn the_api_descriptions_references_resolve(store: Store) {
    let server = Server::start(&store);
    let api = description(&server).await;
    let mut found = Vec::new();
    collect_references(&api, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} is outside"));
        assert!(api.pointer(pointer).is_some(), "{reference} does not resolve");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                found.push(reference.clone());
            }
            object.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(array) => array.iter().for_each(|value| collect_references(value, found)),
        _ => {}
    }
}

async fn an_answer_has_the_described_fields(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let error = ann.get("/tasks/none").await.expect_no_task().json();
    let mut described = Vec::new();
    collect_properties(&description(&server).await["components"]["schemas"], &mut described);
    for (what, value) in [("task", &task), ("error", &error), ("error's core", &error["error"])] {
        let fields: HashSet<String> = keys(value).into_iter().map(str::to_owned).collect();
        assert!(described.contains(&fields), "no schema has exactly the fields of a {what}: {fields:?}");
    }
    assert_eq!(ann.task(id(&task)).await.expect(200).json(), task);
}

/// The fields of every described object, nested ones included.
fn collect_properties(value: &Value, found: &mut Vec<HashSet<String>>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                found.push(properties.keys().cloned().collect());
            }
            object.values().for_each(|value| collect_properties(value, found));
        }
        Value::Array(array) => array.iter().for_each(|value| collect_properties(value, found)),
        _ => {}
    }
}

async fn the_docs_page_works_without_a_network(store: Store) {
    let server = Server::start(&store);
    let scripts = check_page(&server, "/docs").await;
    assert!(scripts.contains("SwaggerUIBundle"), "this is not Swagger UI");
    assert!(scripts.contains("/openapi.json"), "it does not show this API");
}

async fn the_redoc_page_works_without_a_network(store: Store) {
    let server = Server::start(&store);
    let scripts = check_page(&server, "/redoc").await;
    assert!(scripts.to_lowercase().contains("redoc"), "this is not Redoc");
    assert!(scripts.contains("openapi"), "it does not show this API");
}

/// Fetches a page and everything its tags load, all of which must be on this server. Returns the text of the
/// page and its scripts.
async fn check_page(server: &Server, path: &str) -> String {
    let (url, page) = follow(server, path).await;
    assert!(page.header("content-type").unwrap().starts_with("text/html"), "{path}");
    let html = page.text();
    let mut texts = html.clone();
    for reference in fetched_by_tags(&html) {
        if reference.starts_with("data:") {
            continue;
        }
        let target = url.join(&reference).unwrap();
        assert_eq!(target.origin(), url.origin(), "{path} fetches {reference} from elsewhere");
        let part = send(server.http().get(target)).await;
        assert_eq!(part.status, 200, "{path} needs {reference}");
        assert!(!part.body.is_empty(), "{reference} is empty");
        let css = part.header("content-type").is_some_and(|kind| kind.contains("css"));
        assert!(!(css && fetches_from_elsewhere(&part.text())), "{reference} fetches from elsewhere");
        texts.push_str(&part.text());
    }
    assert!(!fetches_from_elsewhere(&styles(&html)), "a style of {path} fetches from elsewhere");
    texts
}

/// GET, with redirects followed within the server.
async fn follow(server: &Server, path: &str) -> (Url, Answer) {
    let mut url = Url::parse(server.origin()).unwrap().join(path).unwrap();
    for _ in 0..3 {
        let answer = send(server.http().request(Method::GET, url.clone())).await;
        if answer.status == 200 {
            return (url, answer);
        }
        assert!((300..400).contains(&answer.status), "{url}: {answer:?}");
        url = url.join(answer.header("location").unwrap()).unwrap();
    }
    panic!("{path} redirects for ever");
}

/// What the page's own tags fetch: `src`, and the `href` of links (not of anchors).
fn fetched_by_tags(html: &str) -> Vec<String> {
    // Text inside a script is not a tag of the page.
    let mut tags = String::new();
    let mut rest = html;
    while let Some(start) = rest.find("<script") {
        let end = start + rest[start..].find('>').unwrap() + 1;
        tags.push_str(&rest[..end]);
        rest = rest[end..].split_once("</script>").map_or("", |(_, rest)| rest);
    }
    tags.push_str(rest);
    let tags = tags.split('<').filter_map(|tag| tag.split_once('>').map(|(tag, _)| tag));
    let fetching = tags.filter(|tag| !tag.starts_with("a ") && !tag.starts_with('!'));
    fetching.flat_map(|tag| ["src", "href"].into_iter().filter_map(|name| attribute(tag, name))).collect()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}="))?;
    let quote = rest.chars().next()?;
    match quote {
        '"' | '\'' => rest[1..].split(quote).next().map(str::to_owned),
        _ => rest.split(|c: char| c.is_whitespace() || c == '/').next().map(str::to_owned),
    }
}

/// The text of a page's `<style>` tags.
fn styles(html: &str) -> String {
    html.split("<style").skip(1).filter_map(|part| part.split("</style>").next()).collect()
}

fn fetches_from_elsewhere(css: &str) -> bool {
    ["url(http", "url(\"http", "url('http", "url(//", "@import"].iter().any(|sign| css.contains(sign))
}

async fn the_command_line_prints_the_same_description(store: Store) {
    let server = Server::start(&store);
    let printed = command::run(store.dir(), &["openapi"], &[]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let printed: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(printed, description(&server).await);
    assert_ne!(printed, json!({}));
}
