//! Tests of the checker, for requests that do many things: it accepts a true history, and finds a violation
//! of each kind.

use serde_json::{Value, json};

use crate::checker::{Final, check};
use crate::follower::Followed;
use crate::record::{Record, What};
use crate::support::Event;
use crate::violations::{A, B, found_in, record, set, task};

const C: &str = "0b8f6a52-1d0e-4b7a-9c58-2f6d1e0b4a03";

/// A batch, a batch with an unknown outcome that was carried out, an export, an erasure, an import.
fn truth() -> (Vec<Record>, Final) {
    let (a1, b2) = (task(A, "a", None, false, 1), task(B, "b", None, false, 2));
    let make = |id: &str, title: &str| What::Create { id: Some(id.into()), title: title.into() };
    let b3 = task(B, "b", None, true, 3);
    let c6 = task(C, "c", None, false, 6);
    let results = json!([{"status": 201, "task": a1}, {"status": 201, "task": b2}]);
    let tick = What::Complete { id: B.into(), completed: Some(true) };
    let drop = What::Delete { id: A.into(), if_match: None };
    let records = vec![
        record(
            What::Batch(vec![make(A, "a"), make(B, "b")]),
            0,
            200,
            Some(2),
            &json!({"results": results, "seq": 2}),
        ),
        record(What::Batch(vec![tick, drop]), 2, 0, None, &Value::Null),
        record(What::Export, 4, 200, Some(4), &json!({"tasks": [b3], "seq": 4})),
        record(What::Erase, 6, 204, Some(5), &Value::Null),
        record(What::List, 8, 200, Some(5), &json!({"tasks": []})),
        record(
            What::Import(vec![(C.into(), "c".into())]),
            10,
            200,
            Some(6),
            &json!({"imported": 1, "unchanged": 0, "seq": 6}),
        ),
    ];
    (
        records,
        Final {
            seq: 6,
            tasks: vec![c6.clone()],
            horizon: 5,
            changes: vec![json!({"seq": 6, "task": c6})],
            followed: None,
        },
    )
}

#[track_caller]
fn found(part: &str, lie: impl FnOnce(&mut Vec<Record>, &mut Final)) {
    found_in(truth(), part, lie);
}

#[test]
fn the_checker_accepts_a_true_history_of_batches_imports_and_erasures() {
    let (records, end) = truth();
    assert_eq!(check(&records, &end), Ok(()));
}

/// A create with an unknown outcome may have been carried out and erased before anybody saw it, but not
/// after.
#[test]
fn the_checker_accepts_an_unseen_task_before_an_erasure_and_none_after() {
    let what = What::Create { id: None, title: "nobody's".into() };
    let (mut records, mut end) = truth();
    let unknown = record(what, 5, 0, None, &Value::Null);
    // The seqs of the erasure, the import and all later reads are one higher.
    for later in &mut records[3..] {
        later.reply.seq = later.reply.seq.map(|seq| seq + 1);
    }
    let c7 = task(C, "c", None, false, 7);
    set(&mut records[5], &json!({"imported": 1, "unchanged": 0, "seq": 7}));
    end = Final {
        seq: 7,
        tasks: vec![c7.clone()],
        horizon: 6,
        changes: vec![json!({"seq": 7, "task": c7})],
        ..end
    };
    records.insert(3, unknown);
    assert_eq!(check(&records, &end), Ok(()));

    let (mut records, mut end) = truth();
    let what = What::Create { id: None, title: "nobody's".into() };
    records.push(record(what, 12, 0, None, &Value::Null));
    end.seq = 7;
    assert!(check(&records, &end).unwrap_err().contains("belongs to nobody"));
}

#[test]
fn the_checker_finds_batches_that_are_not_whole() {
    // A read between the two writes of one batch.
    found("half of a batch", |records, _| {
        let half = json!({"tasks": [task(A, "a", None, false, 1)]});
        records.push(record(What::List, 1, 200, Some(1), &half));
    });
    // One of them did more than was asked for.
    found("no state of", |records, _| {
        let lie = json!({"results": [{"status": 201, "task": task(A, "a", None, false, 1)},
            {"status": 201, "task": task(B, "b", None, true, 2)}], "seq": 2});
        set(&mut records[0], &lie);
    });
    found("not what was asked for", |records, _| {
        set(&mut records[0], &json!({"results": [{"status": 201}], "seq": 2}));
    });
    // Two batches that overlap.
    found("half of a batch", |records, _| {
        let lie = json!({"results": [{"status": 204}, {"status": 204}], "seq": 3});
        let both = [A, B].map(|id| What::Delete { id: id.into(), if_match: None });
        records.push(record(What::Batch(both.into()), 3, 200, Some(3), &lie));
    });
    // A refused batch was applied: its tasks were there.
    found("can only be in", |records, _| {
        let refused = json!({"error": {"code": "NOT_FOUND", "details": {"operation": 0, "task": null}}});
        let delete = What::Delete { id: B.into(), if_match: None };
        records.push(record(What::Batch(vec![delete]), 3, 404, Some(2), &refused));
    });
}

#[test]
fn the_checker_finds_wrong_exports_and_imports() {
    found("can only be in", |records, _| set(&mut records[2], &json!({"tasks": [], "seq": 4})));
    found("an export of another seq", |records, _| records[2].reply.seq = Some(3));
    found("not what was asked for", |records, _| {
        set(&mut records[5], &json!({"imported": 0, "unchanged": 1, "seq": 6}));
    });
    found("can only be in", |_, end| {
        end.tasks.clear();
    });
}

#[test]
fn the_checker_finds_what_outlives_an_erasure() {
    found("can only be in", |records, _| {
        set(&mut records[4], &json!({"tasks": [task(B, "b", None, true, 3)]}));
    });
    found("the feed begins at", |_, end| {
        end.horizon = 0;
        end.changes.insert(0, json!({"seq": 3, "task": task(B, "b", None, true, 3)}));
    });
    found("belong to nobody", |records, _| {
        set(&mut records[3], &json!({"error": {"code": "STORE_UNAVAILABLE"}}));
        records[3].reply.status = 503;
        records[1].reply.unsent = true;
    });
}

/// A follower of this history's stream: a list that was reloaded after the erasure, and one task.
fn follower(end: &Final) -> Followed {
    let mut followed = Followed { seq: 5, resyncs: 1, ..Followed::default() };
    let data = end.changes.last().unwrap().clone();
    followed.take(&Event { name: "hello".into(), id: 5, data: json!({"seq": 5}) });
    followed.take(&Event { name: "change".into(), id: 6, data });
    followed
}

#[test]
fn the_checker_finds_a_stream_that_leaves_out_repeats_or_invents() {
    let lie = |part: &str, lie: fn(&mut Followed, &mut Final)| {
        found(part, |_, end| {
            let mut followed = follower(end);
            lie(&mut followed, end);
            end.followed = Some(followed);
        });
    };
    let (records, mut end) = truth();
    end.followed = Some(follower(&end));
    assert_eq!(check(&records, &end), Ok(()));
    lie("who followed has", |followed, _| followed.tasks.clear());
    lie("who followed has", |followed, _| {
        drop(followed.tasks.insert(A.into(), task(A, "a", None, false, 1)));
    });
    lie("a stream goes on from 6", |followed, _| {
        followed.take(&Event {
            name: "change".into(),
            id: 6,
            data: json!({"seq": 6, "id": C, "deleted": true}),
        });
    });
    lie("a stream goes on from 6", |followed, _| {
        followed.take(&Event { name: "hello".into(), id: 5, data: json!({"seq": 5}) });
    });
    lie("version 6 is", |followed, _| followed.changes[0]["task"]["title"] = json!("another"));
    lie("a stream tells of a deletion", |followed, _| {
        followed.changes.insert(0, json!({"seq": 2, "id": B, "deleted": true}));
    });
    lie("had to reload the list", |followed, end| {
        followed.resyncs = 1;
        end.horizon = 0;
    });
}
