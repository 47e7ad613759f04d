//! The user in the path: exactly the token's subject, in any encoding a URL allows, or `me`.

use reqwest::Method;
use serde_json::json;

use crate::support::{Server, Store, User, id, on_both_stores, send, tokens};

on_both_stores!(
    a_path_that_names_another_user_gives_401,
    the_path_must_equal_the_subject_exactly,
    me_stands_for_the_tokens_user,
    any_subject_can_be_a_path_when_it_is_percent_encoded,
    an_encoded_path_of_another_user_gives_401,
    subjects_that_differ_in_any_letter_are_different_users,
    two_users_of_one_email_address_both_work,
);

/// Subjects as identity providers make them, and some that only a hostile provider would make.
const SUBJECTS: [&str; 13] = [
    "6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77",
    "kXf2mPq8RtYvW3zAbC5dEfGhJ7nL9sU1",
    "42",
    "ann@example.com",
    "auth0|64f1/7",
    "a b",
    "100%",
    "a%2Fb",
    "a+b",
    "用户-ñ-🦀",
    "semi;colon,comma?query#hash",
    "quote'\"<b>",
    "me",
];

async fn a_path_that_names_another_user_gives_401(store: Store) {
    let server = Server::start(&store);
    let bob = server.user("bob");
    let task = bob.create("bob's").await;
    let stranger = User::new(&server, "bob", tokens::of("ann"));
    let path = format!("/tasks/{}", id(&task));
    let calls = [
        (Method::GET, "/test".to_owned()),
        (Method::GET, "/tasks".to_owned()),
        (Method::POST, "/tasks".to_owned()),
        (Method::GET, path.clone()),
        (Method::PUT, path.clone()),
        (Method::PATCH, path.clone()),
        (Method::PATCH, format!("{path}/complete")),
        (Method::DELETE, path),
    ];
    for (method, path) in calls {
        // The path is checked before the body.
        for body in [json!({"title": "mine now", "completed": true}), json!("not even an object")] {
            let answer = stranger.call(method.clone(), &path, Some(&body)).await;
            answer.expect_message(401, "UNAUTHORIZED", "Unauthorized access");
        }
    }
    assert_eq!(bob.list().await, [task]);
    assert!(server.user("ann").list().await.is_empty());
}

async fn the_path_must_equal_the_subject_exactly(store: Store) {
    let server = Server::start(&store);
    let subject = "6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77";
    let near = [
        subject.to_uppercase(),
        subject.replace('-', ""),
        format!("{{{subject}}}"),
        format!("urn:uuid:{subject}"),
        format!("{subject} "),
        format!(" {subject}"),
        format!("{subject}\0"),
        subject[..35].to_owned(),
        "Me".to_owned(),
        "ME".to_owned(),
    ];
    for path in near {
        let stranger = User::new(&server, &path, tokens::of(subject));
        stranger.get("/tasks").await.expect_message(401, "UNAUTHORIZED", "Unauthorized access");
    }
    server.user(subject).get("/tasks").await.expect(200);
}

async fn me_stands_for_the_tokens_user(store: Store) {
    let server = Server::start(&store);
    let (ann, me) = (server.user("ann"), User::new(&server, "me", tokens::of("ann")));
    let task = me.create("by me").await;
    assert_eq!(task["user_id"], "ann");
    assert_eq!(ann.list().await, std::slice::from_ref(&task));
    let (by_name, by_me) = (ann.task(id(&task)).await.expect(200), me.task(id(&task)).await.expect(200));
    assert_eq!(by_name.body, by_me.body);
    me.put(id(&task), &json!({"title": "still me"})).await.expect(200);
    me.complete(id(&task), None).await.expect(200);
    me.delete(id(&task)).await.expect(204);
    assert!(ann.list().await.is_empty());
}

async fn any_subject_can_be_a_path_when_it_is_percent_encoded(store: Store) {
    let server = Server::start(&store);
    for subject in SUBJECTS {
        let user = server.user(subject);
        let answer = user.post(&json!({"title": "mine"})).await;
        assert_eq!(answer.status, 201, "{subject}: {}", answer.text());
        let task = answer.json();
        assert_eq!(task["user_id"], subject);
        user.put(id(&task), &json!({"completed": true})).await.expect(200);
        let tasks = user.list().await;
        assert_eq!(tasks.len(), 1, "{subject} sees {tasks:?}");
        // The Location works as a URL reference, unchanged.
        let location =
            reqwest::Url::parse(server.origin()).unwrap().join(answer.header("location").unwrap()).unwrap();
        let there = server.http().get(location).bearer_auth(&user.token);
        assert_eq!(id(&send(there).await.expect(200).json()), id(&task), "{subject}");
    }
    // Characters that RFC 3986 allows in a path may be sent unescaped.
    for (path, subject) in [("ann@example.com", "ann@example.com"), ("a+b", "a+b"), ("%61nn", "ann")] {
        let request =
            server.request(Method::GET, &format!("/api/{path}/tasks")).bearer_auth(tokens::of(subject));
        send(request).await.expect(200);
    }
}

async fn an_encoded_path_of_another_user_gives_401(store: Store) {
    let server = Server::start(&store);
    // Each of these would equal the subject if it were decoded twice, or not at all.
    let cases =
        [("a%252Fb", "a/b"), ("a%2Fb", "a%2Fb"), ("%2561nn", "ann"), ("a+b", "a b"), ("ann%00", "ann")];
    for (path, subject) in cases {
        let request =
            server.request(Method::GET, &format!("/api/{path}/tasks")).bearer_auth(tokens::of(subject));
        send(request).await.expect_message(401, "UNAUTHORIZED", "Unauthorized access");
    }
}

async fn subjects_that_differ_in_any_letter_are_different_users(store: Store) {
    let server = Server::start(&store);
    let subjects = [
        "6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77",
        "6F1C9A52-3D0E-4B7A-9C58-2F6D1E0B4A77",
        "6f1c9a523d0e4b7a9c582f6d1e0b4a77",
        "Ann",
        "ann",
        "ann ",
        "é",
        "e\u{301}",
    ];
    for subject in subjects {
        server.user(subject).create(subject.trim()).await;
    }
    for subject in subjects {
        let tasks = server.user(subject).list().await;
        assert_eq!(tasks.len(), 1, "{subject:?} sees {tasks:?}");
        assert_eq!(tasks[0]["user_id"], subject);
    }
}

async fn two_users_of_one_email_address_both_work(store: Store) {
    let server = Server::start(&store);
    for subject in ["ann", "bob", "cy"] {
        let user = server.user_with_email(subject, "shared@example.com");
        let task = user.create("one").await;
        user.put(id(&task), &json!({"title": "two"})).await.expect(200);
        assert_eq!(user.list().await.len(), 1);
    }
}
