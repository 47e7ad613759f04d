//! `/events`: changes as they happen, resumed without a gap or a repeat.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Event, Events, Server, Store, User, id, on_both_stores, send, tokens};

on_both_stores!(
    a_stream_says_hello_then_every_change_as_the_feed_has_it,
    a_stream_resumes_after_the_last_event_id_or_since_with_no_gap_and_no_repeat,
    a_stream_is_resumed_over_stops_and_crashes,
    a_client_that_cannot_resume_is_told_to_resync_and_continues_from_there,
    a_stream_ends_with_its_token,
    a_ticket_opens_one_stream_of_its_user_and_only_once,
    streams_are_limited_per_user_and_in_all,
);

fn marked(name: &str, seq: i64) -> Event {
    Event { name: name.to_owned(), id: seq, data: json!({"seq": seq}) }
}

fn changed(task: &Value) -> Event {
    let seq = task["version"].as_i64().unwrap();
    Event { name: "change".to_owned(), id: seq, data: json!({"seq": seq, "task": task}) }
}

fn deleted(task: &Value, seq: i64) -> Event {
    Event { name: "change".to_owned(), id: seq, data: json!({"seq": seq, "id": task["id"], "deleted": true}) }
}

fn ids(events: &[Event]) -> Vec<i64> {
    events.iter().map(|event| event.id).collect()
}

async fn resumed(user: &User, last: &str, query: &str) -> Result<Events, Answer> {
    let request = user.request(Method::GET, &format!("/events{query}"));
    Events::open(request.header("last-event-id", last)).await
}

async fn a_stream_says_hello_then_every_change_as_the_feed_has_it(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let mut stream = Events::of(&ann, None).await;
    let mut bobs = Events::of(&server.user("bob"), None).await;
    assert_eq!(stream.take(1).await, [marked("hello", 0)]);
    let made = ann.post(&json!({"title": "two\nlines \u{2028}", "tags": ["x"]})).await.expect(201).json();
    assert_eq!(stream.take(1).await, [changed(&made)]);
    let done = ann.complete(id(&made), None).await.expect(200).json();
    assert_eq!(stream.take(1).await, [changed(&done)]);
    ann.delete(id(&made)).await.expect(204);
    assert_eq!(stream.take(1).await, [deleted(&made, 3)]);
    let operations = json!({"operations": vec![json!({"op": "create", "task": {"title": "a"}}); 250]});
    ann.call(Method::POST, "/batch", Some(&operations)).await.expect(200);
    let events = stream.take(250).await;
    assert_eq!(ids(&events), (4..=253).collect::<Vec<_>>());
    let mut tasks: Vec<_> = events.iter().map(|event| event.data["task"].clone()).collect();
    tasks.sort_by_key(|task| id(task).to_owned());
    let mut list = ann.list().await;
    list.sort_by_key(|task| id(task).to_owned());
    assert_eq!(tasks, list);
    // Another user gets only their own changes.
    let theirs = server.user("bob").create("b").await;
    assert_eq!(bobs.take(2).await, [marked("hello", 0), changed(&theirs)]);
}

async fn a_stream_resumes_after_the_last_event_id_or_since_with_no_gap_and_no_repeat(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let mut tasks = Vec::new();
    for title in ["a", "b", "c"] {
        tasks.push(ann.create(title).await);
    }
    // A list, then the stream from its seq: it has what happened in between.
    let list = ann.get("/tasks").await.expect(200);
    tasks.push(ann.create("between").await);
    let mut joined = Events::of(&ann, Some(list.seq())).await;
    assert_eq!(joined.take(2).await, [marked("hello", 3), changed(&tasks[3])]);
    for since in 0..=4_i64 {
        let all: Vec<_> = std::iter::once(marked("hello", since))
            .chain(tasks[usize::try_from(since).unwrap()..].iter().map(changed))
            .collect();
        assert_eq!(Events::of(&ann, Some(since)).await.take(all.len()).await, all);
        // A browser repeats its first URL: `Last-Event-ID` counts.
        let mut stream = resumed(&ann, &since.to_string(), "?since=0").await.unwrap();
        assert_eq!(stream.take(all.len()).await, all);
    }
    // An empty one counts as absent.
    let mut stream = resumed(&ann, "", "?since=2").await.unwrap();
    assert_eq!(ids(&stream.take(3).await), [2, 3, 4]);
    for (last, query, field) in [
        ("x", "", "Last-Event-ID"),
        ("-1", "?since=0", "Last-Event-ID"),
        ("", "?since=x", "since"),
        ("", "?since=-1", "since"),
        ("", "?since=1&since=2", "since"),
    ] {
        let refused = resumed(&ann, last, query).await.err().unwrap();
        assert_eq!(refused.expect_error(422, "VALIDATION_ERROR").bad_fields(), [field]);
    }
}

async fn a_stream_is_resumed_over_stops_and_crashes(store: Store) {
    let mut last = 0;
    for round in 0..4 {
        let mut server = Server::start(&store);
        let ann = server.user("ann");
        let mut stream = resumed(&ann, &last.to_string(), "").await.unwrap();
        // What the previous process wrote while nobody listened comes first.
        let missed = usize::from(round > 0);
        let events = stream.take(1 + missed).await;
        assert_eq!(ids(&events), (last..).take(1 + missed).collect::<Vec<_>>());
        ann.create("heard").await;
        last = stream.take(1).await[0].id;
        assert_eq!(last, ann.seq().await);
        if round % 2 == 0 {
            // A stop ends the stream after everything written before the signal, and does not wait for it.
            drop(stream);
            let listening = Events::of(&ann, Some(last)).await;
            ann.create("missed").await;
            server.terminate();
            let status = server.wait();
            assert!(status.success(), "{:#?}", server.output().stderr());
            let seen = ids(&listening.rest().await);
            assert!(seen == [last, last + 1] || seen == [last], "{seen:?}");
        } else {
            drop(stream);
            ann.create("missed").await;
            server.kill();
        }
    }
}

async fn a_client_that_cannot_resume_is_told_to_resync_and_continues_from_there(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    ann.delete(id(&task)).await.expect(204);
    // A seq from the future, as after a restore.
    let mut ahead = Events::of(&ann, Some(9)).await;
    assert_eq!(ahead.take(2).await, [marked("hello", 9), marked("resync", 2)]);
    let mut live = Events::of(&ann, None).await;
    live.take(1).await;
    ann.erase().await.expect(204);
    let after = ann.create("b").await;
    for stream in [&mut ahead, &mut live] {
        let mut events = stream.take(1).await;
        assert_eq!(events[0].name, "resync");
        // A client that got `resync` late starts at the new task's seq; it has to read the list either way.
        if events[0].id == 3 {
            events.extend(stream.take(1).await);
            assert_eq!(events, [marked("resync", 3), changed(&after)]);
        } else {
            assert_eq!(events, [marked("resync", 4)]);
        }
    }
    ann.delete(id(&after)).await.expect(204);
    server.stop();
    store.age(24 * 30 + 1).await;
    let server = Server::start(&store);
    server.log_line(&["forgot old deletions and idempotency keys"]);
    let ann = server.user("ann");
    for since in [0, 3, 4] {
        let mut stream = Events::of(&ann, Some(since)).await;
        assert_eq!(stream.take(2).await, [marked("hello", since), marked("resync", 5)]);
    }
    let mut stream = Events::of(&ann, Some(5)).await;
    let new = ann.create("c").await;
    assert_eq!(stream.take(2).await, [marked("hello", 5), changed(&new)]);
}

async fn a_stream_ends_with_its_token(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    ann.create("a").await;
    let short = tokens::signed(&json!({"sub": "ann", "exp": tokens::now() + 4}));
    let short = User::new(&server, "ann", short);
    // A ticket's stream ends when the token that the ticket was issued for expires.
    let ticket = send(short.request(Method::POST, "/events/ticket")).await.expect(201).json();
    let by_ticket = format!("/api/ann/events?since=0&ticket={}", ticket["ticket"].as_str().unwrap());
    let by_ticket = Events::open(server.request(Method::GET, &by_ticket)).await.unwrap();
    let (mut long, short) = (Events::of(&ann, Some(0)).await, Events::of(&short, Some(0)).await);
    assert_eq!(ids(&short.rest().await), [0, 1]);
    assert_eq!(ids(&by_ticket.rest().await), [0, 1]);
    ann.create("b").await;
    assert_eq!(ids(&long.take(3).await), [0, 1, 2]);
}

async fn a_ticket_opens_one_stream_of_its_user_and_only_once(store: Store) {
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    ann.create("a").await;
    let ticket = async |user: &User| {
        let answer = user.call(Method::POST, "/events/ticket", None).await.expect(201);
        assert_eq!(
            (answer.json()["expires_in"].as_i64(), answer.header("cache-control")),
            (Some(30), Some("no-store"))
        );
        answer.json()["ticket"].as_str().unwrap().to_owned()
    };
    let open = async |path: &str, ticket: &str| {
        let path = format!("{path}ticket={ticket}");
        Events::open(server.request(Method::GET, &path)).await
    };
    let refused = async |path: &str, ticket: &str, message: &str| {
        let answer = open(path, ticket).await.err().unwrap();
        answer.expect_message(401, "UNAUTHORIZED", message);
    };
    for path in ["/api/ann/events?", "/api/me/events?since=0&"] {
        let once = ticket(&ann).await;
        let mut stream = open(path, &once).await.unwrap();
        let seen = ann.create("b").await;
        while stream.take(1).await != [changed(&seen)] {}
        refused(path, &once, "Invalid token").await;
    }
    // Another user's path: refused, and the ticket is used up.
    let bobs = ticket(&bob).await;
    refused("/api/ann/events?", &bobs, "Unauthorized access").await;
    refused("/api/bob/events?", &bobs, "Invalid token").await;
    // `me` is the ticket's user.
    let bobs = ticket(&bob).await;
    assert_eq!(open("/api/me/events?", &bobs).await.unwrap().take(1).await, [marked("hello", 0)]);
    for nonsense in ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &ann.token] {
        refused("/api/ann/events?", nonsense, "Invalid token").await;
    }
    // It opens a stream and nothing else.
    let unused = ticket(&ann).await;
    for (method, path) in [
        (Method::GET, "/api/ann/tasks"),
        (Method::GET, "/api/ann/changes"),
        (Method::POST, "/api/ann/events/ticket"),
        (Method::GET, "/api/ann/export"),
    ] {
        let request = server.request(method, &format!("{path}?since=0&ticket={unused}"));
        send(request).await.expect_message(401, "UNAUTHORIZED", "Missing authentication token");
    }
    open("/api/ann/events?", &unused).await.unwrap();
    // Many requests with one ticket: one succeeds.
    let once = ticket(&ann).await;
    let crowd = futures_util::future::join_all((0..20).map(|_| open("/api/ann/events?", &once))).await;
    assert_eq!(crowd.iter().filter(|stream| stream.is_ok()).count(), 1);
    // It is never in the log, which has routes only.
    assert!(server.output().lines().iter().all(|line| !line.text().contains(&once)));
}

async fn streams_are_limited_per_user_and_in_all(store: Store) {
    let server = Server::with(&store, &[("MAX_EVENT_STREAMS", "30")]);
    let open = async |subject: &str| Events::open(server.user(subject).request(Method::GET, "/events")).await;
    let mut streams = Vec::new();
    for user in 0..10 {
        let subject = format!("user {user}");
        for _ in 0..3 {
            let mut stream = open(&subject).await.unwrap();
            stream.take(1).await;
            streams.push(stream);
        }
        // One user may have a tenth of all streams.
        let (status, code) = if user < 9 { (429, "RATE_LIMITED") } else { (503, "OVERLOADED") };
        let refused = open(&subject).await.err().unwrap().expect_error(status, code);
        assert_eq!(refused.seq(), 0);
    }
    open("one more").await.err().unwrap().expect_error(503, "OVERLOADED");
    // Open streams are served, and so is everything else.
    server.user("one more").create("a").await;
    let made = server.user("user 7").create("a").await;
    for stream in &mut streams[21..24] {
        assert_eq!(stream.take(1).await, [changed(&made)]);
    }
    // A closed stream frees its slot as soon as the server sends it something.
    streams.truncate(29);
    for _ in 0..1200 {
        server.user("user 9").create("a").await;
        if let Ok(stream) = open("one more").await {
            streams.push(stream);
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(streams.len(), 30, "a slot was not freed");
}
