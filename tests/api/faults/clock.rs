//! A wrong clock affects when tokens and tickets expire, and nothing else: changes are ordered by seq.

use serde_json::{Value, json};

use crate::needs::faketime;
use crate::support::{Server, Store, User, id, on_both_stores, tokens};

on_both_stores!(
    restarts_under_a_clock_a_day_back_and_a_day_ahead_lose_and_reorder_nothing,
    a_clock_that_jumps_while_the_service_runs_loses_and_reorders_nothing,
);

/// A server whose clock is off by what a file says, such as `-1d`; the file is read at every look at the
/// clock.
fn server(store: &Store, off: &str) -> Server {
    let file = store.dir().join("clock");
    std::fs::write(&file, off).unwrap();
    let settings = [
        ("LD_PRELOAD", faketime().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        // The monotonic clock, for pauses and measurements, is left alone: no machine ever sets that one.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    Server::with(store, &settings)
}

/// A user whose token is valid under each of the clocks.
fn user(server: &Server) -> User {
    let claims = json!({"sub": "ann", "exp": tokens::now() + 5 * 86_400});
    User::new(server, "ann", tokens::signed(&claims))
}

/// Writes of every kind, each of which must get the next seq; then checks lists and feed.
async fn write_and_look(user: &User, round: i64) -> (Value, String) {
    let before = user.seq().await;
    let made = user.create(&format!("round {round}")).await;
    let changed = user.put(id(&made), &json!({"description": "changed"})).await.expect(200);
    let gone = user.create("gone").await;
    let deleted = user.delete(id(&gone)).await.expect(204);
    let seqs =
        [made["version"].as_i64().unwrap(), changed.seq(), gone["version"].as_i64().unwrap(), deleted.seq()];
    assert_eq!(seqs, [before + 1, before + 2, before + 3, before + 4]);

    // The list is complete and ordered by age, and its pages together are the list.
    let list = user.list().await;
    assert_eq!(i64::try_from(list.len()).unwrap(), round);
    let age = |task: &Value| (task["created_at"].as_str().unwrap().to_owned(), id(task).to_owned());
    assert!(list.iter().map(age).is_sorted_by(|newer, older| newer > older), "{list:?}");
    let (mut pages, mut path) = (Vec::new(), "/tasks?limit=2".to_owned());
    loop {
        let page = user.get(&path).await.expect(200).json();
        pages.extend(page["tasks"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/tasks?limit=2&cursor={cursor}");
        assert!(pages.len() <= list.len());
    }
    assert_eq!(pages, list);

    // The feed is ordered by seq, whatever the clock said.
    let feed = user.get(&format!("/changes?since={before}")).await.expect(200).json();
    let listed: Vec<_> =
        feed["changes"].as_array().unwrap().iter().map(|change| change["seq"].clone()).collect();
    assert_eq!(listed, [before + 2, before + 4]);
    let tag = user.get("/tasks").await.expect(200).header("etag").unwrap().to_owned();
    let same = user.request(reqwest::Method::GET, "/tasks").header("if-none-match", &tag);
    crate::support::send(same).await.expect(304);
    (changed.json(), tag)
}

/// The day a task was made on.
fn day(task: &Value) -> String {
    task["created_at"].as_str().unwrap()[..10].to_owned()
}

async fn restarts_under_a_clock_a_day_back_and_a_day_ahead_lose_and_reorder_nothing(store: Store) {
    needs!(Faketime);
    let mut kept: Vec<(Value, String)> = Vec::new();
    for (round, off) in (1..).zip(["+0", "-1d", "+1d", "+0"]) {
        let server = server(&store, off);
        let ann = user(&server);
        for (task, _) in &kept {
            assert_eq!(ann.task(id(task)).await.expect(200).json(), *task, "under the clock {off}");
        }
        if let Some((_, tag)) = kept.last() {
            assert_eq!(ann.get("/tasks").await.expect(200).header("etag"), Some(&**tag));
        }
        kept.push(write_and_look(&ann, round).await);
        server.stop();
    }
    let days: Vec<_> = kept.iter().map(|(task, _)| day(task)).collect();
    assert!(days[1] < days[0] && days[0] < days[2], "the clock was not set: {days:?}");
}

async fn a_clock_that_jumps_while_the_service_runs_loses_and_reorders_nothing(store: Store) {
    needs!(Faketime);
    let server = server(&store, "+0");
    let ann = user(&server);
    let mut days = Vec::new();
    for (round, off) in (1..).zip(["+0", "-1d", "+1d", "-1d", "+0"]) {
        std::fs::write(store.dir().join("clock"), off).unwrap();
        days.push(day(&write_and_look(&ann, round).await.0));
    }
    assert!(days[1] < days[0] && days[0] < days[2] && days[3] == days[1], "the clock was not set: {days:?}");
    // A token that has expired by the server's clock is refused, and accepted again once the clock is right.
    let short = User::new(&server, "ann", tokens::of("ann"));
    std::fs::write(store.dir().join("clock"), "+1d").unwrap();
    short.get("/tasks").await.expect_message(401, "UNAUTHORIZED", "Token expired");
    std::fs::write(store.dir().join("clock"), "+0").unwrap();
    assert_eq!(short.list().await.len(), 5);
    server.stop();
}
