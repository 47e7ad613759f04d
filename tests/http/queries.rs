//! Lists filtered, sorted and paginated; counts.

use actix_web::test::init_service;
use serde_json::{Value, json};
use tasklane::http;

use crate::harness::{Answer, alice, api, list_tag, send};

/// Six tasks; each title says what is special about the task.
fn tasks() -> Vec<Value> {
    vec![
        json!({"title": "plain"}),
        json!({"title": "Straße", "priority": "low", "position": "b"}),
        json!({"title": "done", "completed": true, "tags": ["x"]}),
        json!({"title": "early", "due_date": "2020-01-01", "priority": "high", "tags": ["x", "y"]}),
        json!({"title": "late", "due_date": "2120-01-01T00:00:00+02:00", "priority": "medium", "position": "a"}),
        json!({"title": "told", "description": "in the STRASSE", "tags": ["y"]}),
    ]
}

fn titles(answer: &Answer) -> Vec<String> {
    let tasks = answer.json()["tasks"].as_array().unwrap().clone();
    tasks.iter().map(|task| task["title"].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn a_list_is_filtered_and_sorted_by_every_parameter() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    for task in tasks() {
        send(&app, alice("POST", "/api/me/tasks").set_json(task)).await;
    }
    for (query, expected) in [
        ("completed=true", "done"),
        ("status=completed", "done"),
        ("status=pending&sort=created_at", "plain Straße early late told"),
        ("status=all&sort=created_at", "plain Straße done early late told"),
        ("priority=high", "early"),
        ("priority=none&sort=created_at", "plain done told"),
        ("priority=&sort=created_at", "plain done told"),
        ("priority=critical", ""),
        ("tag=X", "early done"),
        ("tag=x", "early done"),
        ("tag=x&tag=y", "early"),
        ("due_before=2026-01-01", "early"),
        ("due_after=2120-01-01T00:00:00%2B03:00", "late"),
        ("due_after=2120-01-01T00:00:00+03:00", "late"),
        ("due_after=2120-01-01T00:00:00%2B02:00", ""),
        ("updated_since_seq=4", "told late"),
        ("search=strasse", "told Straße"),
        ("search=STRA%E1%BA%9EE", "told Straße"),
        ("search=STRA%C3%9FE&priority=low", "Straße"),
        ("sort=title", "done early late plain Straße told"),
        ("sort=-priority&limit=3", "early late Straße"),
        ("sort=priority&limit=3", "Straße late early"),
        ("sort=position&limit=2", "late Straße"),
        ("sort=-position&limit=2", "Straße late"),
        ("sort=-due_date&limit=2", "late early"),
        ("unknown=1&fields=title&limit=1", "told"),
    ] {
        let answer = send(&app, alice("GET", &format!("/api/me/tasks?{query}"))).await;
        assert_eq!(titles(&answer).join(" "), expected, "{query}");
        assert_eq!(answer.header("etag"), list_tag(6), "{query}");
    }
}

#[actix_web::test]
async fn pages_lead_from_one_to_the_next_and_keep_the_other_parameters() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    for task in tasks() {
        send(&app, alice("POST", "/api/me/tasks").set_json(task)).await;
    }
    let mut path = "/api/me/tasks?status=pending&limit=2&sort=title&x=a%20b".to_owned();
    let mut found = Vec::new();
    for page in 0..3 {
        let answer = send(&app, alice("GET", &path)).await;
        let form = answer.json();
        found.extend(titles(&answer));
        assert_eq!((&form["total"], form["count"].as_u64()), (&json!(5), Some(if page < 2 { 2 } else { 1 })));
        let Some(cursor) = form["next_cursor"].as_str() else {
            assert_eq!((page, answer.header("link")), (2, ""));
            break;
        };
        let next = format!("/api/me/tasks?status=pending&limit=2&sort=title&x=a%20b&cursor={cursor}");
        assert_eq!(answer.header("link"), format!("<{next}>; rel=\"next\""));
        // Tasks deleted and created meanwhile make no other task missing or repeated.
        if page == 0 {
            let shown = form["tasks"][1]["id"].as_str().unwrap().to_owned();
            send(&app, alice("DELETE", &format!("/api/me/tasks/{shown}"))).await;
            send(&app, alice("POST", "/api/me/tasks").set_json(json!({"title": "aaa"}))).await;
        }
        path = next;
    }
    assert_eq!(found.join(" "), "early late plain Straße told");
    for (query, name) in [
        ("cursor=x", "cursor"),
        ("sort=id", "sort"),
        ("limit=501", "limit"),
        ("completed=yes", "completed"),
        ("priority=highest", "priority"),
        ("tag=", "tag"),
        ("due_before=soon", "due_before"),
        ("updated_since_seq=-1", "updated_since_seq"),
    ] {
        let refused = send(&app, alice("GET", &format!("/api/me/tasks?{query}"))).await;
        refused.is_error(422, "VALIDATION_ERROR");
        assert_eq!(refused.json()["error"]["details"][0]["field"], name);
    }
}

#[actix_web::test]
async fn an_unchanged_list_is_304_with_any_query_and_a_changed_one_never() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    send(&app, alice("POST", "/api/me/tasks").set_json(json!({"title": "a"}))).await;
    let paths = ["/api/me/tasks", "/api/me/tasks?search=a&limit=1", "/api/me/changes?since=0"];
    for path in paths {
        let answer = send(&app, alice("GET", path).insert_header(("if-none-match", list_tag(1)))).await;
        assert_eq!((answer.status, answer.header("x-tasklane-seq")), (304, "1"), "{path}");
    }
    send(&app, alice("POST", "/api/me/tasks").set_json(json!({"title": "b"}))).await;
    for path in paths {
        let answer = send(&app, alice("GET", path).insert_header(("if-none-match", list_tag(1)))).await;
        assert_eq!((answer.status, answer.header("etag")), (200, &*list_tag(2)), "{path}");
    }
    // A wrong parameter is an error even if the client's copy is current.
    let wrong = alice("GET", "/api/me/tasks?limit=0").insert_header(("if-none-match", "*"));
    send(&app, wrong).await.is_error(422, "VALIDATION_ERROR");
}

#[actix_web::test]
async fn a_user_with_many_tasks_gets_the_same_responses() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let create = |n: usize| json!({"op": "create", "task": {"title": format!("t{n}"), "tags": ["x"]}});
    for _ in 0..5 {
        let operations: Vec<_> = (0..500).map(create).collect();
        let batch = alice("POST", "/api/me/batch").set_json(json!({"operations": operations}));
        assert_eq!(send(&app, batch).await.status, 200);
    }
    let page = send(&app, alice("GET", "/api/me/tasks?search=T499&sort=-title&limit=2")).await;
    assert_eq!((titles(&page), &page.json()["total"]), (vec!["t499".into(), "t499".into()], &json!(5)));
    assert!(page.header("link").ends_with("; rel=\"next\""));
    let summary = send(&app, alice("GET", "/api/me/summary")).await.json();
    assert_eq!((&summary["open"], &summary["by_tag"]), (&json!(2500), &json!({"x": 2500})));
    assert_eq!(send(&app, alice("GET", "/api/me/tasks")).await.json()["count"], 2500);
}

#[actix_web::test]
async fn the_summary_counts_exactly_and_knows_time_zones_by_name() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    let empty = send(&app, alice("GET", "/api/me/summary")).await;
    assert_eq!((empty.status, empty.header("etag"), empty.header("x-tasklane-seq")), (200, "", "0"));
    for task in tasks() {
        send(&app, alice("POST", "/api/me/tasks").set_json(task)).await;
    }
    for zone in ["UTC", "Europe/Berlin"] {
        let answer = send(&app, alice("GET", &format!("/api/me/summary?tz={zone}"))).await;
        assert_eq!((answer.status, answer.header("x-tasklane-seq")), (200, "6"), "{zone}");
        let summary = answer.json();
        assert_eq!((&summary["open"], &summary["completed"]), (&json!(5), &json!(1)));
        assert_eq!((&summary["overdue"], &summary["due_today"]), (&json!(1), &json!(0)));
        assert_eq!(summary["by_priority"], json!({"low": 1, "medium": 1, "high": 1, "urgent": 0, "none": 2}));
        assert_eq!((&summary["by_tag"], &summary["seq"]), (&json!({"x": 1, "y": 2}), &json!(6)));
    }
    // These two zones are 26 hours apart: they never have the same date.
    let today = || (chrono::Utc::now() + chrono::TimeDelta::hours(14)).date_naive();
    let day = today();
    let task = json!({"title": "today", "due_date": day.to_string()});
    send(&app, alice("POST", "/api/me/tasks").set_json(task)).await;
    let west = send(&app, alice("GET", "/api/me/summary?tz=Etc/GMT%2B12")).await.json();
    assert_eq!(west["due_today"], 0);
    let east = send(&app, alice("GET", "/api/me/summary?tz=Pacific/Kiritimati")).await.json();
    // Unless midnight has passed meanwhile.
    assert!(east["due_today"] == 1 || today() != day);
    for zone in ["Mars/Olympus", "", "europe", "UTC&tz=UTC"] {
        let refused = send(&app, alice("GET", &format!("/api/me/summary?tz={zone}"))).await;
        refused.is_error(422, "VALIDATION_ERROR");
        assert_eq!(refused.json()["error"]["details"][0]["field"], "tz");
    }
}

/// Every parameter in a query that the OpenAPI document names, and the path of its route.
fn parameters() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&http::docs::openapi::document()).unwrap();
    let mut found = Vec::new();
    for (pattern, item) in document["paths"].as_object().unwrap() {
        let operations = item.as_object().unwrap().values();
        let named = operations.filter_map(|operation| operation["parameters"].as_array()).flatten();
        let named = named.filter(|parameter| parameter["in"] == "query");
        let path = pattern.replace("{user_id}", "me");
        found.extend(named.map(|one| (path.clone(), one["name"].as_str().unwrap().to_owned())));
    }
    assert!(found.len() > 10, "{found:?}");
    found
}

#[actix_web::test]
async fn the_name_of_every_parameter_may_be_encoded() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    for (path, name) in parameters() {
        let all = name.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        let one = name.replacen(&name[1..2], &format!("%{:02X}", name.as_bytes()[1]), 1);
        for spelled in [&name, &all, &one] {
            let answer = send(&app, alice("GET", &format!("{path}?{spelled}=%FF"))).await;
            answer.is_error(422, "VALIDATION_ERROR");
            let details = answer.json()["error"]["details"].clone();
            let named = details.as_array().unwrap().iter().any(|fault| fault["field"] == *name);
            assert!(named, "{path}?{spelled}: {details}");
        }
    }
    for spelled in ["ticket", "%74icket", "%74%69%63%6B%65%74"] {
        let answer = send(&app, crate::harness::request("GET", &format!("/api/me/events?{spelled}=x"))).await;
        assert_eq!(answer.json()["message"], "Invalid token", "{spelled}");
    }
}

#[actix_web::test]
async fn time_zones_are_named_in_any_case_and_with_a_plain_plus() {
    let (api, _) = api();
    let app = init_service(http::app(&api)).await;
    for (zone, status) in [
        ("Europe/Berlin", 200),
        ("europe/BERLIN", 200),
        ("utc", 200),
        ("Etc/GMT+5", 200),
        ("etc/gmt%2B5", 200),
        ("Etc/GMT-5", 200),
        ("Europe/Berlin+", 422),
        ("+UTC", 422),
        ("Europe%2FNowhere", 422),
        ("", 422),
    ] {
        let answer = send(&app, alice("GET", &format!("/api/me/summary?tz={zone}"))).await;
        assert_eq!(answer.status, status, "{zone}");
    }
}
