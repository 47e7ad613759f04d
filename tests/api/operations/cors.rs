//! Cross-origin calls: only listed origins, with credentials, and with the headers they need to read.

use reqwest::header::{CONTENT_TYPE, ORIGIN};
use reqwest::{Method, RequestBuilder};

use crate::support::{Answer, Server, Store, on_both_stores, send};

on_both_stores!(
    a_listed_origin_may_read_answers_with_credentials,
    an_unlisted_origin_is_not_named,
    errors_can_be_read_by_a_listed_origin_too,
    a_preflight_needs_no_token_and_allows_every_method,
    a_preflight_is_granted_every_header_that_is_one,
    a_preflight_of_an_unlisted_origin_allows_nothing,
    the_list_of_origins_is_configured,
);

const LISTED: &str = "http://localhost:3000";
const UNLISTED: [&str; 6] = [
    "http://localhost:3001",
    "https://localhost:3000",
    "http://localhost:3000.evil.example",
    "http://evil.example",
    "http://LOCALHOST:3000/",
    "null",
];

fn items(answer: &Answer, header: &str) -> Vec<String> {
    let values = answer.headers.get_all(header).iter();
    let mut items: Vec<_> = values
        .flat_map(|value| value.to_str().unwrap().split(','))
        .map(|item| item.trim().to_ascii_lowercase())
        .collect();
    items.sort();
    items
}

#[track_caller]
fn assert_readable(answer: &Answer, origin: &str) {
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"), "{answer:?}");
}

#[track_caller]
fn assert_unreadable(answer: &Answer) {
    for header in ["access-control-allow-origin", "access-control-allow-credentials"] {
        assert_eq!(answer.header(header), None, "{answer:?}");
    }
}

fn preflight(server: &Server, origin: &str, method: &str) -> RequestBuilder {
    server
        .request(Method::OPTIONS, "/api/ann/tasks/x")
        .header(ORIGIN, origin)
        .header("Access-Control-Request-Method", method)
        .header("Access-Control-Request-Headers", "authorization, content-type, x-request-id")
}

async fn a_listed_origin_may_read_answers_with_credentials(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let answer = send(ann.request(Method::GET, "/tasks").header(ORIGIN, LISTED)).await.expect(200);
    assert_readable(&answer, LISTED);
    let exposed = items(&answer, "access-control-expose-headers");
    for header in ["etag", "x-tasklane-seq", "x-tasklane-lineage", "x-request-id"] {
        assert!(exposed.iter().any(|name| name == header), "{header} is not in {exposed:?}");
    }
    let create =
        ann.request(Method::POST, "/tasks").header(ORIGIN, LISTED).header(CONTENT_TYPE, "application/json");
    assert_readable(&send(create.body(r#"{"title":"a"}"#)).await.expect(201), LISTED);
}

async fn an_unlisted_origin_is_not_named(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for origin in UNLISTED {
        for path in ["/tasks", "/tasks/none"] {
            assert_unreadable(&send(ann.request(Method::GET, path).header(ORIGIN, origin)).await);
        }
    }
    assert_unreadable(&ann.get("/tasks").await.expect(200));
}

async fn errors_can_be_read_by_a_listed_origin_too(store: Store) {
    let server = Server::with(&store, &[("MAX_BODY_BYTES", "1024")]);
    let ann = server.user("ann");
    let post = |body: String| {
        ann.request(Method::POST, "/tasks").header(CONTENT_TYPE, "application/json").body(body)
    };
    let cases = [
        (401, server.request(Method::GET, "/api/ann/tasks")),
        (404, ann.request(Method::GET, "/tasks/none")),
        (404, server.request(Method::GET, "/nothing")),
        (405, ann.request(Method::DELETE, "/tasks")),
        (413, post("x".repeat(1025))),
        (415, ann.request(Method::POST, "/tasks").header(CONTENT_TYPE, "image/png").body("x")),
        (422, post("{".to_owned())),
    ];
    for (status, request) in cases {
        let answer = send(request.header(ORIGIN, LISTED)).await.expect(status);
        assert_readable(&answer, LISTED);
    }
}

async fn a_preflight_needs_no_token_and_allows_every_method(store: Store) {
    let server = Server::start(&store);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let answer = send(preflight(&server, LISTED, method)).await;
        assert!(matches!(answer.status, 200 | 204), "{method}: {answer:?}");
        assert_readable(&answer, LISTED);
        let methods = items(&answer, "access-control-allow-methods");
        assert!(methods.iter().any(|name| name.eq_ignore_ascii_case(method)), "{method}: {methods:?}");
        let headers = items(&answer, "access-control-allow-headers");
        for header in ["authorization", "content-type", "x-request-id"] {
            assert!(headers.iter().any(|name| name == header), "{header} is not in {headers:?}");
        }
    }
}

async fn a_preflight_is_granted_every_header_that_is_one(store: Store) {
    let server = Server::start(&store);
    let ask = async |headers: &str| {
        let request = server.request(Method::OPTIONS, "/api/me/tasks").header(ORIGIN, LISTED);
        let request = request.header("Access-Control-Request-Method", "POST");
        send(request.header("Access-Control-Request-Headers", headers)).await
    };
    let many = (0..200).map(|number| format!("x-header-{number}")).collect::<Vec<_>>().join(",");
    for headers in
        ["baggage", "sentry-trace,baggage", "X-Requested-With, authorization", "a!#$%&'*+.^`|~9", &many]
    {
        let answer = ask(headers).await.expect(200);
        assert_readable(&answer, LISTED);
        assert_eq!(answer.header("access-control-allow-headers"), Some(headers));
    }
    for headers in ["a b", "a:b", "a;q=1", "(a)", "é", "\"a\"", &many.repeat(10)] {
        let answer = ask(headers).await;
        assert_eq!(answer.status, 405, "{headers}");
        assert_unreadable(&answer);
    }
}

async fn a_preflight_of_an_unlisted_origin_allows_nothing(store: Store) {
    let server = Server::start(&store);
    for origin in UNLISTED {
        let answer = send(preflight(&server, origin, "DELETE")).await;
        assert!(answer.status < 500, "{answer:?}");
        assert_unreadable(&answer);
    }
}

async fn the_list_of_origins_is_configured(store: Store) {
    let listed = ["https://app.example", "http://127.0.0.1:5173"];
    let server = Server::with(&store, &[("ALLOWED_ORIGINS", "https://app.example, http://127.0.0.1:5173")]);
    let ann = server.user("ann");
    for origin in listed {
        let answer = send(ann.request(Method::GET, "/tasks").header(ORIGIN, origin)).await.expect(200);
        assert_readable(&answer, origin);
        assert_readable(&send(preflight(&server, origin, "PATCH")).await, origin);
    }
    for origin in [LISTED, "http://app.example", "https://app.example:444"] {
        let answer = send(ann.request(Method::GET, "/tasks").header(ORIGIN, origin)).await.expect(200);
        assert_unreadable(&answer);
    }
}
