//! The counts, compared with a model, in time zones where today is a different day.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, FixedOffset, NaiveDate, SecondsFormat, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, Store, User, id, on_both_stores};

on_both_stores!(
    the_counts_are_exact_in_every_time_zone,
    the_counts_follow_every_change_and_give_the_seq,
    an_unknown_time_zone_is_422,
);

/// Zones without summer time, with their hours from UTC. The first two never have the same day.
const ZONES: [(&str, i32); 4] =
    [("Pacific/Kiritimati", 14), ("Etc/GMT%2B12", -12), ("Asia/Tokyo", 9), ("", 0)];

fn day(now: DateTime<Utc>, hours: i32) -> NaiveDate {
    now.with_timezone(&FixedOffset::east_opt(hours * 3600).unwrap()).date_naive()
}

/// Counts as in the contract: due dates, priorities and tags are counted for open tasks only.
fn counted(tasks: &[Value], now: DateTime<Utc>, hours: i32, seq: i64) -> Value {
    let today = day(now, hours);
    let (mut overdue, mut due_today) = (0, 0);
    let mut by_priority =
        BTreeMap::from([("low", 0), ("medium", 0), ("high", 0), ("urgent", 0), ("none", 0)]);
    let mut by_tag: BTreeMap<&str, usize> = BTreeMap::new();
    let open: Vec<_> = tasks.iter().filter(|task| task["completed"] == false).collect();
    for task in &open {
        *by_priority.get_mut(task["priority"].as_str().unwrap_or("none")).unwrap() += 1;
        for tag in task["tags"].as_array().unwrap() {
            *by_tag.entry(tag.as_str().unwrap()).or_default() += 1;
        }
        let Some(text) = task["due_date"].as_str() else { continue };
        if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            overdue += usize::from(date < today);
            due_today += usize::from(date == today);
        } else {
            let instant = DateTime::parse_from_rfc3339(text).unwrap().to_utc();
            overdue += usize::from(instant < now);
            due_today += usize::from(day(instant, hours) == today);
        }
    }
    json!({"open": open.len(), "completed": tasks.len() - open.len(), "overdue": overdue, "due_today": due_today,
        "by_priority": by_priority, "by_tag": by_tag, "seq": seq})
}

/// Compares with the model in every zone; if midnight passes in between, once more.
async fn check(user: &User) {
    let (tasks, seq) = (user.list().await, user.seq().await);
    for (zone, hours) in ZONES {
        let path = if zone.is_empty() { "/summary".to_owned() } else { format!("/summary?tz={zone}") };
        let mut days = Vec::new();
        for _ in 0..3 {
            let before = Utc::now();
            let answer = user.get(&path).await.expect(200);
            days = vec![day(before, hours), day(Utc::now(), hours)];
            if days[0] == days[1] {
                assert_eq!(answer.json(), counted(&tasks, before, hours, seq), "{path}");
                assert_eq!((answer.seq(), answer.header("etag")), (seq, None), "{path}");
                break;
            }
        }
        assert_eq!(days[0], days[1]);
    }
}

/// Tasks due around now, on days and at instants, completed and open.
async fn fill(user: &User) {
    let now = Utc::now();
    let mut operations = Vec::new();
    for hours in (-60..=60_i32).step_by(5) {
        let instant = now + Duration::hours(i64::from(hours)) + Duration::minutes(20);
        for (number, text) in [
            instant.to_rfc3339_opts(SecondsFormat::Secs, true),
            instant.with_timezone(&FixedOffset::east_opt(hours % 12 * 3600).unwrap()).to_rfc3339(),
            day(instant, hours / 5).to_string(),
        ]
        .iter()
        .enumerate()
        {
            let priority =
                [json!("low"), json!("medium"), json!("high"), json!(null)][operations.len() % 4].clone();
            let tags = &["x", "y", "ä \"quoted\""][..operations.len() % 4 % 4];
            operations
                .push(json!({"op": "create", "task": {"title": "a", "due_date": text, "priority": priority,
                "tags": tags, "completed": (operations.len() + number) % 5 == 0}}));
        }
    }
    operations.push(json!({"op": "create", "task": {"title": "never due"}}));
    user.call(Method::POST, "/batch", Some(&json!({"operations": operations}))).await.expect(200);
}

async fn the_counts_are_exact_in_every_time_zone(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    check(&ann).await;
    fill(&ann).await;
    check(&ann).await;
    // The zone matters: different tasks are due today at the two ends of the world.
    let (tasks, seq, now) = (ann.list().await, ann.seq().await, Utc::now());
    assert_ne!(day(now, ZONES[0].1), day(now, ZONES[1].1));
    let [east, west] = [0, 1].map(|zone: usize| counted(&tasks, now, ZONES[zone].1, seq));
    assert_ne!(east["due_today"], json!(0));
    assert_ne!(east["overdue"], west["overdue"]);
    server.stop();
    let server = Server::start(&store);
    check(&server.user("ann")).await;
    assert_eq!(server.user("bob").get("/summary").await.expect(200).json()["open"], 0);
}

async fn the_counts_follow_every_change_and_give_the_seq(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let today = Utc::now().date_naive().to_string();
    let body = json!({"title": "a", "due_date": today, "priority": "high", "tags": ["x", "y"]});
    let task = ann.post(&body).await.expect(201).json();
    check(&ann).await;
    for change in [
        json!({"due_date": "2020-01-01"}),
        json!({"tags": ["y"], "priority": "low"}),
        json!({"tags": null, "priority": null, "due_date": null}),
        json!({"tags": ["z"], "due_date": today}),
    ] {
        ann.patch(id(&task), &change).await.expect(200);
        check(&ann).await;
    }
    ann.complete(id(&task), None).await.expect(200);
    check(&ann).await;
    let counts = ann.get("/summary").await.expect(200).json();
    assert_eq!(
        (&counts["completed"], &counts["by_tag"], &counts["due_today"]),
        (&json!(1), &json!({}), &json!(0))
    );
    ann.complete(id(&task), None).await.expect(200);
    check(&ann).await;
    ann.delete(id(&task)).await.expect(204);
    check(&ann).await;
}

async fn an_unknown_time_zone_is_422(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for tz in ["", "Mars/Olympus", "%2B02:00", "europe", "Europe/Berlin&tz=UTC", "..%2FUTC"] {
        let refused = ann.get(&format!("/summary?tz={tz}")).await.expect_error(422, "VALIDATION_ERROR");
        assert_eq!(refused.bad_fields(), ["tz"], "{tz}");
    }
    for tz in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc%2FGMT-14"] {
        ann.get(&format!("/summary?tz={tz}&unknown=1")).await.expect(200);
    }
}
