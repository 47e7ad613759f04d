//! `Idempotency-Key`: a write sent again is carried out once and gets its first answer.

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Kind, Server, Store, User, id, on_both_stores, send};

on_both_stores!(
    every_kind_of_write_happens_once_and_gets_the_same_answer_even_after_a_crash,
    a_repeated_create_gets_the_same_answer_whatever_happened_to_the_task,
    a_short_write_to_a_long_task_keeps_no_copy_of_it_under_its_key,
    another_request_under_a_used_key_is_422_and_does_nothing,
    a_refused_write_leaves_its_key_free,
    two_hundred_duplicates_at_once_make_one_task_and_get_one_answer,
    a_key_belongs_to_one_user_and_is_erased_with_the_users_data,
    a_key_is_kept_for_at_least_a_day_and_not_for_ever,
    an_invalid_key_is_422,
);

/// One write, which can be sent repeatedly.
#[derive(Clone)]
struct Write {
    method: Method,
    path: String,
    body: Option<Value>,
    key: String,
    confirm: bool,
}

impl Write {
    fn new(method: Method, path: &str, body: Option<Value>) -> Self {
        let (path, key) = (path.to_owned(), Uuid::new_v4().to_string());
        Self { method, path, body, key, confirm: false }
    }

    fn request(&self, user: &User) -> RequestBuilder {
        let request = user.request(self.method.clone(), &self.path).header("idempotency-key", &self.key);
        let request = if self.confirm { request.header("x-confirm-delete", &user.subject) } else { request };
        match &self.body {
            Some(body) => request.json(body),
            None => request,
        }
    }

    async fn send(&self, user: &User) -> Answer {
        send(self.request(user)).await
    }
}

/// What a replay has in common with the first answer: all but the date and the request id.
fn essence(answer: &Answer) -> (u16, String, [Option<String>; 5]) {
    let headers = ["etag", "location", "x-tasklane-seq", "content-type", "content-length"];
    (answer.status, answer.text(), headers.map(|name| answer.header(name).map(str::to_owned)))
}

#[track_caller]
fn is_first(answer: Answer) -> Answer {
    assert_eq!(answer.header("idempotent-replayed"), None, "{answer:?}");
    assert!(answer.status < 300, "{answer:?}");
    answer
}

#[track_caller]
fn is_replay_of(first: &Answer, again: &Answer) {
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "{again:?}");
    assert_eq!(essence(again), essence(first));
}

/// One write of every kind, each on its own task.
async fn every_kind(user: &User) -> Vec<Write> {
    let mut paths = Vec::new();
    for title in ["put", "patch", "complete", "toggle", "delete", "batch"] {
        paths.push(format!("/tasks/{}", id(&user.create(title).await)));
    }
    let in_batch = paths[5].strip_prefix("/tasks/").unwrap();
    let operations = json!([{"op": "create", "task": {"title": "in a batch"}}, {"op": "complete", "id": in_batch},
        {"op": "delete", "id": in_batch}]);
    let imported = json!({"id": Uuid::new_v4(), "title": "imported", "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z"});
    vec![
        Write::new(Method::POST, "/tasks", Some(json!({"title": "\"ä\"\\ 🦀"}))),
        Write::new(Method::POST, "/tasks", Some(json!({"title": "chosen", "id": Uuid::new_v4()}))),
        Write::new(Method::PUT, &paths[0], Some(json!({"title": "changed"}))),
        Write::new(Method::PATCH, &paths[1], Some(json!({"description": "changed"}))),
        Write::new(Method::PATCH, &format!("{}/complete", paths[2]), Some(json!({"completed": true}))),
        Write::new(Method::PATCH, &format!("{}/complete", paths[3]), None),
        Write::new(Method::DELETE, &paths[4], None),
        Write::new(Method::POST, "/batch", Some(json!({"operations": operations}))),
        Write::new(Method::POST, "/import", Some(json!({"tasks": [imported]}))),
        Write::new(Method::POST, "/import", Some(json!({"tasks": []}))),
    ]
}

async fn every_kind_of_write_happens_once_and_gets_the_same_answer_even_after_a_crash(store: Store) {
    let mut server = Server::start(&store);
    let ann = server.user("ann");
    let mut done = Vec::new();
    for write in every_kind(&ann).await {
        let first = is_first(write.send(&ann).await);
        is_replay_of(&first, &write.send(&ann).await);
        done.push((write, first));
    }
    let bob = server.user("bob");
    bob.create("a").await;
    let erase = Write { confirm: true, ..Write::new(Method::DELETE, "", None) };
    let erased = is_first(erase.send(&bob).await.expect(204));
    is_replay_of(&erased, &erase.send(&bob).await);
    // Later changes do not show in the replayed answer.
    for task in ann.list().await {
        ann.patch(id(&task), &json!({"title": "later"})).await.expect(200);
    }
    let (list, seq) = (ann.list().await, ann.seq().await);
    for (write, first) in &done {
        is_replay_of(first, &write.send(&ann).await);
    }
    server.kill();
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    for (write, first) in &done {
        is_replay_of(first, &write.send(&ann).await);
        // The key in its other form, and the user as `me`, which shows in `Location` only.
        let quoted = Write { key: format!("\"{}\"", write.key), ..write.clone() };
        is_replay_of(first, &quoted.send(&ann).await);
        let again = write.send(&User::new(&server, "me", ann.token.clone())).await;
        assert_eq!((again.status, &again.body, again.seq()), (first.status, &first.body, first.seq()));
    }
    is_replay_of(&erased, &erase.send(&bob).await);
    assert_eq!((ann.list().await, ann.seq().await, bob.seq().await), (list, seq, 2));
}

async fn a_repeated_create_gets_the_same_answer_whatever_happened_to_the_task(store: Store) {
    let mut server = Server::start(&store);
    let ann = server.user("ann");
    let body = json!({"title": "a", "id": Uuid::new_v4()});
    let task = ann.post(&body).await.expect(201).json();
    let [one, other] = [(); 2].map(|()| Write::new(Method::POST, "/tasks", Some(body.clone())));
    let exists = is_first(one.send(&ann).await.expect(200));
    let exists_too = is_first(other.send(&ann).await.expect(200));
    assert_eq!((exists.json(), ann.seq().await), (task.clone(), 1), "nothing was written");
    // Without the key, a changed task would be a conflict, and a deleted one would be created again.
    ann.put(id(&task), &json!({"title": "b"})).await.expect(200);
    is_replay_of(&exists, &one.send(&ann).await);
    ann.delete(id(&task)).await.expect(204);
    is_replay_of(&exists, &one.send(&ann).await);
    server.kill();
    let server = Server::start(&store);
    let ann = server.user("ann");
    is_replay_of(&exists_too, &other.send(&ann).await);
    assert_eq!((ann.list().await, ann.seq().await), (vec![], 3));
    // The same for an import that changes nothing, also by a new user.
    for subject in ["ann", "bob"] {
        let user = server.user(subject);
        let import = Write::new(Method::POST, "/import", Some(json!({"tasks": []})));
        let first = is_first(import.send(&user).await.expect(200));
        user.create("between").await;
        is_replay_of(&first, &import.send(&user).await);
    }
    assert_eq!(server.user("bob").seq().await, 1);
}

async fn a_short_write_to_a_long_task_keeps_no_copy_of_it_under_its_key(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let long = "ä".repeat(2000);
    let task = ann.post(&json!({"title": "a", "description": long})).await.expect(201).json();
    let complete = Write::new(Method::PATCH, &format!("/tasks/{}/complete", id(&task)), None);
    let operations: Vec<_> = (0..500).map(|_| json!({"op": "complete", "id": id(&task)})).collect();
    let batch = Write::new(Method::POST, "/batch", Some(json!({"operations": operations})));
    let first = is_first(complete.send(&ann).await);
    is_replay_of(&first, &complete.send(&ann).await);
    let many = is_first(batch.send(&ann).await);
    assert!(many.text().len() < 30_000, "the task is there once, not 500 times: {}", many.text().len());
    is_replay_of(&many, &batch.send(&ann).await);
    // A later change shows in the replayed answer of the short write: it kept no text of its own.
    let now = ann.get(&format!("/tasks/{}", id(&task))).await.expect(200);
    let again = complete.send(&ann).await.expect(200);
    assert_eq!((again.header("idempotent-replayed"), again.json()), (Some("true"), now.json()));
    ann.delete(id(&task)).await.expect(204);
    let gone = complete.send(&ann).await.expect(404);
    assert!(gone.text().contains("was carried out"), "{gone:?}");
}

async fn another_request_under_a_used_key_is_422_and_does_nothing(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let first = Write::new(Method::POST, "/tasks", Some(json!({"title": "a"})));
    let made = is_first(first.send(&ann).await.expect(201));
    let path = format!("/tasks/{}", id(&made.json()));
    let mut others = every_kind(&ann).await;
    let seq = ann.seq().await;
    others.extend([
        Write::new(Method::POST, "/tasks", Some(json!({"title": "a", "completed": false}))),
        Write::new(Method::PUT, &path, Some(json!({"title": "a"}))),
        Write::new(Method::DELETE, &path, None),
        Write { confirm: true, ..Write::new(Method::DELETE, "", None) },
    ]);
    for other in others {
        let other = Write { key: first.key.clone(), ..other };
        let refused = other.send(&ann).await.expect_error(422, "IDEMPOTENCY_KEY_REUSED");
        assert_eq!((refused.seq(), refused.header("idempotent-replayed")), (seq, None));
    }
    // Another condition is another request.
    let conditional = first.request(&ann).header("if-match", "\"1\"");
    send(conditional).await.expect_error(422, "IDEMPOTENCY_KEY_REUSED");
    is_replay_of(&made, &first.send(&ann).await);
    assert_eq!(ann.seq().await, seq);
}

async fn a_refused_write_leaves_its_key_free(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let chosen = Uuid::new_v4().to_string();
    let write = Write::new(Method::PATCH, &format!("/tasks/{chosen}"), Some(json!({"title": "b"})));
    for _ in 0..2 {
        let refused = write.send(&ann).await.expect_no_task();
        assert_eq!(refused.header("idempotent-replayed"), None);
    }
    let wrong = Write { body: Some(json!({"title": ""})), ..write.clone() };
    wrong.send(&ann).await.expect_error(422, "VALIDATION_ERROR");
    ann.post(&json!({"title": "a", "id": chosen})).await.expect(201);
    let stale = write.request(&ann).header("if-match", "\"7\"");
    send(stale).await.expect_error(412, "PRECONDITION_FAILED");
    let first = is_first(write.send(&ann).await.expect(200));
    is_replay_of(&first, &write.send(&ann).await);
}

async fn two_hundred_duplicates_at_once_make_one_task_and_get_one_answer(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for round in 1..=3 {
        let write = Write::new(Method::POST, "/tasks", Some(json!({"title": format!("{round}")})));
        let answers = join_all((0..200).map(|_| write.send(&ann))).await;
        let (first, replays): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.header("idempotent-replayed").is_none());
        assert_eq!(first.len(), 1, "one was carried out: {first:?}");
        assert_eq!((first[0].status, first[0].seq()), (201, round));
        for again in &replays {
            is_replay_of(&first[0], again);
        }
        assert_eq!(ann.list().await.len(), usize::try_from(round).unwrap());
    }
    // A toggle shows each time it is carried out.
    let task = ann.create("a").await;
    let toggle = Write::new(Method::PATCH, &format!("/tasks/{}/complete", id(&task)), None);
    let answers = join_all((0..201).map(|_| toggle.send(&ann))).await;
    assert!(answers.iter().all(|answer| answer.json()["version"] == 5), "it was carried out more than once");
    assert_eq!(ann.seq().await, 5);
}

async fn a_key_belongs_to_one_user_and_is_erased_with_the_users_data(store: Store) {
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    let write = Write::new(Method::POST, "/tasks", Some(json!({"title": "a"})));
    let anns = is_first(write.send(&ann).await.expect(201));
    let bobs = is_first(write.send(&bob).await.expect(201));
    assert_ne!(anns.json()["id"], bobs.json()["id"]);
    let other = Write { body: Some(json!({"title": "b"})), ..write.clone() };
    is_first(other.send(&server.user("cid")).await.expect(201));
    ann.erase().await.expect(204);
    is_replay_of(&bobs, &write.send(&bob).await);
    assert_eq!(is_first(write.send(&ann).await.expect(201)).seq(), 3);
}

async fn a_key_is_kept_for_at_least_a_day_and_not_for_ever(store: Store) {
    let write = Write::new(Method::POST, "/tasks", Some(json!({"title": "a"})));
    let server = Server::start(&store);
    is_first(write.send(&server.user("bob")).await.expect(201));
    server.stop();
    store.age(24).await;
    let server = Server::start(&store);
    let first = is_first(write.send(&server.user("ann")).await.expect(201));
    server.stop();
    store.age(25).await;
    // The purge at the start forgets the key that is two days old and keeps yesterday's.
    let server = Server::start(&store);
    server.log_line(&["forgot old deletions and idempotency keys"]);
    is_replay_of(&first, &write.send(&server.user("ann")).await);
    assert_eq!(is_first(write.send(&server.user("bob")).await.expect(201)).seq(), 2);
}

async fn an_invalid_key_is_422(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let long = "x".repeat(256);
    for key in ["", " ", "\"\"", "\"a", "\"a\"b", "\"a\\b\"", "a\tb", &long] {
        for write in [
            Write::new(Method::POST, "/tasks", Some(json!({"title": "a"}))),
            Write::new(Method::DELETE, &format!("/tasks/{}", Uuid::new_v4()), None),
        ] {
            let refused = Write { key: key.to_owned(), ..write }.send(&ann).await;
            assert_eq!(
                refused.expect_error(422, "VALIDATION_ERROR").bad_fields(),
                ["Idempotency-Key"],
                "{key}"
            );
        }
    }
    let twice =
        ann.request(Method::POST, "/tasks").header("idempotency-key", "a").header("idempotency-key", "a");
    send(twice.json(&json!({"title": "a"}))).await.expect_error(422, "VALIDATION_ERROR");
    assert_eq!(ann.seq().await, 0);
    // A read ignores it.
    send(ann.request(Method::GET, "/tasks").header("idempotency-key", "")).await.expect(200);
    let longest =
        Write { key: "x".repeat(255), ..Write::new(Method::POST, "/tasks", Some(json!({"title": "a"}))) };
    let first = is_first(longest.send(&ann).await.expect(201));
    is_replay_of(&first, &longest.send(&ann).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_shared_by_all_processes_and_carried_out_once_on_postgres() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let mut servers = [Server::start(&store), Server::start(&store)];
    let users = [servers[0].user("ann"), servers[1].user("ann")];
    // The client's requests move to the other process.
    let mut done = Vec::new();
    for write in every_kind(&users[0]).await {
        let first = is_first(write.send(&users[0]).await);
        is_replay_of(&first, &write.send(&users[1]).await);
        done.push((write, first));
    }
    let seq = users[0].seq().await;
    // Duplicates at both processes at once; a refusal because of a conflict means not applied: send it again.
    for round in 0..10 {
        let write = Write::new(Method::POST, "/tasks", Some(json!({"title": format!("{round}")})));
        let answers = (0..20).map(|number| {
            let (write, user) = (&write, &users[number % 2]);
            async move {
                for _ in 0..500 {
                    let answer = write.send(user).await;
                    if answer.status != 503 {
                        return answer.expect(201);
                    }
                }
                panic!("refused five hundred times");
            }
        });
        let (first, replays): (Vec<_>, Vec<_>) = join_all(answers)
            .await
            .into_iter()
            .partition(|answer| answer.header("idempotent-replayed").is_none());
        assert_eq!(first.len(), 1, "round {round}: {first:?}");
        for again in &replays {
            is_replay_of(&first[0], again);
        }
        assert_eq!(first[0].seq(), seq + 1 + round);
    }
    // One process dies: the other one knows the keys.
    servers[0].kill();
    for (write, first) in &done {
        is_replay_of(first, &write.send(&users[1]).await);
    }
}
