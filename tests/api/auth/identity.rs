//! Only a valid token is accepted, and 401 comes before every other error.

use jsonwebtoken::Algorithm;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use uuid::Uuid;

use tasklane::domain::UserId;

use crate::support::command::run;
use crate::support::{Events, Kind, Server, Store, User, on_both_stores, send, tokens};

on_both_stores!(
    a_call_without_a_token_gives_401_on_every_route,
    without_a_token_nothing_else_is_checked,
    other_credentials_give_401,
    an_invalid_token_gives_401,
    only_an_otherwise_valid_token_is_called_expired,
    the_user_is_sub_else_user_id_else_id,
    the_auth_check_names_the_tokens_user,
    the_refusal_of_a_token_has_the_form_the_client_accepts,
    a_subject_that_is_the_id_of_another_user_locks_nobody_out,
    a_user_whose_subject_is_a_uuid_of_version_5_keeps_everything,
);

/// Every call under `/api`, as method and path below `/api/{user_id}`.
fn routes() -> Vec<(Method, String)> {
    let task = format!("/tasks/{}", Uuid::new_v4());
    vec![
        (Method::GET, "/test".into()),
        (Method::GET, "/tasks".into()),
        (Method::POST, "/tasks".into()),
        (Method::GET, task.clone()),
        (Method::PUT, task.clone()),
        (Method::PATCH, task.clone()),
        (Method::PATCH, format!("{task}/complete")),
        (Method::DELETE, task),
    ]
}

async fn a_call_without_a_token_gives_401_on_every_route(store: Store) {
    let server = Server::start(&store);
    for (method, path) in routes() {
        for user in ["ann", "me"] {
            let answer = send(server.request(method.clone(), &format!("/api/{user}{path}"))).await;
            answer.expect_message(401, "UNAUTHORIZED", "Missing authentication token");
        }
    }
}

async fn without_a_token_nothing_else_is_checked(store: Store) {
    let server = Server::with(&store, &[("MAX_BODY_BYTES", "1024")]);
    let post = |body: &str| server.request(Method::POST, "/api/ann/tasks").body(body.to_owned());
    let as_json = |body: &str| post(body).header(CONTENT_TYPE, "application/json");
    let wrong_as_well = [
        ("bad JSON", as_json("{")),
        ("a bad field", as_json(r#"{"title":""}"#)),
        ("another media type", post("<title/>").header(CONTENT_TYPE, "application/xml")),
        ("a body that is too large", as_json(&format!("{{\"title\":\"{}\"}}", "x".repeat(2000)))),
        ("a task id that is none", server.request(Method::GET, "/api/ann/tasks/none")),
        ("a bad query", server.request(Method::GET, "/api/ann/tasks?limit=none")),
        ("a path that does not decode", server.request(Method::GET, "/api/%ff/tasks")),
    ];
    for (what, request) in wrong_as_well {
        let answer = send(request).await;
        assert_eq!(answer.status, 401, "with {what}: {}", answer.text());
        answer.expect_message(401, "UNAUTHORIZED", "Missing authentication token");
    }
}

async fn other_credentials_give_401(store: Store) {
    let server = Server::start(&store);
    let good = tokens::of("ann");
    let ask =
        |value: String| send(server.request(Method::GET, "/api/ann/tasks").header(AUTHORIZATION, value));
    for value in ["Basic YW5uOnNlY3JldA==", "Bearer", "Bearer ", "Digest username=\"ann\""] {
        ask(value.to_owned()).await.expect_error(401, "UNAUTHORIZED");
    }
    ask(good.clone()).await.expect_error(401, "UNAUTHORIZED");
    // A token in the query or in a cookie does not count.
    let query = send(server.request(Method::GET, &format!("/api/ann/tasks?token={good}"))).await;
    query.expect_message(401, "UNAUTHORIZED", "Missing authentication token");
    let cookie = server.request(Method::GET, "/api/ann/tasks").header("cookie", format!("token={good}"));
    send(cookie).await.expect_message(401, "UNAUTHORIZED", "Missing authentication token");
    // The scheme's name is case-insensitive (RFC 9110, section 11.1).
    for scheme in ["Bearer", "bearer", "BEARER"] {
        ask(format!("{scheme} {good}")).await.expect(200);
    }
}

async fn an_invalid_token_gives_401(store: Store) {
    let server = Server::start(&store);
    let claims = json!({"sub": "ann", "exp": tokens::in_an_hour()});
    let good = tokens::signed(&claims);
    let (unsigned, signature) = good.rsplit_once('.').unwrap();
    let (head, body) = unsigned.split_once('.').unwrap();
    let (none, other_body) = (part(&json!({"alg": "none", "typ": "JWT"})), part(&json!({"sub": "ann"})));
    let wrong = [
        ("no token at all", "garbage".to_owned()),
        ("three empty parts", "..".to_owned()),
        ("no signature", format!("{unsigned}.")),
        ("two parts", unsigned.to_owned()),
        ("four parts", format!("{good}.{signature}")),
        ("a shortened signature", good[..good.len() - 4].to_owned()),
        ("another body", format!("{head}.{other_body}.{signature}")),
        ("the algorithm none", format!("{none}.{body}.")),
        ("the algorithm none, signed", format!("{none}.{body}.{signature}")),
        (
            "another secret",
            tokens::signed_with("another secret of good length, it is", Algorithm::HS256, &claims),
        ),
        ("an empty secret", tokens::signed_with("", Algorithm::HS256, &claims)),
        ("HS384", tokens::signed_with(tokens::SECRET, Algorithm::HS384, &claims)),
        ("HS512", tokens::signed_with(tokens::SECRET, Algorithm::HS512, &claims)),
        ("no exp", tokens::signed(&json!({"sub": "ann"}))),
        ("an exp of another type", tokens::signed(&json!({"sub": "ann", "exp": "tomorrow"}))),
        ("an exp of null", tokens::signed(&json!({"sub": "ann", "exp": null}))),
        ("no subject", tokens::signed(&json!({"exp": tokens::in_an_hour()}))),
        ("an empty subject", tokens::signed(&json!({"sub": "", "exp": tokens::in_an_hour()}))),
        ("a subject of another type", tokens::signed(&json!({"sub": ["ann"], "exp": tokens::in_an_hour()}))),
        (
            "an nbf ahead",
            tokens::signed(&json!({"sub": "ann", "exp": tokens::in_an_hour(), "nbf": tokens::in_an_hour()})),
        ),
        ("claims that are no object", tokens::signed(&json!(["ann"]))),
    ];
    for (what, token) in wrong {
        for path in ["/api/ann/tasks", "/api/me/tasks"] {
            let answer = send(server.request(Method::GET, path).bearer_auth(&token)).await;
            assert_eq!(answer.status, 401, "{what}: {}", answer.text());
            answer.expect_message(401, "UNAUTHORIZED", "Invalid token");
        }
    }
    User::new(&server, "ann", good.clone()).get("/tasks").await.expect(200);
}

async fn only_an_otherwise_valid_token_is_called_expired(store: Store) {
    let server = Server::start(&store);
    let past = tokens::now() - 3600;
    let expired = json!({"sub": "ann", "exp": past});
    let cases = [
        ("Token expired", tokens::signed(&expired)),
        ("Token expired", tokens::signed(&json!({"user_id": "ann", "exp": past, "iat": past - 60}))),
        ("Token expired", tokens::signed(&json!({"sub": "ann", "exp": 1}))),
        (
            "Invalid token",
            tokens::signed_with("another secret of good length, it is", Algorithm::HS256, &expired),
        ),
        ("Invalid token", tokens::signed_with(tokens::SECRET, Algorithm::HS512, &expired)),
        ("Invalid token", tokens::signed(&json!({"exp": past}))),
        ("Invalid token", tokens::signed(&json!({"sub": "", "exp": past}))),
    ];
    for (message, token) in cases {
        // The user in the path is not checked yet.
        for path in ["/api/ann/tasks", "/api/bob/tasks", "/api/me/tasks"] {
            let answer = send(server.request(Method::GET, path).bearer_auth(&token)).await;
            answer.expect_message(401, "UNAUTHORIZED", message);
        }
    }
}

async fn the_user_is_sub_else_user_id_else_id(store: Store) {
    let server = Server::start(&store);
    let exp = tokens::in_an_hour();
    let cases = [
        ("ann", json!({"sub": "ann", "user_id": "bob", "id": "cy", "exp": exp})),
        ("bob", json!({"user_id": "bob", "id": "cy", "exp": exp})),
        ("cy", json!({"id": "cy", "exp": exp})),
    ];
    for (subject, claims) in cases {
        let user = User::new(&server, subject, tokens::signed(&claims));
        assert_eq!(user.create("mine").await["user_id"], subject);
        for other in ["ann", "bob", "cy"].into_iter().filter(|other| *other != subject) {
            let stranger = User::new(&server, other, user.token.clone());
            stranger.get("/tasks").await.expect_message(401, "UNAUTHORIZED", "Unauthorized access");
        }
    }
    assert_eq!(server.user("bob").list().await.len(), 1);
}

async fn the_auth_check_names_the_tokens_user(store: Store) {
    let server = Server::start(&store);
    let answer = server.user_with_email("ann", "ann@example.com").get("/test").await.expect(200).json();
    assert_eq!(answer["user"], json!({"id": "ann", "email": "ann@example.com"}));
    assert!(answer["message"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    let answer = server.user("bob").get("/test").await.expect(200).json();
    assert_eq!(answer["user"], json!({"id": "bob", "email": null}));
    let me = User::new(&server, "me", tokens::of("bob")).get("/test").await.expect(200).json();
    assert_eq!(me["user"], json!({"id": "bob", "email": null}));
}

async fn the_refusal_of_a_token_has_the_form_the_client_accepts(store: Store) {
    let server = Server::start(&store);
    let request = server.request(Method::GET, "/api/ann/tasks").header(ACCEPT, "application/problem+json");
    let answer = send(request).await.expect_error(401, "UNAUTHORIZED");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["title"], "Unauthorized");
}

/// One part of a token: base64url without padding, made here because no library signs such tokens.
fn part(value: &Value) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in value.to_string().as_bytes().chunks(3) {
        let bits =
            three.iter().chain([0; 2].iter()).take(3).fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        for place in 0..=three.len() {
            text.push(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize].into());
        }
    }
    text
}

/// The id that the store has for a subject that is no UUID.
fn id_of(subject: &str) -> String {
    UserId::of_subject(subject).to_string()
}

async fn a_subject_that_is_the_id_of_another_user_locks_nobody_out(store: Store) {
    let server = Server::start(&store);
    for (first, second) in [("ann", id_of("ann")), (&id_of("bob"), "bob".to_owned())] {
        let (first, second) = (server.user(first), server.user(&second));
        first.create("of the first").await;
        second.create("of the second").await;
        for user in [&first, &second] {
            let tasks = user.list().await;
            assert_eq!(tasks.len(), 1, "{}: {tasks:?}", user.subject);
            assert_eq!(tasks[0]["user_id"], user.subject.as_str());
        }
        // A ticket names the user, not the subject alone.
        let ticket = second.call(Method::POST, "/events/ticket", None).await.expect(201).json();
        let ticket = ticket["ticket"].as_str().unwrap();
        let path = format!("/api/me/events?ticket={ticket}&since=0");
        let mut events = Events::open(server.request(Method::GET, &path)).await.unwrap();
        let told = events.next().await.into_iter().chain(events.next().await);
        assert!(told.into_iter().any(|event| event.data.to_string().contains("of the second")));
    }
    server.stop();
    let looked = run(store.dir(), &["check"], &[("DATABASE_URL", store.url())]);
    assert_eq!(looked.code, 0, "{looked:?}");
}

async fn a_user_whose_subject_is_a_uuid_of_version_5_keeps_everything(store: Store) {
    // As an earlier version has stored it: the subject is the key.
    let subject = id_of("somebody");
    let server = Server::start(&store);
    server.user("cy").create("of before").await;
    server.stop();
    let (cy, key) = (id_of("cy").replace('-', ""), subject.replace('-', ""));
    let quoted = |id: &str| match store.kind() {
        Kind::Sqlite => format!("x'{id}'"),
        Kind::Postgres => format!("'{id}'"),
    };
    let (cy, key) = (quoted(&cy), quoted(&key));
    let columns = "seq, last_batch, created_at";
    store
        .damage(&[
            &format!("INSERT INTO users (id, subject, {columns}) SELECT {key}, '{subject}', {columns} FROM users WHERE id = {cy}"),
            &format!("UPDATE tasks SET user_id = {key} WHERE user_id = {cy}"),
        ])
        .await;
    let server = Server::start(&store);
    let user = server.user(&subject);
    user.create("of today").await;
    assert_eq!(user.list().await.len(), 2);
    assert_eq!(user.seq().await, 2);
}
