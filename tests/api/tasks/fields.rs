//! Priority, tags, due date, position and `completed_at`: their limits and forms, and clients that do not
//! know them.

use serde_json::{Value, json};

use crate::support::{Server, Store, User, id, on_both_stores, timestamp};

on_both_stores!(
    each_field_accepts_what_its_limits_allow_and_returns_it_in_one_form,
    a_value_beyond_its_fields_limits_is_refused_and_the_field_named,
    a_field_is_kept_unless_given_and_cleared_by_null,
    completed_at_is_set_by_the_server_and_follows_completed,
    a_client_that_knows_none_of_the_fields_loses_none,
    every_field_survives_a_restart_as_it_was,
);

/// Values a field accepts, with what is stored.
fn good() -> Vec<(&'static str, Value, Value)> {
    let same = |field, value: Value| (field, value.clone(), value);
    let many: Vec<_> = (0..20).map(|number| format!("tag {number}")).collect();
    let repeated = [&many[..10], &many[..10]].concat();
    let mut good = vec![
        ("tags", json!([" home ", "\u{3000}work\t", "home", "Home"]), json!(["home", "work"])),
        (
            "tags",
            json!(["Stra\u{1e9e}e", "caf\u{e9}", "strasse", "CAFE\u{301}", "ﬁx", "FIX"]),
            json!(["Stra\u{1e9e}e", "caf\u{e9}", "ﬁx"]),
        ),
        ("tags", json!(null), json!([])),
        ("tags", json!(repeated), json!(many[..10])),
        same("tags", json!(many)),
        same("tags", json!(["z", "a", "m"])),
        same("tags", json!(["🦀".repeat(50), "a,b", "\"'\\", "ä\u{301}"])),
        same("tags", json!([])),
        same("position", json!("~")),
        same("position", json!("a0 \"\\ Z")),
        same("position", json!("x".repeat(64))),
        same("position", json!(null)),
    ];
    good.extend(["low", "medium", "high", "urgent"].map(|name| same("priority", json!(name))));
    good.extend(
        [("critical", json!("urgent")), ("none", json!(null)), ("", json!(null))]
            .map(|(given, kept)| ("priority", json!(given), kept)),
    );
    good.push(same("priority", json!(null)));
    // A due date comes back exactly as given.
    let dates = [
        "2026-02-28",
        "2028-02-29",
        "0001-01-01",
        "9999-12-31",
        "2026-02-28T10:30:00Z",
        "2026-02-28t10:30:00z",
        "2026-02-28T10:30:00+00:00",
        "2026-02-28T10:30:00-00:00",
        "2026-02-28T10:30:00.5+05:30",
        "2026-02-28T10:30:00.123456789-11:45",
        "2026-06-30T23:59:60Z",
        "9999-12-31T23:59:59-23:59",
    ];
    good.extend(dates.map(|date| same("due_date", json!(date))));
    good.push(same("due_date", json!(null)));
    good
}

/// Values a field refuses.
fn bad() -> Vec<(&'static str, Value)> {
    let many: Vec<_> = (0..21).map(|number| number.to_string()).collect();
    let mut bad = vec![
        ("tags", json!(many)),
        ("tags", json!(vec!["the same"; 21])),
        ("tags", json!(["x".repeat(51)])),
        ("tags", json!(["🦀".repeat(51)])),
        ("tags", json!([""])),
        ("tags", json!(["a", " \u{2003}"])),
        ("tags", json!(["a\u{0}"])),
        ("tags", json!(["a", 1])),
        ("tags", json!(["a", null])),
        ("tags", json!("a")),
        ("tags", json!({"0": "a"})),
        ("position", json!("")),
        ("position", json!("x".repeat(65))),
        ("position", json!("é")),
        ("position", json!("a\tb")),
        ("position", json!("a\u{7f}")),
        ("position", json!(1.5)),
    ];
    let priorities = [json!("Urgent"), json!("High"), json!(" "), json!(" low"), json!(1), json!(["low"])];
    bad.extend(priorities.map(|value| ("priority", value)));
    let dates = [
        "",
        "tomorrow",
        "2026-02-30",
        "2027-02-29",
        "2026-2-8",
        "2026- 2- 8",
        "+2026-2-08",
        "-2026-1-01",
        "0000-01-01",
        "２０２６-02-28",
        "2026-02-28T10:30:00\u{2212}01:00",
        "2026-02-28 10:30:00Z",
        "2026-02-28T10:30:00+24:00",
        "2026-02-28T10:30:60Z",
        "9999-12-31T23:59:60Z",
        "2026-02-28 ",
        "2026-02-28T10:30:00",
        "2026-02-28T24:00:00Z",
        "2026-02-28T10:30Z",
        "20260228",
        "+12026-02-28",
        "2026-02-28T10:30:00.1234567890123456Z",
    ];
    bad.extend(dates.map(|date| ("due_date", json!(date))));
    bad.extend([json!(20_260_228), json!(["2026-02-28"])].map(|value| ("due_date", value)));
    bad
}

async fn each_field_accepts_what_its_limits_allow_and_returns_it_in_one_form(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for (field, given, kept) in good() {
        let made = ann.post(&json!({"title": "a", field: given})).await.expect(201).json();
        assert_eq!(made[field], kept, "{field} in the create");
        let other = ann.create("b").await;
        let changed = ann.patch(id(&other), &json!({field: given})).await.expect(200).json();
        assert_eq!((&changed[field], &changed["title"]), (&kept, &json!("b")), "{field} in the update");
        assert_eq!(ann.task(id(&other)).await.expect(200).json(), changed);
    }
    let list = ann.list().await;
    server.stop();
    // The store returns what was answered.
    assert_eq!(Server::start(&store).user("ann").list().await, list);
}

async fn a_value_beyond_its_fields_limits_is_refused_and_the_field_named(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    for (field, value) in bad() {
        let body = json!({"title": "b", field: value});
        for answer in
            [ann.post(&body).await, ann.put(id(&task), &body).await, ann.patch(id(&task), &body).await]
        {
            let answer = answer.expect_error(422, "VALIDATION_ERROR");
            assert_eq!((answer.bad_fields(), answer.seq()), (vec![field.to_owned()], 1), "{field}: {value}");
        }
    }
    // All wrong fields at once are all named.
    let all = json!({"title": " ", "priority": 1, "tags": [""], "due_date": "x", "position": ""});
    let refused = ann.post(&all).await.expect_error(422, "VALIDATION_ERROR");
    assert_eq!(refused.bad_fields(), ["due_date", "position", "priority", "tags", "title"]);
    assert_eq!(ann.list().await, [task]);
}

/// A task with every field set.
async fn full(user: &User) -> Value {
    let body = json!({"title": "full", "description": "d", "completed": true, "priority": "urgent",
        "tags": ["b", "a"], "due_date": "2026-03-01T18:00:00.5+01:00", "position": "a0"});
    user.post(&body).await.expect(201).json()
}

const FIELDS: [&str; 4] = ["priority", "tags", "due_date", "position"];

async fn a_field_is_kept_unless_given_and_cleared_by_null(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let plain = ann.create("plain").await;
    for (field, unset) in [("priority", json!(null)), ("tags", json!([])), ("due_date", json!(null))] {
        assert_eq!(plain.get(field), Some(&unset), "{field}");
    }
    for field in ["position", "completed_at"] {
        assert_eq!(plain.get(field), Some(&json!(null)), "{field}");
    }
    for method in ["PUT", "PATCH"] {
        for cleared in FIELDS {
            let task = full(&ann).await;
            let body = json!({cleared: null});
            let changed = match method {
                "PUT" => ann.put(id(&task), &body).await,
                _ => ann.patch(id(&task), &body).await,
            };
            let changed = changed.expect(200).json();
            let expected = if cleared == "tags" { json!([]) } else { json!(null) };
            assert_eq!(changed[cleared], expected, "{method} {cleared}");
            for kept in FIELDS.iter().filter(|field| **field != cleared) {
                assert_eq!(changed[*kept], task[*kept], "{method} {cleared} took {kept} along");
            }
        }
    }
    // The set of tags is replaced, not extended.
    let task = full(&ann).await;
    let changed = ann.patch(id(&task), &json!({"tags": ["c"]})).await.expect(200).json();
    assert_eq!(changed["tags"], json!(["c"]));
}

async fn completed_at_is_set_by_the_server_and_follows_completed(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let body = json!({"title": "a", "completed": true, "completed_at": "2020-01-01T00:00:00Z"});
    let born_done = ann.post(&body).await.expect(201).json();
    assert_eq!(born_done["completed_at"], born_done["created_at"]);

    let open = ann.create("b").await;
    let task = id(&open);
    let done = ann.complete(task, None).await.expect(200).json();
    assert_eq!(done["completed_at"], done["updated_at"]);
    let since = timestamp(&done["completed_at"]);
    assert!(since >= timestamp(&open["created_at"]));
    // It is the time when the task became completed, not when it was last set so.
    let body = json!({"completed": true, "completed_at": null, "title": "c"});
    let steps = [
        ann.complete(task, Some(true)).await,
        ann.put(task, &body).await,
        ann.patch(task, &json!({"priority": "low"})).await,
    ];
    for step in steps {
        let step = step.expect(200).json();
        assert_eq!(step["completed_at"], done["completed_at"]);
    }
    let reopened = ann.put(task, &json!({"completed": false})).await.expect(200).json();
    assert_eq!((&reopened["completed"], &reopened["completed_at"]), (&json!(false), &json!(null)));
    let again = ann.patch(task, &json!({"completed": true})).await.expect(200).json();
    assert!(timestamp(&again["completed_at"]) >= since);
    assert_eq!(again["completed_at"], again["updated_at"]);
    assert_eq!(ann.complete(task, None).await.expect(200).json()["completed_at"], json!(null));
    // Only the server sets it: alone it does not make an update.
    let refused = ann.patch(task, &json!({"completed_at": "2020-01-01T00:00:00Z"})).await;
    assert_eq!(refused.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["body"]);
}

async fn a_client_that_knows_none_of_the_fields_loses_none(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = full(&ann).await;
    // An old client knows these three fields and sends them all.
    let read = ann.task(id(&task)).await.expect(200).json();
    let known = |task: &Value| json!({"title": task["title"], "description": task["description"], "completed": task["completed"]});
    let mut form = known(&read);
    form["title"] = json!("changed by an old client");
    let saved = ann.put(id(&task), &form).await.expect(200).json();
    assert_eq!(known(&saved), form);
    for field in FIELDS.iter().chain(&["completed_at", "created_at", "id", "user_id"]) {
        assert_eq!(saved[*field], task[*field], "{field}");
    }
    // Another client sends back the whole object, whatever it contains.
    let mut whole = ann.list().await.remove(0);
    whole["description"] = json!("changed as a whole");
    let saved = ann.put(id(&task), &whole).await.expect(200).json();
    for field in
        whole.as_object().unwrap().keys().filter(|field| !["updated_at", "version"].contains(&&***field))
    {
        assert_eq!(saved[field], whole[field], "{field}");
    }
    // Its toggle, create and list work as before.
    let toggled = ann.complete(id(&task), None).await.expect(200).json();
    assert_eq!((&toggled["completed"], &toggled["tags"]), (&json!(false), &task["tags"]));
    let made = ann.post(&json!({"title": "old", "description": "client"})).await.expect(201).json();
    assert_eq!(known(&made), json!({"title": "old", "description": "client", "completed": false}));
    assert_eq!(ann.list().await, [made, toggled]);
}

async fn every_field_survives_a_restart_as_it_was(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = full(&ann).await;
    let plain = ann.create("plain").await;
    let before = ann.get("/tasks").await.expect(200);
    let mut server = server;
    server.kill();
    let server = Server::start(&store);
    let ann = server.user("ann");
    assert_eq!(ann.get("/tasks").await.expect(200).body, before.body);
    // An update of another field leaves them as stored.
    let changed = ann.patch(id(&task), &json!({"title": "after"})).await.expect(200).json();
    for field in FIELDS.iter().chain(&["completed_at", "created_at", "description"]) {
        assert_eq!(changed[*field], task[*field], "{field}");
    }
    assert_eq!(ann.list().await, [plain, changed]);
}
