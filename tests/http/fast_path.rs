//! Reads that are answered before routing have the same responses as those that are routed.

use actix_web::test::{TestRequest, init_service};
use tasklane::http;

use crate::harness::{alice, api, bearer, list_tag, request, send, tag};

/// What a client sees of a response, without what differs from request to request.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn request_to(method: &str, path: &str, headers: &[(&'static str, String)]) -> TestRequest {
    headers.iter().fold(request(method, path), |request, header| request.insert_header(header.clone()))
}

#[actix_web::test]
async fn a_read_has_the_same_response_with_and_without_routing() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let seen = async |request: TestRequest| {
        let answer = send(&app, request).await;
        let mut headers: Vec<_> = answer
            .headers
            .iter()
            .filter(|(name, _)| *name != "x-request-id")
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        headers.sort();
        // An error's body has the request's id.
        let body = if answer.status < 400 { answer.body } else { Vec::new() };
        Seen { status: answer.status, headers, body }
    };
    let made = alice("POST", "/api/me/tasks").set_payload(r#"{"title":"one"}"#);
    let made = send(&app, made.insert_header(("content-type", "application/json"))).await.json();
    let task = format!("/api/alice/tasks/{}", made["id"].as_str().unwrap());
    let none = "/api/me/tasks/018f0000-0000-7000-8000-000000000001".to_owned();
    let token = || bearer("alice");
    let origin = ("origin", "http://localhost:3000".to_owned());
    let tagged = |tag: &str| vec![token(), ("if-none-match", tag.to_owned())];
    for (path, headers, status) in [
        ("/api/me/tasks".to_owned(), vec![token()], 200),
        ("/api/alice/tasks".to_owned(), vec![token(), origin], 200),
        ("/api/%61lice/tasks".to_owned(), vec![token()], 200),
        ("/api/tasks".to_owned(), vec![token()], 200),
        (task.replace("/alice", ""), vec![token()], 200),
        ("/api/me/tasks".to_owned(), tagged(&list_tag(1)), 304),
        ("/api/me/tasks".to_owned(), tagged(&list_tag(0)), 200),
        (task.clone(), vec![token()], 200),
        (task.clone(), tagged(&tag(1)), 304),
        (task.clone(), vec![token(), ("if-match", tag(1))], 200),
        (task.clone(), vec![token(), ("if-match", tag(2))], 412),
        ("/api/me/tasks".to_owned(), vec![token(), ("if-match", list_tag(1))], 412),
        (task.replace("alice", "bob"), vec![token()], 401),
        ("/api/bob/tasks".to_owned(), vec![token()], 401),
        ("/api//tasks".to_owned(), vec![token()], 404),
        (none, vec![token()], 404),
        (task, vec![], 401),
    ] {
        let direct = seen(request_to("GET", &path, &headers)).await;
        assert_eq!(direct.status, status, "{path}");
        // With a query, a slash at the end, or HEAD, a request is routed.
        for routed in [format!("{path}?"), format!("{path}/")] {
            assert_eq!(seen(request_to("GET", &routed, &headers)).await, direct, "{routed}");
        }
        let head = seen(request_to("HEAD", &path, &headers)).await;
        assert_eq!((head.status, head.headers), (direct.status, direct.headers), "{path}");
    }
    let counted = api.metrics();
    for line in [
        // Five lists and three tasks, each with three paths.
        r#"route="/api/{user_id}/tasks",method="GET",status="200"} 15"#,
        r#"route="/api/{user_id}/tasks/{id}",method="GET",status="200"} 9"#,
    ] {
        assert!(counted.contains(line), "{line} is missing in:\n{counted}");
    }
}
