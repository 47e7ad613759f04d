//! Tests of the checker: it accepts a true history, and finds a violation of each kind.

use serde_json::{Value, json};

use crate::checker::{Final, check, check_of_servers_alone};
use crate::record::{Record, Reply, What};

pub const A: &str = "0b8f6a52-1d0e-4b7a-9c58-2f6d1e0b4a01";
pub const B: &str = "0b8f6a52-1d0e-4b7a-9c58-2f6d1e0b4a02";

pub fn task(id: &str, title: &str, description: Option<&str>, completed: bool, version: i64) -> Value {
    json!({"id": id, "title": title, "description": description, "completed": completed, "version": version})
}

pub fn record(what: What, at: u64, status: u16, seq: Option<i64>, body: &Value) -> Record {
    let body = serde_json::to_vec(body).unwrap();
    let reply = Reply { status, seq, replayed: false, body, unsent: false };
    Record { server: 0, user: 0, what, key: None, invoked: at, returned: at + 1, reply }
}

fn describe(text: &str) -> What {
    What::Describe { id: A.into(), text: text.into(), if_match: None }
}

/// Two tasks; an update whose answer was lost, and one that was refused; a deletion; reads.
fn truth() -> (Vec<Record>, Final) {
    let (a1, b2) = (task(A, "a", None, false, 1), task(B, "b", None, false, 2));
    let a4 = task(A, "a", Some("x"), true, 4);
    let create =
        |id: Option<&str>, title: &str| What::Create { id: id.map(str::to_owned), title: title.into() };
    let mut made_again = record(create(None, "b"), 4, 201, Some(2), &b2);
    made_again.reply.replayed = true;
    let mut records = vec![
        record(create(Some(A), "a"), 0, 201, Some(1), &a1),
        record(create(None, "b"), 2, 0, None, &Value::Null),
        made_again,
        record(What::List, 6, 200, Some(2), &json!({"tasks": [b2, a1]})),
        record(describe("x"), 8, 503, None, &json!({"error": {"code": "OUTCOME_UNKNOWN"}})),
        record(describe("y"), 10, 503, None, &json!({"error": {"code": "STORE_UNAVAILABLE"}})),
        record(What::Complete { id: A.into(), completed: None }, 12, 200, Some(4), &a4),
        record(What::Delete { id: B.into(), if_match: None }, 14, 204, Some(5), &Value::Null),
        record(What::Task { id: B.into() }, 16, 404, Some(5), &Value::Null),
        record(What::Task { id: A.into() }, 18, 200, Some(5), &a4),
    ];
    for made in &mut records[1..3] {
        made.key = Some("k".into());
    }
    let changes = vec![json!({"seq": 4, "task": a4}), json!({"seq": 5, "id": B, "deleted": true})];
    (records, Final { seq: 5, tasks: vec![a4], horizon: 0, changes, followed: None })
}

#[track_caller]
fn found(part: &str, lie: impl FnOnce(&mut Vec<Record>, &mut Final)) {
    found_in(truth(), part, lie);
}

#[track_caller]
pub fn found_in(truth: (Vec<Record>, Final), part: &str, lie: impl FnOnce(&mut Vec<Record>, &mut Final)) {
    let (mut records, mut end) = truth;
    lie(&mut records, &mut end);
    records.sort_by_key(|record| record.invoked);
    let complaint = check(&records, &end).expect_err("this violation must be found");
    assert!(complaint.contains(part), "another complaint: {complaint}");
}

pub fn set(record: &mut Record, body: &Value) {
    record.reply.body = serde_json::to_vec(body).unwrap();
}

#[test]
fn the_checker_accepts_a_true_history_with_an_unknown_outcome() {
    let (records, end) = truth();
    assert_eq!(check(&records, &end), Ok(()));
}

#[test]
fn the_checker_finds_lost_and_invented_writes() {
    // The last acknowledged write is lost, as if it had been answered before the commit.
    found("", |_, end| {
        end.seq = 4;
        end.tasks.push(task(B, "b", None, false, 2));
        end.changes = vec![json!({"seq": 2, "task": task(B, "b", None, false, 2)}), end.changes[0].clone()];
    });
    found("can only be in", |_, end| end.tasks.clear());
    found("can only be in", |_, end| end.tasks.push(task(B, "b", None, false, 2)));
    // A write that was reported as not applied was applied, in place of the unknown one.
    found("belongs to nobody", |records, _| {
        let lie = task(A, "a", Some("y"), false, 3);
        records.push(record(What::Task { id: A.into() }, 11, 200, Some(3), &lie));
    });
    found("belong to nobody", |records, _| {
        set(&mut records[4], &json!({"error": {"code": "OVERLOADED"}}));
    });
    // A flip without effect.
    found("no state of", |records, end| {
        let lie = task(A, "a", Some("x"), false, 4);
        set(&mut records[6], &lie);
        set(&mut records[9], &lie);
        end.tasks = vec![lie.clone()];
        end.changes[0]["task"] = lie;
    });
}

#[test]
fn the_checker_finds_stale_and_torn_reads() {
    found("was known before", |records, _| {
        records[9].reply.seq = Some(4);
    });
    found("can only be in", |records, _| {
        set(&mut records[3], &json!({"tasks": [task(A, "a", None, false, 1)]}));
    });
    found("can only be in", |records, _| {
        records[8].reply.status = 200;
        set(&mut records[8], &task(B, "b", None, false, 2));
    });
    found("was shown, but the last is", |records, _| records[9].reply.seq = Some(6));
    found("version 4 is", |records, _| {
        let mut lie = task(A, "a", Some("x"), true, 4);
        lie["updated_at"] = json!("another instant");
        set(&mut records[9], &lie);
    });
}

#[test]
fn in_sole_mode_a_read_may_be_behind_other_servers_but_neither_behind_its_own_nor_may_a_write() {
    // A list from before the last change, at another server than the one that acknowledged it.
    let stale = |server: usize| {
        let (mut records, end) = truth();
        let tasks = json!([task(A, "a", Some("x"), true, 4), task(B, "b", None, false, 2)]);
        let mut list = record(What::List, 20, 200, Some(4), &json!({"tasks": tasks}));
        list.server = server;
        records.push(list);
        (records, end)
    };
    let (records, end) = stale(1);
    assert_eq!(check_of_servers_alone(&records, &end), Ok(()));
    assert!(check(&records, &end).unwrap_err().contains("was known before"));
    let (records, end) = stale(0);
    assert!(check_of_servers_alone(&records, &end).unwrap_err().contains("was known before"));
    // Even a stale read must be true at its seq.
    let (mut records, end) = stale(1);
    set(records.last_mut().unwrap(), &json!({"tasks": [task(A, "a", Some("x"), true, 4)]}));
    assert!(check_of_servers_alone(&records, &end).unwrap_err().contains("can only be in"));
    // A write with a seq older than one that another server had answered before.
    let (mut records, end) = truth();
    let last = records.len() - 1;
    records[6].server = 1;
    (records[6].invoked, records[6].returned) = (30, 31);
    records.swap(6, last);
    assert!(check_of_servers_alone(&records, &end).unwrap_err().contains("before this write"));
}

#[test]
fn the_checker_finds_keys_that_are_carried_out_wrongly() {
    let again = |records: &mut Vec<Record>, change: fn(&mut Record)| {
        let mut again = Record { invoked: 20, returned: 21, ..records[2].clone() };
        change(&mut again);
        records.push(again);
    };
    found("two answers under one key", |records, _| {
        again(records, |again| set(again, &task(B, "b", None, true, 2)));
    });
    found("carried out again", |records, _| again(records, |again| again.reply.replayed = false));
    found("never carried out", |records, _| {
        records[1].reply.unsent = true;
    });
}

#[test]
fn the_checker_finds_a_feed_that_differs() {
    found("the feed comes to", |_, end| drop(end.changes.remove(0)));
    found("the feed does not tell", |_, end| drop(end.changes.pop()));
    found("the feed goes from", |_, end| end.changes.reverse());
    found("not its own", |_, end| end.changes[0]["seq"] = json!(3));
}

#[test]
fn the_checker_finds_answers_outside_the_contract() {
    found("cannot have", |records, _| records[5].reply.status = 500);
    found("no X-Tasklane-Seq", |records, _| records[8].reply.seq = None);
}
