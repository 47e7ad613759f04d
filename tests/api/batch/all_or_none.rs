//! Many writes in one request: all of them, in order, in one commit, or none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Server, Store, User, id, on_both_stores};

on_both_stores!(
    each_operation_does_what_its_own_request_would_in_order_under_consecutive_seqs,
    one_operation_that_fails_undoes_all_and_is_named,
    every_wrong_field_of_every_operation_is_listed,
    a_condition_is_checked_for_each_operation_at_its_turn,
    a_batch_has_at_most_500_operations,
    readers_see_all_of_a_batch_or_nothing_and_so_does_a_restart,
);

async fn batch(user: &User, operations: &Value) -> Answer {
    user.call(Method::POST, "/batch", Some(&json!({"operations": operations}))).await
}

async fn each_operation_does_what_its_own_request_would_in_order_under_consecutive_seqs(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let (old, gone) = (ann.create("old").await, ann.create("gone").await);
    let new = Uuid::new_v4().to_string();
    let create = json!({"op": "create", "task": {"id": new, "title": " new ", "tags": [" x ", "x"]}});
    let answer = batch(
        &ann,
        &json!([
            create,
            {"op": "update", "id": id(&old), "task": {"title": "changed", "priority": "low"}},
            {"op": "complete", "id": new},
            {"op": "complete", "id": id(&old), "completed": true},
            {"op": "delete", "id": id(&gone)},
            {"op": "update", "id": new, "task": {"description": "by the same batch"}},
            {"op": "create", "task": {"title": "last"}},
            {"op": "delete", "id": id(&old)},
        ]),
    )
    .await
    .expect(200);
    assert_eq!((answer.seq(), answer.header("etag")), (10, None));
    let form = answer.json();
    assert_eq!(form["seq"], 10);
    let results = form["results"].as_array().unwrap();
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 200, 200, 200, 204, 200, 201, 204]);
    // Each task once, with the last operation on it.
    let versions: Vec<_> = results.iter().map(|result| result["task"]["version"].as_i64()).collect();
    assert_eq!(versions, [None, None, None, None, None, Some(8), Some(9), None]);
    assert_eq!((&results[5]["task"]["title"], &results[5]["task"]["tags"]), (&json!("new"), &json!(["x"])));
    assert_eq!((&results[5]["task"]["completed"], &results[4].get("task")), (&json!(true), &None));
    let kept = [results[5]["task"].clone(), results[6]["task"].clone()];
    let mut list = ann.list().await;
    list.sort_by_key(|task| task["version"].as_i64());
    assert_eq!(list, kept);
    // The same create again is not a change and takes no seq; the flip takes one.
    let again = json!([{"op": "create", "task": {"title": "last", "id": id(&kept[1])}}, {"op": "complete", "id": new}]);
    let form = batch(&ann, &again).await.expect(200).json();
    assert_eq!((&form["results"][0]["status"], &form["results"][0]["task"]), (&json!(200), &kept[1]));
    assert_eq!((&form["results"][1]["task"]["completed"], &form["seq"]), (&json!(false), &json!(11)));
    // The feed has deletions and changes, each under its own seq.
    let feed = ann.get("/changes?since=2").await.expect(200).json();
    let seqs: Vec<_> =
        feed["changes"].as_array().unwrap().iter().map(|change| change["seq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, [7, 9, 10, 11]);
}

async fn one_operation_that_fails_undoes_all_and_is_named(store: Store) {
    let server = Server::with(&store, &[("MAX_TASKS_PER_USER", "6")]);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let create = json!({"op": "create", "task": {"title": "b"}});
    let taken = json!({"op": "create", "task": {"title": "other", "id": id(&task)}});
    let good = [
        json!({"op": "update", "id": id(&task), "task": {"title": "changed"}}),
        json!({"op": "complete", "id": id(&task)}),
        create.clone(),
    ];
    let faults = [
        (
            404,
            "NOT_FOUND",
            json!({"op": "update", "id": Uuid::new_v4(), "task": {"title": "x"}}),
            json!(null),
        ),
        (404, "NOT_FOUND", json!({"op": "complete", "id": Uuid::new_v4()}), json!(null)),
        (404, "NOT_FOUND", json!({"op": "delete", "id": "no uuid"}), json!(null)),
        (409, "CONFLICT", taken, json!(null)),
        (412, "PRECONDITION_FAILED", json!({"op": "delete", "id": id(&task), "if_match": 7}), task.clone()),
    ];
    for place in 0..=good.len() {
        for (status, code, fault, shown) in &faults {
            let mut operations = good.to_vec();
            operations.insert(place, fault.clone());
            let refused = batch(&ann, &json!(operations)).await.expect(*status);
            assert_eq!((refused.code().as_str(), refused.seq()), (*code, 1), "{fault} at {place}");
            let details = refused.json()["error"]["details"].clone();
            // The task is shown as stored, not as the batch would have changed it.
            assert_eq!(details, json!({"operation": place, "task": shown}), "{fault} at {place}");
        }
    }
    let refused = batch(&ann, &json!([create, create, create, create, create, create])).await;
    let refused = refused.expect(409);
    assert_eq!(
        (refused.code().as_str(), refused.json()["error"]["details"]["operation"].as_i64()),
        ("QUOTA_EXCEEDED", Some(5))
    );
    assert_eq!((ann.list().await, ann.seq().await), (vec![task], 1));
    server.stop();
    assert_eq!(Server::start(&store).user("ann").seq().await, 1);
}

async fn every_wrong_field_of_every_operation_is_listed(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let some = Uuid::new_v4();
    for (operations, fields) in [
        (
            json!([{"op": "create", "task": {"title": "a"}}, {"op": "create", "task": {"title": "", "tags": [""]}}, {"op": "make"}]),
            vec!["operations[1].tags", "operations[1].title", "operations[2].op"],
        ),
        (
            json!([{}, 7, null, [], {"op": 1}]),
            vec!["operations[0].op", "operations[1]", "operations[2]", "operations[3]", "operations[4].op"],
        ),
        (
            json!([{"op": "create"}, {"op": "update", "id": some}, {"op": "update", "task": {"title": "a"}}]),
            vec!["operations[0].task", "operations[1].task", "operations[2].id"],
        ),
        (json!([{"op": "update", "id": some, "task": {}}]), vec!["operations[0].task"]),
        (
            json!([{"op": "complete", "id": some, "completed": null}, {"op": "delete"}]),
            vec!["operations[0].completed", "operations[1].id"],
        ),
        (
            json!([{"op": "delete", "id": some, "if_match": 1.5}, {"op": "create", "task": {"title": "a"}, "if_match": 1}]),
            vec!["operations[0].if_match", "operations[1].if_match"],
        ),
        (json!([]), vec!["operations"]),
        (json!({}), vec!["operations"]),
        (json!(null), vec!["operations"]),
    ] {
        let refused = batch(&ann, &operations).await.expect_error(422, "VALIDATION_ERROR");
        assert_eq!(
            (refused.bad_fields(), refused.seq()),
            (fields.into_iter().map(str::to_owned).collect(), 0),
            "{operations}"
        );
    }
    let refused = ann.call(Method::POST, "/batch", Some(&json!({}))).await;
    assert_eq!(refused.expect_error(422, "VALIDATION_ERROR").bad_fields(), ["operations"]);
    assert_eq!(ann.seq().await, 0);
}

async fn a_condition_is_checked_for_each_operation_at_its_turn(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let (task, seen) = (id(&task), |version: i64| {
        json!([version, format!("\"{version}\""), format!("W/\"1\", \"{version}\""), "*"])
    });
    let mut version = 1;
    for form in 0..4 {
        // Each operation meets the version that the one before it made.
        let operations = json!([
            {"op": "update", "id": task, "task": {"title": "b"}, "if_match": seen(version)[form]},
            {"op": "complete", "id": task, "if_match": seen(version + 1)[form]},
            {"op": "update", "id": task, "task": {"title": "c"}, "if_match": null},
        ]);
        version = batch(&ann, &operations).await.expect(200).json()["seq"].as_i64().unwrap();
    }
    let current = ann.task(task).await.expect(200).json();
    for (place, condition) in [
        (1, json!(version)),
        (0, json!("\"1\"")),
        (0, json!(format!("W/\"{version}\""))),
        (0, json!("")),
        (0, json!(-1)),
    ] {
        let operations = json!([
            {"op": "update", "id": task, "task": {"title": "d"}, "if_match": if place == 0 { condition.clone() } else { json!("*") }},
            {"op": "delete", "id": task, "if_match": condition},
        ]);
        let refused = batch(&ann, &operations).await.expect_error(412, "PRECONDITION_FAILED");
        assert_eq!(
            refused.json()["error"]["details"],
            json!({"operation": place, "task": current}),
            "{condition}"
        );
    }
    assert_eq!(ann.seq().await, version);
}

async fn a_batch_has_at_most_500_operations(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let create = json!({"op": "create", "task": {"title": "a", "description": "d".repeat(2000)}});
    let too_many = batch(&ann, &json!(vec![create.clone(); 501])).await.expect_error(422, "VALIDATION_ERROR");
    assert_eq!((too_many.bad_fields(), ann.seq().await), (vec!["operations".to_owned()], 0));
    let most = batch(&ann, &json!(vec![create; 500])).await.expect(200).json();
    assert_eq!((most["results"].as_array().unwrap().len(), &most["seq"]), (500, &json!(500)));
    // They share one instant; each has its own version.
    let list = ann.list().await;
    assert_eq!(list.len(), 500);
    assert!(list.iter().all(|task| task["created_at"] == list[0]["created_at"]));
    let create = json!({"op": "create", "task": {"title": "a", "description": "🦀".repeat(2000)}});
    batch(&ann, &json!(vec![create; 300])).await.expect_error(413, "PAYLOAD_TOO_LARGE");
    server.stop();
    assert_eq!(Server::start(&store).user("ann").list().await, list);
}

async fn readers_see_all_of_a_batch_or_nothing_and_so_does_a_restart(store: Store) {
    const SIZE: usize = 50;
    let mut server = Server::start(&store);
    let (ann, over) = (server.user("ann"), Arc::new(AtomicBool::new(false)));
    let reads: Arc<[AtomicUsize; 3]> = Arc::default();
    let readers: Vec<_> = (0..reads.len())
        .map(|reader| {
            let (ann, over, reads) = (ann.clone(), Arc::clone(&over), Arc::clone(&reads));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let list = ann.get("/tasks").await.expect(200);
                    let count = list.json()["tasks"].as_array().unwrap().len();
                    assert_eq!(
                        (count % SIZE, json!(list.seq())),
                        (0, json!(count)),
                        "a part of a batch was visible"
                    );
                    reads[reader].fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let create = json!({"op": "create", "task": {"title": "a"}});
    let mut rounds = 0;
    while rounds < 20 || reads.iter().any(|reads| reads.load(Ordering::Relaxed) < 2) {
        rounds += 1;
        assert!(rounds < 150, "a reader never finishes: {reads:?}");
        let form = batch(&ann, &json!(vec![create.clone(); SIZE])).await.expect(200).json();
        assert_eq!(form["seq"], rounds * SIZE);
    }
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    // A batch is under way when the process dies: afterwards all of it is stored, or nothing.
    let late = tokio::spawn({
        let ann = ann.clone();
        let body = json!({"operations": vec![create; SIZE]});
        async move { ann.try_call(Method::POST, "/batch", Some(&body)).await.is_ok() }
    });
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    server.kill();
    let answered = late.await.unwrap();
    let server = Server::start(&store);
    let list = server.user("ann").list().await;
    let (before, after) = (rounds * SIZE, (rounds + 1) * SIZE);
    assert!([before, after].contains(&list.len()), "{}", list.len());
    assert!(!answered || list.len() == after, "an answered batch is lost");
    assert_eq!(json!(server.user("ann").seq().await), json!(list.len()));
}
