//! Whatever is accepted is exported, can be imported again, and is the same: in its own store, in the other one, and
//! through `tasklane copy`. So is what an earlier version accepted.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{bare, import};
use crate::support::command::run;
use crate::support::{Answer, Kind, Server, Store, User, id, on_both_stores, send, tokens};

on_both_stores!(what_an_earlier_version_accepted_is_shown_and_can_be_imported_into_itself_and_elsewhere);

/// A field of a task, and values as they stand in JSON: at every limit, in every spelling of it, and beyond.
fn values() -> Vec<(&'static str, String)> {
    let wide = |count| format!("\"{}\"", "\u{fdfa}".repeat(count));
    let mut all: Vec<(&str, String)> = Vec::new();
    let texts = [
        r#""""#,
        r#"" ""#,
        r#""a""#,
        r#"" a ""#,
        r#""\u0000""#,
        r#""a\u0000b""#,
        r#""\u0001\u001f\u007f\u0085 x""#,
        r#""\ud83e\udd80""#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\/\b\f\n\r\t\"\\""#,
        r#""\ufeff""#,
        r#""\ufeffa""#,
        r#""\u200b""#,
        r#""\uffff\ufffe\ufdd0""#,
        r#""\udbff\udfff""#,
        r#""e\u0301""#,
        r#""\u00e9""#,
        r#""\u2028\u2029""#,
        r#""null""#,
        "null",
        "0",
        "-0",
        "1e3",
        "true",
        "[]",
        "{}",
    ];
    for field in ["title", "description", "position", "priority", "due_date"] {
        all.extend(texts.map(|text| (field, text.to_owned())));
    }
    all.extend(
        [1, 199, 200, 201, 2000, 2001]
            .map(wide)
            .into_iter()
            .flat_map(|text| [("title", text.clone()), ("description", text)]),
    );
    // Longer before it is trimmed than after.
    all.push(("title", format!("\"{}{}\\u3000\"", "\\u2003".repeat(300), "é".repeat(200))));
    all.extend(texts.map(|text| ("tags", format!("[{text}]"))));
    all.extend([50, 51].map(|count| ("tags", format!("[{}]", wide(count)))));
    all.push((
        "tags",
        format!("[{}]", (0..20).map(|number| format!("\" T{number}\\u00a0\"")).collect::<Vec<_>>().join(",")),
    ));
    all.push(("tags", format!("[{}]", vec!["\"same\""; 21].join(","))));
    for tags in [
        r#"["a","A","b"]"#,
        r#"["\u00e9","e\u0301","E\u0301"]"#,
        r#"["stra\u00dfe","STRASSE","STRA\u1e9eE"]"#,
        r#"["a","a\u0000"]"#,
        r#"[" a","a "]"#,
        r#"["\ufb01","fi","FI"]"#,
    ] {
        all.push(("tags", tags.to_owned()));
    }
    for name in ["low", "high", "urgent", "critical", "none", "High"] {
        all.push(("priority", format!("\"{name}\"")));
    }
    for date in DATES {
        all.push(("due_date", format!("\"{date}\"")));
    }
    all.extend([64, 65].map(|count| ("position", format!("\"{}\"", "~".repeat(count)))));
    all.extend(["true", "false", "null", "1", "\"true\""].map(|value| ("completed", value.to_owned())));
    all
}

const DATES: [&str; 24] = [
    "0001-01-01",
    "9999-12-31",
    "0000-12-31",
    "2026-02-29",
    "+2026-2-08",
    "2026- 2- 8",
    "-2026-1-01",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "0001-01-01T00:00:00-23:59",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59.999999999Z",
    "9999-12-31T23:59:60Z",
    "9999-12-31T00:00:00-23:59",
    "9999-12-31T23:59:59+00:01",
    "2016-12-31T23:59:60Z",
    "2016-12-31T23:59:60.999999999Z",
    "1990-12-31T15:59:60-08:00",
    "2026-02-28T10:30:60Z",
    "2026-02-28t10:30:00.1z",
    "2026-02-28T10:30:00.1234567-00:00",
    "2026-02-28T10:30:00.1234567891Z",
    "2026-02-28T10:30:00\u{2212}01:00",
    "1969-12-31T23:59:59.9999995Z",
];

async fn post(user: &User, path: &str, body: String) -> Answer {
    send(user.request(Method::POST, path).header(CONTENT_TYPE, "application/json").body(body)).await
}

/// Sends every value in a create and in an import, which must agree; returns how many were accepted.
async fn send_all(user: &User) -> usize {
    let mut accepted = 0;
    let wanted = |answer: &Answer| {
        assert!(answer.status < 300 || answer.status == 422, "{}", answer.text());
        answer.status < 300
    };
    for (field, value) in values() {
        let title = if field == "title" { "" } else { r#""title":"t","# };
        let created = wanted(&post(user, "/tasks", format!(r#"{{{title}"{field}":{value}}}"#)).await);
        let more = r#""created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z""#;
        let task = format!(r#"{{"id":"{}",{title}"{field}":{value},{more}}}"#, Uuid::new_v4());
        let imported = wanted(&post(user, "/import", format!(r#"{{"tasks":[{task}]}}"#)).await);
        assert_eq!(created, imported, "{field}: {value}");
        accepted += usize::from(created) * 2;
    }
    for date in DATES {
        for field in ["created_at", "updated_at", "completed_at"] {
            let mut task = json!({"id": Uuid::new_v4(), "title": "t", "completed": true, "created_at": "2026-01-01T00:00:00Z",
                "updated_at": "2026-01-01T00:00:00Z"});
            task[field] = json!(date);
            accepted += usize::from(wanted(&import(user, &json!({"tasks": [task]})).await));
        }
    }
    accepted
}

/// Exports a user's tasks and imports them: there, where nothing changes, and as another user of another server, where
/// all of it is the same.
async fn pass_on(user: &User, other: &User) {
    let export = user.get("/export").await.expect(200).json();
    let (list, seq) = (user.list().await, user.seq().await);
    let again = import(user, &export).await.expect(200).json();
    assert_eq!(again, json!({"imported": 0, "unchanged": list.len(), "seq": seq}));
    assert_eq!(import(other, &export).await.expect(200).json()["imported"], list.len());
    let mut passed = other.list().await;
    passed.sort_by_key(|task| task["id"].to_string());
    let mut sent = list;
    sent.sort_by_key(|task| task["id"].to_string());
    for (passed, sent) in bare(&passed).iter().zip(bare(&sent)) {
        assert_eq!(*passed, sent);
    }
    assert_eq!(passed.len(), sent.len());
}

/// Everything that a user's list shows, through `tasklane copy`.
async fn copied(from: &Store, to: &Store, lists: &[(&str, Vec<Value>)]) {
    let secret = [("BETTER_AUTH_SECRET", tokens::SECRET)];
    let finished = run(from.dir(), &["copy", "--from", from.url(), "--to", to.url()], &secret);
    assert_eq!(finished.code, 0, "{finished:?}");
    let server = Server::start(to);
    for (subject, list) in lists {
        assert_eq!(server.user(subject).list().await, *list);
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_is_exported_imported_and_copied_as_it_is_on_and_across_both_stores() {
    needs!(Postgres);
    let kinds = [Kind::Sqlite, Kind::Postgres];
    let stores = [Store::new(kinds[0]).await, Store::new(kinds[1]).await];
    let servers = stores.each_ref().map(Server::start);
    let mut accepted = Vec::new();
    for server in &servers {
        accepted.push(send_all(&server.user("ann")).await);
    }
    assert_eq!(accepted[0], accepted[1], "both stores take the same");
    assert!(accepted[0] > 150, "{accepted:?}");
    for (from, to) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        pass_on(&servers[from].user("ann"), &servers[to].user(&format!("from {from}"))).await;
    }
    let mut lists = Vec::new();
    for server in &servers {
        let mut of_server = Vec::new();
        for subject in ["ann", "from 0", "from 1"] {
            of_server.push((subject, server.user(subject).list().await));
        }
        lists.push(of_server);
    }
    servers.into_iter().for_each(Server::stop);
    copied(&stores[0], &Store::new(Kind::Postgres).await, &lists[0]).await;
    copied(&stores[1], &Store::new(Kind::Sqlite).await, &lists[1]).await;
}

async fn what_an_earlier_version_accepted_is_shown_and_can_be_imported_into_itself_and_elsewhere(
    store: Store,
) {
    // A task's field as it was stored, and as it is shown now.
    let rows = [
        ("due_date", "2026- 2- 8", json!("2026-02-08")),
        ("due_date", "-2026-1-01", json!("0001-01-01")),
        ("due_date", "2026-02-28T10:30:00\u{2212}01:00", json!("2026-02-28T11:30:00.000000Z")),
        ("due_date", "9999-12-31T23:59:60Z", json!("9999-12-31T23:59:59.000000Z")),
        ("tags", r#"["Home","home","x"]"#, json!(["Home", "home", "x"])),
        ("title", "\u{200b}", json!("(untitled)")),
    ];
    let server = Server::start(&store);
    let ann = server.user("ann");
    let mut ids = Vec::new();
    for (index, _) in rows.iter().enumerate() {
        ids.push(id(&ann.create(&format!("row {index}")).await).to_owned());
    }
    server.stop();
    for (index, (field, stored, _)) in rows.iter().enumerate() {
        store.damage(&[&format!("UPDATE tasks SET {field} = '{stored}' WHERE title = 'row {index}'")]).await;
    }
    let server = Server::start(&store);
    let ann = server.user("ann");
    for ((field, stored, shown), id) in rows.iter().zip(&ids) {
        assert_eq!(ann.task(id).await.expect(200).json()[field], *shown, "{field}: {stored}");
    }
    let summary = ann.get("/summary").await.expect(200).json();
    assert_eq!(summary["by_tag"], json!({"Home": 1, "x": 1}), "a task counts once");
    assert_eq!(ann.get("/tasks?tag=HOME").await.expect(200).json()["total"], 1);
    let export = ann.get("/export").await.expect(200).json();
    let again = import(&ann, &export).await.expect(200).json();
    assert_eq!((&again["imported"], &again["unchanged"]), (&json!(0), &json!(rows.len())));
    // Elsewhere a tag is kept once.
    let bob = server.user("bob");
    assert_eq!(import(&bob, &export).await.expect(200).json()["imported"], rows.len());
    assert_eq!(bob.task(&ids[4]).await.expect(200).json()["tags"], json!(["Home", "x"]));
    let lists = [("ann", ann.list().await), ("bob", bob.list().await)];
    server.stop();
    copied(&store, &Store::new(Kind::Sqlite).await, &lists).await;
}
