//! Filters and sorting of lists, compared with a model of what each parameter means.

use std::cmp::Ordering;

use chrono::{DateTime, NaiveDate};
use serde_json::{Value, json};

use crate::support::{Server, Store, User, on_both_stores};

on_both_stores!(
    titles_are_sorted_by_unicode_collation,
    every_filter_in_every_order_gives_what_the_parameters_mean,
    a_search_finds_text_in_title_description_and_tags_whatever_its_case,
    wrong_parameters_are_all_named_and_unknown_ones_ignored,
);

/// Tasks with and without everything, with many ties.
async fn fill(user: &User) -> Vec<Value> {
    let dues = [
        "2026-03-01",
        "2026-03-01T00:00:00Z",
        "2026-03-01T00:30:00+01:00",
        "2026-02-28",
        "2027-01-01T12:00:00Z",
    ];
    let create = |number: usize| {
        let mut task =
            json!({"title": format!("{} {}", ["milk", "Bread", "apples"][number % 3], number % 4)});
        if number.is_multiple_of(3) {
            task["priority"] = json!(["low", "high", "urgent", "medium"][number / 3 % 4]);
        }
        if number.is_multiple_of(2) {
            task["due_date"] = json!(dues[number / 2 % 5]);
        }
        if number % 5 < 2 {
            task["position"] = json!(["b", "B", "a0", "a~", "b"][number % 7 % 5]);
        }
        task["tags"] = json!(["x", "y", "z w"][..number % 4 % 4].to_vec());
        task["completed"] = json!(number.is_multiple_of(7));
        json!({"op": "create", "task": task})
    };
    let operations: Vec<_> = (0..40).map(create).collect();
    // Half of them in one batch and so at one instant, the rest one by one.
    let batch = json!({"operations": operations[..20]});
    user.call(reqwest::Method::POST, "/batch", Some(&batch)).await.expect(200);
    for operation in &operations[20..] {
        user.post(&operation["task"]).await.expect(201);
    }
    for task in user.list().await.iter().step_by(6) {
        user.patch(crate::support::id(task), &json!({"description": "changed"})).await.expect(200);
    }
    user.list().await
}

/// The instant a due date sorts by: a day counts from its start in UTC.
fn due(text: &str) -> i64 {
    let day =
        NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_hms_opt(0, 0, 0).unwrap().and_utc());
    day.unwrap_or_else(|_| DateTime::parse_from_rfc3339(text).unwrap().to_utc()).timestamp_micros()
}

/// Whether a task passes a filter.
fn holds(task: &Value, name: &str, wanted: &str) -> bool {
    let due_date = task["due_date"].as_str().map(due);
    match name {
        "completed" => task["completed"] == (wanted == "true"),
        "status" => wanted == "all" || task["completed"] == (wanted == "completed"),
        "priority" => task["priority"].as_str().unwrap_or("none") == wanted,
        "tag" => task["tags"].as_array().unwrap().contains(&json!(wanted.to_lowercase())),
        "due_before" => due_date.is_some_and(|instant| instant < due(wanted)),
        "due_after" => due_date.is_some_and(|instant| instant > due(wanted)),
        "updated_since_seq" => task["version"].as_i64().unwrap() > wanted.parse().unwrap(),
        _ => task["title"].as_str().unwrap().to_lowercase().contains(&wanted.to_lowercase()),
    }
}

/// The order by a field: unset values last, ties by id.
fn order(field: &str, one: &Value, other: &Value) -> Ordering {
    let (descending, field) = field.strip_prefix('-').map_or((false, field), |field| (true, field));
    let key = |task: &Value| {
        let text = task[field].as_str()?;
        Some(match field {
            "due_date" => (due(text), String::new()),
            "priority" => (
                i64::try_from(["low", "medium", "high", "urgent"].iter().position(|name| *name == text)?)
                    .unwrap(),
                String::new(),
            ),
            "title" => (0, text.to_lowercase()),
            _ => (0, text.to_owned()),
        })
    };
    let unset_last = key(one).is_none().cmp(&key(other).is_none());
    let mut rest = key(one).cmp(&key(other)).then(one["id"].as_str().cmp(&other["id"].as_str()));
    if descending {
        rest = rest.reverse();
    }
    unset_last.then(rest)
}

const ORDERS: [&str; 12] = [
    "created_at",
    "-created_at",
    "updated_at",
    "-updated_at",
    "due_date",
    "-due_date",
    "priority",
    "-priority",
    "title",
    "-title",
    "position",
    "-position",
];

const FILTERS: [&[(&str, &str)]; 24] = [
    &[],
    &[("completed", "true")],
    &[("completed", "false")],
    &[("status", "all")],
    &[("status", "pending")],
    &[("status", "completed")],
    &[("completed", "false"), ("status", "pending")],
    &[("priority", "low")],
    &[("priority", "medium")],
    &[("priority", "high"), ("completed", "false")],
    &[("priority", "urgent")],
    &[("priority", "none"), ("tag", "y")],
    &[("tag", "x")],
    &[("tag", "x"), ("tag", "z w")],
    &[("tag", "X")],
    &[("due_before", "2026-03-01")],
    &[("due_before", "2026-03-01T00:00:00.000001Z")],
    &[("due_after", "2026-02-28")],
    &[("due_after", "2026-02-28T23:29:59.9+00:00"), ("due_before", "2026-03-02T00:00:00-05:00")],
    &[("updated_since_seq", "0")],
    &[("updated_since_seq", "33")],
    &[("updated_since_seq", "1000")],
    &[("search", "MILK")],
    &[("search", "bread 1"), ("tag", "x"), ("status", "pending")],
];

async fn every_filter_in_every_order_gives_what_the_parameters_mean(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let all = fill(&ann).await;
    assert_eq!(all.len(), 40);
    let mut narrowed = 0;
    for filter in FILTERS {
        let pairs: Vec<_> = filter
            .iter()
            .map(|(name, value)| (*name, value.replace('+', "%2B").replace(' ', "%20")))
            .collect();
        let matching: Vec<_> =
            all.iter().filter(|task| filter.iter().all(|(name, value)| holds(task, name, value))).collect();
        narrowed += usize::from((1..40).contains(&matching.len()));
        for sort in std::iter::once(None).chain(ORDERS.map(Some)) {
            let mut query: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            query.extend(sort.map(|sort| format!("sort={sort}")));
            let path = format!("/tasks?{}", query.join("&"));
            let mut expected = matching.clone();
            expected.sort_by(|one, other| order(sort.unwrap_or("-created_at"), one, other));
            let answer = ann.get(&path).await.expect(200).json();
            assert_eq!(answer["tasks"], json!(expected), "{path}");
            assert_eq!(
                (&answer["count"], &answer["total"]),
                (&json!(expected.len()), &json!(expected.len()))
            );
            assert_eq!(answer["next_cursor"], json!(null), "{path}");
        }
    }
    assert!(narrowed >= 14, "most filters should match some tasks and not others: {narrowed}");
    // The order is the same after a restart.
    let path = "/tasks?sort=title&tag=x";
    let before = ann.get(path).await.body;
    server.stop();
    assert_eq!(Server::start(&store).user("ann").get(path).await.body, before);
}

async fn a_search_finds_text_in_title_description_and_tags_whatever_its_case(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for task in [
        json!({"title": "Straße fegen"}),
        json!({"title": "b", "description": "an der STRASSE"}),
        json!({"title": "c", "tags": ["Wurst", "ΟΔΥΣΣΕΥΣ"]}),
        json!({"title": "100% a+b & \"c\""}),
        json!({"title": "e", "description": "İstanbul"}),
        json!({"title": "caf\u{e9}"}),
        json!({"title": "f", "tags": ["CAFE\u{301}"]}),
    ] {
        ann.post(&task).await.expect(201);
    }
    for (search, titles) in [
        ("strasse", &["b", "Straße fegen"][..]),
        ("STRA%C3%9FE", &["b", "Straße fegen"]),
        ("STRA%E1%BA%9EE", &["b", "Straße fegen"]),
        ("Caf%C3%A9", &["f", "café"]),
        ("cafe%CC%81", &["f", "café"]),
        ("cafe", &[]),
        ("%EF%BC%A5%EF%BC%8E", &[]),
        ("wURST", &["c"]),
        ("%CE%BF%CE%B4%CF%85%CF%83%CF%83%CE%B5%CF%85%CF%82", &["c"]),
        ("a%2Bb%20%26", &["100% a+b & \"c\""]),
        ("a%2Bb+%26+%22C", &["100% a+b & \"c\""]),
        ("fegen%20straße", &[]),
        ("%25", &["100% a+b & \"c\""]),
        ("wurst%CE%BF", &[]),
        ("", &["f", "café", "e", "100% a+b & \"c\"", "c", "b", "Straße fegen"]),
    ] {
        let answer = ann.get(&format!("/tasks?search={search}")).await.expect(200).json();
        let found: Vec<_> =
            answer["tasks"].as_array().unwrap().iter().map(|task| task["title"].clone()).collect();
        assert_eq!(json!(found), json!(titles), "{search}");
    }
}

async fn titles_are_sorted_by_unicode_collation(store: Store) {
    // After the root of CLDR: https://www.unicode.org/charts/collation/.
    const SORTED: [&str; 20] = [
        "_x",
        "-1",
        "„zitat“",
        "1",
        "10",
        "2",
        "a",
        "A",
        "ä",
        "a b",
        "ab",
        "Äpfel",
        "éa",
        "Eb",
        "ẞ",
        "Sta",
        "Zoo",
        "ωμέγα",
        "Яна",
        "中",
    ];
    let server = Server::start(&store);
    let ann = server.user("ann");
    for title in SORTED.iter().skip(1).step_by(2).chain(SORTED.iter().step_by(2)) {
        ann.create(title).await;
    }
    for (sort, expected) in [("title", SORTED.to_vec()), ("-title", SORTED.iter().rev().copied().collect())] {
        let (mut path, mut seen) = (format!("/tasks?sort={sort}&limit=3"), Vec::new());
        for _ in 0..7 {
            let page = ann.get(&path).await.expect(200).json();
            seen.extend(page["tasks"].as_array().unwrap().iter().map(|task| task["title"].clone()));
            path = format!(
                "/tasks?sort={sort}&limit=3&cursor={}",
                page["next_cursor"].as_str().unwrap_or_default()
            );
        }
        assert_eq!(json!(seen), json!(expected), "{sort}");
    }
}

async fn wrong_parameters_are_all_named_and_unknown_ones_ignored(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    ann.create("a").await;
    for (query, fields) in [
        ("completed=yes", &["completed"][..]),
        ("completed=", &["completed"]),
        ("completed=TRUE", &["completed"]),
        ("status=done", &["status"]),
        ("completed=true&status=pending", &["status"]),
        ("priority=highest", &["priority"]),
        ("priority=None", &["priority"]),
        ("due_before=%2B2026-2-08", &["due_before"]),
        ("limit=+5", &["limit"]),
        ("limit=%2B5", &["limit"]),
        ("limit=%D9%A5", &["limit"]),
        ("tag=", &["tag"]),
        ("tag=x&tag=%20", &["tag"]),
        ("due_before=soon", &["due_before"]),
        ("due_after=2026-02-30", &["due_after"]),
        ("updated_since_seq=-1", &["updated_since_seq"]),
        ("updated_since_seq=9223372036854775808", &["updated_since_seq"]),
        ("search=%FF", &["search"]),
        ("sort=id", &["sort"]),
        ("sort=Title", &["sort"]),
        ("sort=--title", &["sort"]),
        ("limit=0", &["limit"]),
        ("limit=501", &["limit"]),
        ("limit=1.5", &["limit"]),
        ("limit=1&limit=2", &["limit"]),
        ("limit=x&sort=x&completed=x", &["completed", "limit", "sort"]),
    ] {
        let refused = ann.get(&format!("/tasks?{query}")).await.expect_error(422, "VALIDATION_ERROR");
        assert_eq!(
            (refused.bad_fields(), refused.seq()),
            (fields.iter().map(|field| (*field).to_owned()).collect(), 1)
        );
    }
    let whole = ann.get("/tasks").await.expect(200);
    for query in
        ["fields=title", "_=1712345", "page=2&per_page=1", "Limit=0", "sort_by=x&order=desc", "", "&&=&x"]
    {
        assert_eq!(ann.get(&format!("/tasks?{query}")).await.expect(200).body, whole.body, "{query}");
    }
}
