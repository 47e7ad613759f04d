//! Export and import: an export can be imported here or elsewhere and gives the same tasks.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{bare, fill, import};
use crate::support::{Server, Store, id, keys, on_both_stores, timestamp};

on_both_stores!(
    an_export_imported_elsewhere_is_the_same,
    an_import_is_all_or_nothing_and_names_the_conflicting_task,
    an_import_lists_every_wrong_field,
    an_import_keeps_to_the_limits,
    four_imports_at_once_and_the_writes_of_others_all_succeed,
);

async fn an_export_imported_elsewhere_is_the_same(store: Store) {
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    let empty = ann.get("/export").await.expect(200);
    assert_eq!((&empty.json()["tasks"], empty.seq()), (&json!([]), 0));
    fill(&ann, 400).await;
    let (list, seq) = (ann.list().await, ann.seq().await);
    let export = ann.get("/export").await.expect(200);
    assert_eq!((export.seq(), export.header("content-type")), (seq, Some("application/json")));
    assert!(export.header("content-disposition").unwrap().starts_with("attachment"));
    // Sent in chunks, with its length known in advance.
    assert_eq!(export.header("content-length"), Some(&*export.text().len().to_string()));
    let form = export.json();
    assert_eq!(keys(&form), ["exported_at", "seq", "tasks", "user_id"]);
    assert_eq!((&form["user_id"], &form["seq"], &form["tasks"]), (&json!("ann"), &json!(seq), &json!(list)));
    timestamp(&form["exported_at"]);

    bob.create("bob's own").await;
    let done = import(&bob, &form).await.expect(200);
    assert_eq!((done.json(), done.seq()), (json!({"imported": 400, "unchanged": 0, "seq": 401}), 401));
    let bobs = bob.list().await;
    assert_eq!(bare(&bobs[1..]), bare(&list), "ids, instants and order are kept");
    assert!(bobs.iter().all(|task| task["user_id"] == "bob"));
    let mut versions: Vec<_> = bobs.iter().map(|task| task["version"].as_i64().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=401).collect::<Vec<_>>());
    // Again: every task is there already.
    let again = import(&bob, &form).await.expect(200).json();
    assert_eq!(again, json!({"imported": 0, "unchanged": 400, "seq": 401}));
    // The user's own export, after some tasks were deleted and some changed: only missing ones come back.
    ann.delete(id(&list[3])).await.expect(204);
    let back = import(&ann, &form).await.expect(200).json();
    assert_eq!(back, json!({"imported": 1, "unchanged": 399, "seq": seq + 2}));
    assert_eq!(bare(&ann.list().await), bare(&list));
    // The feed has imported tasks like all others.
    let feed = ann.get(&format!("/changes?since={}", seq + 1)).await.expect(200).json();
    assert_eq!(feed["changes"][0]["task"]["id"], list[3]["id"]);
    let (anns, bobs) = (ann.get("/tasks").await.body, bob.get("/tasks").await.body);
    server.stop();
    let server = Server::start(&store);
    assert_eq!(server.user("ann").get("/tasks").await.body, anns);
    assert_eq!(server.user("bob").get("/tasks").await.body, bobs);
}

fn task(id: &str, title: &str) -> Value {
    json!({"id": id, "title": title, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"})
}

async fn an_import_is_all_or_nothing_and_names_the_conflicting_task(store: Store) {
    let server = Server::with(&store, &[("MAX_TASKS_PER_USER", "5")]);
    let ann = server.user("ann");
    let own = ann.create("own").await;
    let ids: Vec<_> = (0..6).map(|_| Uuid::new_v4().to_string()).collect();
    let mut tasks: Vec<_> = ids.iter().map(|id| task(id, "new")).collect();
    let refused = import(&ann, &json!({"tasks": tasks})).await.expect_error(409, "QUOTA_EXCEEDED");
    assert_eq!(refused.json()["error"]["details"], json!({"operation": 4, "task": null}));
    tasks.truncate(3);
    for place in 0..=3 {
        let mut tasks = tasks.clone();
        tasks.insert(place, task(id(&own), "another"));
        let refused = import(&ann, &json!({"tasks": tasks})).await.expect_error(409, "CONFLICT");
        assert_eq!(refused.json()["error"]["details"], json!({"operation": place, "task": null}));
    }
    // The same id twice, in two spellings.
    let twice = json!({"tasks": [task(&ids[0], "a"), task(&ids[0], "b")]});
    let refused = import(&ann, &twice).await.expect_error(409, "CONFLICT");
    assert_eq!((refused.json()["error"]["details"]["operation"].clone(), refused.seq()), (json!(1), 1));
    assert_eq!((ann.list().await, ann.seq().await), (vec![own], 1));
    let good = import(&ann, &json!({"tasks": tasks})).await.expect(200).json();
    assert_eq!(good, json!({"imported": 3, "unchanged": 0, "seq": 4}));
    // Another user may have the same id.
    import(&server.user("bob"), &json!({"tasks": tasks})).await.expect(200);
}

async fn an_import_lists_every_wrong_field(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let good = task(&Uuid::new_v4().to_string(), "good");
    let with = |field: &str, value: Value| {
        let mut task = good.clone();
        task[field] = value;
        task
    };
    for (tasks, fields) in [
        (
            json!([good, {}]),
            vec!["tasks[1].created_at", "tasks[1].id", "tasks[1].title", "tasks[1].updated_at"],
        ),
        (json!([7, null]), vec!["tasks[0]", "tasks[1]"]),
        (
            json!([with("id", json!("x")), with("priority", json!("Urgent"))]),
            vec!["tasks[0].id", "tasks[1].priority"],
        ),
        (json!([with("created_at", json!("2026-01-01"))]), vec!["tasks[0].created_at"]),
        (json!([with("created_at", json!("0000-12-31T23:59:59Z"))]), vec!["tasks[0].created_at"]),
        (json!([with("updated_at", json!("9999-12-31T23:59:59-01:00"))]), vec!["tasks[0].updated_at"]),
        (json!([with("completed_at", json!("2026-01-01T00:00:00Z"))]), vec!["tasks[0].completed_at"]),
        (json!({}), vec!["tasks"]),
        (json!(null), vec!["tasks"]),
    ] {
        let refused = import(&ann, &json!({"tasks": tasks})).await.expect_error(422, "VALIDATION_ERROR");
        assert_eq!(refused.bad_fields(), fields, "{tasks}");
    }
    assert_eq!(import(&ann, &json!({})).await.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["tasks"]);
    assert_eq!(ann.seq().await, 0);
    // Values exactly at the limits are accepted and come back in the one form.
    let edge = json!({"id": Uuid::new_v4(), "title": " a ", "created_at": "0001-01-01T00:00:00Z", "completed": true,
        "updated_at": "9999-12-31T23:59:59.9999999+00:00", "user_id": "bob", "version": -5, "unknown": [1]});
    import(&ann, &json!({"tasks": [edge]})).await.expect(200);
    let kept = ann.list().await.remove(0);
    assert_eq!((&kept["created_at"], &kept["title"]), (&json!("0001-01-01T00:00:00.000000Z"), &json!("a")));
    assert_eq!(
        (&kept["updated_at"], &kept["completed_at"]),
        (&json!("9999-12-31T23:59:59.999999Z"), &kept["updated_at"])
    );
    let list = ann.get("/tasks").await.body;
    server.stop();
    assert_eq!(Server::start(&store).user("ann").get("/tasks").await.body, list);
}

async fn an_import_keeps_to_the_limits(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    // Far larger than the limit of other bodies.
    let tasks: Vec<_> = (0..3000)
        .map(|number| task(&Uuid::new_v4().to_string(), &format!("{number} {}", "x".repeat(150))))
        .collect();
    assert_eq!(import(&ann, &json!({"tasks": tasks})).await.expect(200).json()["imported"], 3000);
    let export = ann.get("/export").await.expect(200);
    assert_eq!((export.json()["tasks"].as_array().unwrap().len(), export.seq()), (3000, 3000));
    let many = import(&ann, &json!({"tasks": vec![json!(null); 100_001]})).await;
    assert_eq!(many.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["tasks"]);
    // Above 64 MiB it is refused by its announced length, before it is sent.
    let head = format!(
        "POST /api/ann/import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        ann.token,
        (64 << 20) + 1
    );
    let answer = crate::support::raw::exchange(server.address(), head).await;
    assert_eq!(crate::support::raw::status(&answer), Some(413), "{answer}");
}

async fn four_imports_at_once_and_the_writes_of_others_all_succeed(store: Store) {
    let server = Server::start(&store);
    let tasks: Vec<_> = (0..1500).map(|_| task(&Uuid::new_v4().to_string(), "a")).collect();
    let body = json!({"tasks": tasks});
    let imports = ["ann", "bob", "cid", "dan"].map(|subject| {
        let (user, body) = (server.user(subject), &body);
        async move { import(&user, body).await.expect(200).json()["imported"].clone() }
    });
    let other = server.user("other");
    let writes = async {
        for number in 1..=20 {
            assert_eq!(other.create("a").await["version"], number);
        }
    };
    let (imported, ()) = tokio::join!(futures_util::future::join_all(imports), writes);
    assert_eq!(imported, vec![json!(1500); 4]);
}
