//! Every route of the OpenAPI document, by every kind of request that is refused before its handler, and without its
//! user.

use actix_web::test::{TestRequest, init_service};
use serde_json::{Value, json};
use tasklane::http;

use crate::harness::{Answer, alice, api, bearer, request, send};

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The path of every route, with the user `me`, and its methods.
fn routes() -> Vec<(String, Vec<String>)> {
    let document: Value = serde_json::from_str(&http::docs::openapi::document()).unwrap();
    let routes = document["paths"].as_object().unwrap().iter().map(|(pattern, item)| {
        let path = pattern.replace("{user_id}", "me").replace("{id}", "018f0000-0000-7000-8000-000000000001");
        (path, item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect())
    });
    routes.collect()
}

fn with_token(request: TestRequest, token: &str) -> TestRequest {
    match token {
        "none" => request,
        "bad" => request.insert_header(("authorization", "Bearer x")),
        subject => request.insert_header(bearer(subject)),
    }
}

fn same(one: &Answer, other: &Answer, what: &str) {
    let of = |answer: &Answer| {
        let text = String::from_utf8(answer.body.clone()).unwrap();
        let text = text.replace(answer.header("x-request-id"), "");
        // An export says when it was made.
        let text = match text.split_once("\"exported_at\":") {
            Some((before, after)) => format!("{before}{}", after.split_once(',').unwrap().1),
            None => text,
        };
        (answer.status, answer.header("etag").to_owned(), text)
    };
    assert_eq!(of(one), of(other), "{what}");
}

#[actix_web::test]
async fn an_unknown_path_is_404_and_a_wrong_method_405_whoever_asks_and_then_comes_identity() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    for (path, methods) in routes() {
        for token in ["none", "bad", "alice", "bob"] {
            for method in METHODS {
                let path = path.replace("/me", "/alice");
                for unknown in ["/nothing", "//", "/x/y/z"] {
                    let answer =
                        send(&app, with_token(request(method, &format!("{path}{unknown}")), token)).await;
                    // Whatever follows `tasks` is the id of a task.
                    if answer.status != 401 && answer.status != 405 || !path.ends_with("/tasks") {
                        answer.is_error(404, "NOT_FOUND");
                    }
                }
                let takes = methods.iter().any(|taken| taken == method)
                    || method == "HEAD" && methods.iter().any(|m| m == "GET") && !path.ends_with("/events");
                if !takes {
                    let answer = send(&app, with_token(request(method, &path), token)).await;
                    answer.is_error(405, "METHOD_NOT_ALLOWED");
                    let allowed: Vec<_> =
                        answer.header("allow").split(", ").filter(|name| *name != "HEAD").collect();
                    assert_eq!(allowed.len(), methods.len(), "{method} {path}");
                } else if path.starts_with("/api/") && token != "alice" {
                    send(&app, with_token(request(method, &path), token)).await.is_error(401, "UNAUTHORIZED");
                }
            }
        }
    }
    for path in [
        "/",
        "/api",
        "/api/",
        "/api/me",
        "/api/alice/tasksome",
        "/api/me/tasks/x/y",
        "/tasks",
        "/API/me/tasks",
    ] {
        for token in ["none", "bad", "alice", "bob"] {
            let answer = send(&app, with_token(request("GET", path), token)).await;
            // `/api/me` is there, for DELETE; `/` is the page of development.
            let status = if path == "/api/me" { 405 } else { 404 };
            assert!(
                answer.status == status || path == "/" && answer.status == 200,
                "{path} {token}: {}",
                answer.status
            );
        }
    }
}

#[actix_web::test]
async fn every_route_without_its_user_is_the_same_as_with_me() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    send(&app, alice("POST", "/api/tasks").set_json(json!({"title": "a", "tags": ["b"]}))).await;
    let of_users: Vec<_> = routes().into_iter().filter(|(path, _)| path.starts_with("/api/me/")).collect();
    assert!(of_users.len() > 8, "{of_users:?}");
    for (path, methods) in of_users {
        let without = path.replacen("/me", "", 1);
        for query in ["", "/", "?since=0&tag=b&tz=utc&limit=1"] {
            for method in METHODS {
                if without.contains("/events") && (method == "GET" || method == "POST") {
                    continue; // A stream does not end, and tickets differ.
                }
                let ask = async |path: &str| {
                    let request =
                        alice(method, &format!("{path}{query}")).insert_header(("x-confirm-delete", "x"));
                    send(
                        &app,
                        request.insert_header(("idempotency-key", "one")).set_json(json!({"title": ""})),
                    )
                    .await
                };
                same(
                    &ask(&path).await,
                    &ask(&without).await,
                    &format!("{method} {without}{query} {methods:?}"),
                );
            }
        }
    }
    let created = send(&app, alice("POST", "/api/tasks").set_json(json!({"title": "b"}))).await;
    let task = send(&app, alice("GET", created.header("location"))).await;
    assert_eq!(task.json()["title"], "b");
    let page = send(&app, alice("GET", "/api/tasks?limit=1")).await;
    let next = page.header("link").trim_start_matches('<').split('>').next().unwrap().to_owned();
    assert_eq!(send(&app, alice("GET", &next)).await.json()["tasks"][0]["title"], "a");
    // They are counted as the same route.
    let text = String::from_utf8(send(&app, request("GET", "/metrics")).await.body).unwrap();
    assert!(
        text.contains("route=\"/api/{user_id}/tasks\"") && !text.contains("route=\"/api/tasks\""),
        "{text}"
    );
}

#[actix_web::test]
async fn a_subject_with_the_name_of_a_route_is_reached_by_me_alone() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let names = ["tasks", "batch", "changes", "summary", "events", "export", "import", "test"];
    for subject in names {
        let ask = |method: &str, path: &str| request(method, path).insert_header(bearer(subject));
        let made = send(&app, ask("POST", "/api/me/tasks").set_json(json!({"title": subject}))).await;
        assert_eq!((made.status, &made.json()["user_id"]), (201, &json!(subject)));
        for spelled in [subject.to_owned(), format!("%{:02x}{}", subject.as_bytes()[0], &subject[1..])] {
            for path in ["tasks", "export", "summary"] {
                let answer = send(&app, ask("GET", &format!("/api/{spelled}/{path}"))).await;
                answer.is_error(404, "NOT_FOUND");
            }
            let erased =
                ask("DELETE", &format!("/api/{spelled}")).insert_header(("x-confirm-delete", subject));
            send(&app, erased).await.is_error(405, "METHOD_NOT_ALLOWED");
        }
        assert_eq!(send(&app, ask("GET", "/api/tasks")).await.json()["total"], 1);
    }
}
