//! The change feed, the event stream, export, import and the erasure of an account.

use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::test::{TestRequest, init_service};
use serde_json::{Value, json};
use tasklane::http;
use tokio::time::timeout;

use crate::harness::{alice, api, bearer, lineage, list_tag, request, send, signer};

const ID: &str = "6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77";

/// An open stream.
struct Events {
    body: BoxBody,
    pub seq: String,
}

impl Events {
    /// Opens a stream, or returns the status of the error.
    async fn open<S, B>(app: &S, request: TestRequest) -> Result<Self, u16>
    where
        S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
        B: MessageBody + 'static,
    {
        let response = app.call(request.to_request()).await.unwrap().map_into_boxed_body();
        if response.status() != 200 {
            return Err(response.status().as_u16());
        }
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("cache-control"), "no-store, no-transform");
        assert_eq!(header("x-accel-buffering"), "no");
        let seq = header("x-tasklane-seq");
        Ok(Self { body: response.into_body(), seq })
    }

    /// The next chunk; `None` at the end.
    async fn chunk(&mut self) -> Option<String> {
        let next = std::future::poll_fn(|cx| std::pin::Pin::new(&mut self.body).poll_next(cx));
        let chunk = timeout(Duration::from_mins(5), next).await.expect("the stream says nothing");
        chunk.map(|chunk| String::from_utf8(chunk.unwrap().to_vec()).unwrap())
    }

    /// The next chunk's events: name, id and data of each.
    async fn events(&mut self) -> Vec<(String, i64, Value)> {
        let chunk = self.chunk().await.expect("the stream has ended");
        assert!(chunk.ends_with("\n\n"), "{chunk}");
        let line = |event: &str, name: &str| {
            event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
        };
        let events = chunk.split("\n\n").filter(|event| !event.is_empty());
        let read = events.map(|event| {
            let data = serde_json::from_str(&line(event, "data: ")).unwrap();
            let id = line(event, "id: ").replace(&format!("-{}", lineage()), "").parse().unwrap();
            (line(event, "event: "), id, data)
        });
        read.collect()
    }

    async fn ids(&mut self) -> Vec<i64> {
        self.events().await.into_iter().map(|(_, id, _)| id).collect()
    }
}

fn create(title: &str) -> TestRequest {
    alice("POST", "/api/me/tasks").set_json(json!({"title": title}))
}

#[actix_web::test]
async fn the_feed_has_each_task_in_its_latest_form_each_deletion_and_a_seq_to_continue_from() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let first = send(&app, create("a")).await.json()["id"].as_str().unwrap().to_owned();
    let second = send(&app, create("b")).await.json();
    let path = format!("/api/me/tasks/{first}");
    let changed = send(&app, alice("PUT", &path).set_json(json!({"title": "c"}))).await.json();
    send(&app, alice("POST", "/api/me/tasks").set_json(json!({"id": ID, "title": "d"}))).await;
    send(&app, alice("DELETE", &format!("/api/me/tasks/{ID}"))).await;

    let all = send(&app, alice("GET", "/api/me/changes?since=0")).await;
    assert_eq!((all.header("etag"), all.header("x-tasklane-seq")), (&*list_tag(5), "5"));
    let expected = json!({
        "changes": [{"seq": 2, "task": second}, {"seq": 3, "task": changed}, {"seq": 5, "id": ID, "deleted": true}],
        "seq": 5, "lineage": lineage().to_string(), "has_more": false
    });
    assert_eq!(all.json(), expected);
    let page = send(&app, alice("GET", "/api/me/changes?since=2&limit=1")).await.json();
    assert_eq!(
        (&page["changes"][0]["seq"], &page["seq"], &page["has_more"]),
        (&json!(3), &json!(3), &json!(true))
    );
    let none = send(&app, alice("GET", "/api/me/changes?since=5")).await.json();
    assert_eq!(none, json!({"changes": [], "seq": 5, "lineage": lineage().to_string(), "has_more": false}));

    let future =
        send(&app, alice("GET", "/api/me/changes?since=6").insert_header(("if-none-match", "*"))).await;
    future.is_error(410, "RESYNC_REQUIRED");
    assert_eq!(future.header("x-tasklane-seq"), "5");
    for (query, name) in
        [("", "since"), ("since=", "since"), ("since=-1", "since"), ("since=0&limit=501", "limit")]
    {
        let refused = send(&app, alice("GET", &format!("/api/me/changes?{query}"))).await;
        refused.is_error(422, "VALIDATION_ERROR");
        let details = json!([{"field": name, "message": refused.json()["error"]["details"][0]["message"]}]);
        assert_eq!(refused.json()["error"]["details"], details);
    }
}

#[actix_web::test]
async fn a_stream_continues_from_the_clients_seq_and_then_live_without_a_gap() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    for title in ["a", "b"] {
        send(&app, create(title)).await;
    }
    let mut from_now = Events::open(&app, alice("GET", "/api/me/events")).await.unwrap();
    assert_eq!(from_now.seq, "2");
    let mut from_one = Events::open(&app, alice("GET", "/api/alice/events?since=1")).await.unwrap();
    let resumed = alice("GET", "/api/me/events/?since=0").insert_header(("last-event-id", "2"));
    let mut resumed = Events::open(&app, resumed).await.unwrap();
    // Before the first read of the stream: a change after the list was read.
    let third = send(&app, create("c\nd")).await.json();
    let hello = |seq: i64| ("hello".to_owned(), seq, json!({"seq": seq, "lineage": lineage().to_string()}));
    let change = ("change".to_owned(), 3, json!({"seq": 3, "task": third}));
    let first = from_now.chunk().await.unwrap();
    let lineage = lineage();
    let start = format!(
        "retry: 2000\nevent: hello\nid: 2-{lineage}\ndata: {{\"seq\":2,\"lineage\":\"{lineage}\"}}\n\nevent: change\n"
    );
    assert!(first.starts_with(&start), "{first}");
    let events = from_one.events().await;
    assert_eq!((&events[0], events[1].1, &events[2]), (&hello(1), 2, &change));
    assert_eq!(resumed.events().await, [hello(2), change]);
    let path = format!("/api/me/tasks/{}", third["id"].as_str().unwrap());
    send(&app, alice("DELETE", &path)).await;
    let deleted = ("change".to_owned(), 4, json!({"seq": 4, "id": third["id"], "deleted": true}));
    for stream in [&mut from_now, &mut from_one, &mut resumed] {
        assert_eq!(stream.events().await, std::slice::from_ref(&deleted));
    }
    // A client that has read nothing for a while gets each task once, in its latest form.
    send(&app, create("e")).await;
    send(&app, create("f")).await;
    assert_eq!(from_now.ids().await, [5, 6]);
    for wrong in ["/api/me/events?since=x", "/api/me/events?since=-1"] {
        assert_eq!(Events::open(&app, alice("GET", wrong)).await.err(), Some(422), "{wrong}");
    }
    let wrong = alice("GET", "/api/me/events").insert_header(("last-event-id", "x"));
    assert_eq!(Events::open(&app, wrong).await.err(), Some(422));
}

#[actix_web::test]
async fn a_backlog_is_sent_in_chunks_and_completely() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let operations: Vec<_> = (0..250).map(|_| json!({"op": "create", "task": {"title": "x"}})).collect();
    send(&app, alice("POST", "/api/me/batch").set_json(json!({"operations": operations}))).await;
    let mut stream = Events::open(&app, alice("GET", "/api/me/events?since=0")).await.unwrap();
    let mut ids = Vec::new();
    // A chunk has 100 changes, or 16 KiB of tasks.
    for _ in 0..20 {
        if ids.len() <= 250 {
            ids.extend(stream.ids().await);
        }
    }
    assert_eq!(ids, (0..=250).collect::<Vec<_>>());
}

#[actix_web::test]
async fn a_client_whose_changes_are_no_longer_known_gets_resync_and_continues_from_now() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    send(&app, create("a")).await;
    let mut ahead = Events::open(&app, alice("GET", "/api/me/events?since=9")).await.unwrap();
    let mut live = Events::open(&app, alice("GET", "/api/me/events")).await.unwrap();
    let told = ahead.events().await;
    assert_eq!(
        (told[0].1, &told[1]),
        (9, &("resync".to_owned(), 1, json!({"seq": 1, "lineage": lineage().to_string()})))
    );
    live.events().await;
    // All data is erased: the changes before are no longer known.
    let erase = alice("DELETE", "/api/me").insert_header(("x-confirm-delete", "alice"));
    assert_eq!(send(&app, erase).await.status, 204);
    for stream in [&mut ahead, &mut live] {
        assert_eq!(
            stream.events().await,
            [("resync".to_owned(), 2, json!({"seq": 2, "lineage": lineage().to_string()}))]
        );
    }
    send(&app, create("b")).await;
    assert_eq!((ahead.ids().await, live.ids().await), (vec![3], vec![3]));
}

#[actix_web::test]
async fn a_stream_has_heartbeats_and_ends_with_its_token_and_at_a_drain() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let short = signer().issue("alice", None, Duration::from_secs(40));
    let short = request("GET", "/api/me/events").insert_header(("authorization", format!("Bearer {short}")));
    let mut short = Events::open(&app, short).await.unwrap();
    let mut long = Events::open(&app, alice("GET", "/api/me/events")).await.unwrap();
    assert!(short.chunk().await.is_some() && long.chunk().await.is_some());
    tokio::time::pause();
    for _ in 0..2 {
        assert_eq!(short.chunk().await.unwrap(), ": still here\n\n");
    }
    assert_eq!(short.chunk().await, None);
    assert_eq!(long.chunk().await.unwrap(), ": still here\n\n");
    tokio::time::resume();
    api.drain();
    assert_eq!(long.chunk().await, None);
    let mut late = Events::open(&app, alice("GET", "/api/me/events")).await.unwrap();
    assert!(late.chunk().await.is_some());
    assert_eq!(late.chunk().await, None);
}

#[actix_web::test]
async fn streams_are_limited_per_user_and_a_closed_one_makes_room() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let open = || Events::open(&app, alice("GET", "/api/me/events"));
    let mut streams = Vec::new();
    for _ in 0..500 {
        streams.push(open().await.unwrap());
    }
    assert_eq!(open().await.err(), Some(429));
    streams.pop();
    assert!(open().await.is_ok());
}

#[actix_web::test]
async fn a_ticket_opens_one_stream_of_its_user_and_nothing_else() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let ticket = async || {
        let given = send(&app, alice("POST", "/api/me/events/ticket")).await;
        assert_eq!((given.status, given.header("cache-control")), (201, "no-store"));
        assert_eq!(given.json()["expires_in"], 30);
        given.json()["ticket"].as_str().unwrap().to_owned()
    };
    let one = ticket().await;
    let events = format!("/api/alice/events?since=0&ticket={one}");
    for (method, elsewhere) in [("GET", "tasks"), ("GET", "changes"), ("POST", "events/ticket")] {
        let refused = send(&app, request(method, &format!("/api/me/{elsewhere}?ticket={one}"))).await;
        refused.is_error(401, "UNAUTHORIZED");
    }
    send(&app, request("HEAD", &events)).await.is_error(405, "METHOD_NOT_ALLOWED");
    // A token, valid or not, takes precedence, and leaves the ticket unused.
    let wrong = request("GET", &events).insert_header(("authorization", "Basic x"));
    send(&app, wrong).await.is_error(401, "UNAUTHORIZED");
    assert!(Events::open(&app, alice("GET", &events)).await.is_ok());
    let mut stream = Events::open(&app, request("GET", &events)).await.unwrap();
    assert_eq!(stream.ids().await, [0]);
    // Only once.
    let again = send(&app, request("GET", &events)).await;
    again.is_error(401, "UNAUTHORIZED");
    assert_eq!(again.json()["detail"], "Invalid token");
    // Not for another user's path; the attempt uses up the ticket.
    let two = ticket().await;
    for path in ["/api/bob/events", "/api/alice/events"] {
        let refused = send(&app, request("GET", &format!("{path}?ticket={two}"))).await;
        refused.is_error(401, "UNAUTHORIZED");
    }
    // Tickets of the last half minute are limited.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(30)).await;
    tokio::time::resume();
    let mut given = 0;
    while send(&app, alice("POST", "/api/me/events/ticket")).await.status == 201 {
        given += 1;
        assert!(given < 1000);
    }
    assert_eq!(given, 100);
    let bobs = request("POST", "/api/me/events/ticket").insert_header(bearer("bob"));
    assert_eq!(send(&app, bobs).await.status, 201);
}

#[actix_web::test]
async fn an_export_can_be_imported_and_only_versions_differ() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let empty = send(&app, alice("GET", "/api/me/export")).await;
    assert_eq!((&empty.json()["tasks"], &empty.json()["seq"]), (&json!([]), &json!(0)));
    let operations: Vec<_> = (0..300)
        .map(|n| json!({"op": "create", "task": {"title": format!("{n}"), "description": "ä\n".repeat(500),
            "completed": n % 2 == 0, "priority": "low", "tags": ["x"], "due_date": "2026-03-01", "position": "a"}}))
        .collect();
    send(&app, alice("POST", "/api/me/batch").set_json(json!({"operations": operations}))).await;
    let export = send(&app, alice("GET", "/api/me/export")).await;
    assert_eq!((export.header("content-type"), export.header("x-tasklane-seq")), ("application/json", "300"));
    let form = export.json();
    assert_eq!((&form["user_id"], &form["seq"]), (&json!("alice"), &json!(300)));
    assert!(form["exported_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(form["tasks"], send(&app, alice("GET", "/api/me/tasks")).await.json()["tasks"]);

    let import =
        |user| request("POST", "/api/me/import").insert_header(bearer(user)).set_payload(export.body.clone());
    let imported = send(&app, import("bob")).await;
    assert_eq!((imported.status, imported.header("x-tasklane-seq")), (200, "300"));
    assert_eq!(imported.json(), json!({"imported": 300, "unchanged": 0, "seq": 300}));
    let again = send(&app, import("bob")).await.json();
    assert_eq!(again, json!({"imported": 0, "unchanged": 300, "seq": 300}));
    let bobs = send(&app, request("GET", "/api/me/tasks").insert_header(bearer("bob"))).await.json();
    let bare = |tasks: &Value| {
        let mut tasks = tasks.as_array().unwrap().clone();
        for task in &mut tasks {
            task["version"] = json!(0);
            task["user_id"] = json!("");
        }
        tasks
    };
    assert_eq!(bare(&bobs["tasks"]), bare(&form["tasks"]));
}

#[actix_web::test]
async fn an_import_is_all_or_nothing_and_lists_what_is_wrong() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let made = send(&app, create("a")).await.json();
    let import = |tasks: Value| alice("POST", "/api/me/import").set_json(json!({"tasks": tasks}));
    let good = json!({"id": ID, "title": "g", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"});
    let mut taken = good.clone();
    taken["id"] = made["id"].clone();
    let refused = send(&app, import(json!([good, taken]))).await;
    refused.is_error(409, "CONFLICT");
    assert_eq!(refused.json()["error"]["details"], json!({"operation": 1, "task": null}));
    let refused = send(&app, import(json!([good, {"id": "x", "title": " "}, 7]))).await;
    refused.is_error(422, "VALIDATION_ERROR");
    let details = refused.json()["error"]["details"].clone();
    let fields: Vec<_> =
        details.as_array().unwrap().iter().map(|fault| fault["field"].as_str().unwrap()).collect();
    let expected =
        ["tasks[1].id", "tasks[1].title", "tasks[1].created_at", "tasks[1].updated_at", "tasks[2]"];
    assert_eq!(fields, expected);
    let refused = send(&app, import(json!(vec![json!({}); 50_000]))).await;
    refused.is_error(422, "VALIDATION_ERROR");
    assert_eq!(refused.json()["error"]["details"].as_array().unwrap().len(), 1000);
    assert!(refused.json()["detail"].as_str().unwrap().ends_with("; and 992 more"));
    assert_eq!(send(&app, alice("GET", "/api/me/tasks")).await.json()["count"], 1);
    let done = send(&app, import(json!([good]))).await.json();
    assert_eq!(done, json!({"imported": 1, "unchanged": 0, "seq": 2}));
}

#[actix_web::test]
async fn data_is_erased_only_when_confirmed_by_the_users_own_id_and_the_seq_continues() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    send(&app, create("a")).await;
    let keyed = || create("k").insert_header(("idempotency-key", "k"));
    send(&app, keyed()).await;
    for confirmation in [None, Some("me"), Some("Alice"), Some("true"), Some("")] {
        let erase = alice("DELETE", "/api/alice");
        let erase = match confirmation {
            Some(text) => erase.insert_header(("x-confirm-delete", text)),
            None => erase,
        };
        let refused = send(&app, erase).await;
        refused.is_error(428, "PRECONDITION_REQUIRED");
    }
    assert_eq!(send(&app, alice("GET", "/api/me/tasks")).await.json()["count"], 2);
    let erased = alice("DELETE", "/api/alice/").insert_header(("x-confirm-delete", "%61lice"));
    let erased = send(&app, erased).await;
    assert_eq!((erased.status, erased.header("x-tasklane-seq"), erased.body.len()), (204, "3", 0));
    let list = send(&app, alice("GET", "/api/me/tasks")).await;
    assert_eq!((list.json()["count"].as_u64(), list.header("etag")), (Some(0), &*list_tag(3)));
    send(&app, alice("GET", "/api/me/changes?since=2")).await.is_error(410, "RESYNC_REQUIRED");
    assert_eq!(send(&app, alice("GET", "/api/me/changes?since=3")).await.status, 200);
    // Keys used before are forgotten, too.
    assert_eq!(send(&app, keyed()).await.header("x-tasklane-seq"), "4");
    let refused = send(&app, alice("GET", "/api/me")).await;
    refused.is_error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(refused.header("allow"), "DELETE");
}
