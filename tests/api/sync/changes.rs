//! `/changes`: the feed that keeps a client up to date.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Server, Store, User, id, on_both_stores};

on_both_stores!(
    each_task_comes_in_its_latest_form_each_deletion_once_all_in_the_order_of_seq,
    pages_of_any_size_put_together_are_the_whole_feed,
    a_future_token_is_410_and_an_invalid_one_422,
    a_token_before_the_horizon_is_410_and_from_there_on_nothing_is_missing,
    an_erasure_moves_the_horizon,
);

async fn changes(user: &User, query: &str) -> Answer {
    user.get(&format!("/changes?{query}")).await
}

async fn each_task_comes_in_its_latest_form_each_deletion_once_all_in_the_order_of_seq(store: Store) {
    let mut server = Server::start(&store);
    let ann = server.user("ann");
    let empty = changes(&ann, "since=0").await.expect(200);
    assert_eq!(empty.json(), json!({"changes": [], "seq": 0, "lineage": empty.lineage(), "has_more": false}));
    let chosen = Uuid::new_v4().to_string();
    let (first, second) = (ann.create("a").await, ann.create("b").await); // 1, 2
    let changed = ann.put(id(&first), &json!({"title": "c"})).await.expect(200).json(); // 3
    ann.post(&json!({"title": "d", "id": chosen})).await.expect(201); // 4
    ann.delete(&chosen).await.expect(204); // 5
    let back = ann.post(&json!({"title": "back", "id": chosen})).await.expect(201).json(); // 6
    let gone = id(&ann.create("e").await).to_owned(); // 7
    ann.delete(&gone).await.expect(204); // 8
    ann.delete(&gone).await.expect_no_task();
    let feed = json!([
        {"seq": 2, "task": second},
        {"seq": 3, "task": changed},
        {"seq": 5, "id": chosen, "deleted": true},
        {"seq": 6, "task": back},
        {"seq": 8, "id": gone, "deleted": true},
    ]);
    let check = async |user: User| {
        for since in 0..=8_i64 {
            let answer = changes(&user, &format!("since={since}")).await.expect(200);
            let after: Vec<_> = feed
                .as_array()
                .unwrap()
                .iter()
                .filter(|change| change["seq"].as_i64() > Some(since))
                .collect();
            assert_eq!(
                answer.json(),
                json!({"changes": after, "seq": 8, "lineage": answer.lineage(), "has_more": false}),
                "since {since}"
            );
            assert_eq!((answer.seq(), answer.header("etag")), (8, Some(&*answer.list_tag(8))));
        }
    };
    check(ann).await;
    check(User::new(&server, "me", server.user("ann").token)).await;
    assert_eq!(changes(&server.user("bob"), "since=0").await.expect(200).json()["changes"], json!([]));
    server.kill();
    let server = Server::start(&store);
    check(server.user("ann")).await;
}

/// Follows the feed from `since` in pages; returns the changes and the last token.
async fn follow(user: &User, mut since: i64, limit: usize) -> (Vec<Value>, i64) {
    let mut all = Vec::new();
    for _ in 0..1000 {
        let form = changes(user, &format!("since={since}&limit={limit}")).await.expect(200).json();
        let page = form["changes"].as_array().unwrap();
        assert!(page.len() <= limit);
        all.extend(page.iter().cloned());
        let token = form["seq"].as_i64().unwrap();
        if form["has_more"] == false {
            return (all, token);
        }
        assert_eq!(
            (page.len(), page.last().unwrap()["seq"].as_i64()),
            (limit, Some(token)),
            "nothing is skipped"
        );
        since = token;
    }
    panic!("the feed never ends");
}

async fn pages_of_any_size_put_together_are_the_whole_feed(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let operations = json!({"operations": vec![json!({"op": "create", "task": {"title": "a"}}); 500]});
    ann.call(Method::POST, "/batch", Some(&operations)).await.expect(200);
    for (place, task) in ann.list().await.iter().enumerate().filter(|(place, _)| place % 9 == 0) {
        match place % 2 {
            0 => _ = ann.delete(id(task)).await.expect(204),
            _ => _ = ann.complete(id(task), None).await.expect(200),
        }
    }
    ann.create("more than a page").await;
    let seq = ann.seq().await;
    let (whole, _) = follow(&ann, 0, 500).await;
    assert_eq!(whole.len(), 501);
    let form = changes(&ann, "since=0").await.expect(200).json();
    assert_eq!(
        (form["changes"].as_array().unwrap().len(), &form["has_more"]),
        (500, &json!(true)),
        "a page has at most 500"
    );
    for (since, limit) in [(0, 1), (0, 7), (0, 250), (0, 500), (499, 3), (seq - 1, 1), (seq, 1)] {
        let (all, token) = follow(&ann, since, limit).await;
        let expected: Vec<_> =
            whole.iter().filter(|change| change["seq"].as_i64() > Some(since)).cloned().collect();
        assert_eq!((all, token), (expected, seq), "since {since}, {limit} at a time");
    }
    // Applied together they give the list.
    let mut tasks = BTreeMap::new();
    for change in whole {
        match change.get("task") {
            Some(task) => _ = tasks.insert(id(task).to_owned(), task.clone()),
            None => assert_eq!(tasks.remove(id(&change)), None, "each occurs once"),
        }
    }
    let list: BTreeMap<_, _> =
        ann.list().await.into_iter().map(|task| (id(&task).to_owned(), task)).collect();
    assert_eq!(tasks, list);
}

async fn a_future_token_is_410_and_an_invalid_one_422(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    ann.create("a").await;
    for since in ["2", "9223372036854775807"] {
        let refused = changes(&ann, &format!("since={since}")).await.expect_error(410, "RESYNC_REQUIRED");
        assert_eq!((refused.seq(), refused.header("etag")), (1, None));
    }
    for (query, fields) in [
        ("", &["since"][..]),
        ("since=", &["since"]),
        ("since=-1", &["since"]),
        ("since=x", &["since"]),
        ("since=1.0", &["since"]),
        ("since=9223372036854775808", &["since"]),
        ("since=0&since=0", &["since"]),
        ("since=0&limit=0", &["limit"]),
        ("since=0&limit=501", &["limit"]),
        ("since=x&limit=x", &["limit", "since"]),
    ] {
        let refused = changes(&ann, query).await.expect_error(422, "VALIDATION_ERROR");
        assert_eq!(
            (refused.bad_fields(), refused.seq()),
            (fields.iter().map(|name| (*name).to_owned()).collect(), 1)
        );
    }
    changes(&ann, "since=1&limit=1&unknown=x").await.expect(200);
}

async fn a_token_before_the_horizon_is_410_and_from_there_on_nothing_is_missing(store: Store) {
    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    let kept = ann.create("kept").await; // 1
    for _ in 0..2 {
        let task = ann.create("gone").await; // 2, 4
        ann.delete(id(&task)).await.expect(204); // 3, 5
    }
    let bobs = bob.create("a").await;
    server.stop();
    store.age(24 * 20).await;
    let server = Server::start(&store);
    let bob = server.user("bob");
    // Deletions of twenty days ago are remembered.
    assert_eq!(
        changes(&server.user("ann"), "since=0").await.expect(200).json()["changes"].as_array().unwrap().len(),
        3
    );
    bob.delete(id(&bobs)).await.expect(204);
    let later = id(&server.user("ann").create("later").await).to_owned(); // 6
    server.user("ann").delete(&later).await.expect(204); // 7
    server.stop();
    store.age(24 * 10 + 1).await;
    let server = Server::start(&store);
    server.log_line(&["forgot old deletions and idempotency keys"]);
    let ann = server.user("ann");
    for since in 0..5 {
        let refused = changes(&ann, &format!("since={since}")).await.expect_error(410, "RESYNC_REQUIRED");
        assert_eq!(refused.seq(), 7, "a deletion after {since} is forgotten");
    }
    for since in [5, 6] {
        let form = changes(&ann, &format!("since={since}")).await.expect(200).json();
        assert_eq!(form["changes"], json!([{"seq": 7, "id": later, "deleted": true}]));
    }
    // A client that read the list continues from there; recent deletions were in the feed all along.
    let list = ann.get("/tasks").await.expect(200);
    assert_eq!((list.json()["tasks"].clone(), list.seq()), (json!([kept]), 7));
    changes(&ann, "since=7").await.expect(200);
    let form = changes(&server.user("bob"), "since=0").await.expect(200).json();
    assert_eq!(form["changes"], json!([{"seq": 2, "id": id(&bobs), "deleted": true}]));
}

async fn an_erasure_moves_the_horizon(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    ann.create("a").await;
    ann.create("b").await;
    ann.erase().await.expect(204); // 3
    let new = ann.create("c").await; // 4
    let check = async |user: &User| {
        for since in 0..3 {
            changes(user, &format!("since={since}")).await.expect_error(410, "RESYNC_REQUIRED");
        }
        let form = changes(user, "since=3").await.expect(200).json();
        assert_eq!(form["changes"], json!([{"seq": 4, "task": new}]));
    };
    check(&ann).await;
    server.stop();
    check(&Server::start(&store).user("ann")).await;
}
