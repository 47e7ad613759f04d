//! A list in pages: whatever changes meanwhile, each task that stays is seen exactly once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Server, Store, User, id, on_both_stores};

on_both_stores!(
    the_next_links_lead_through_the_whole_list,
    a_cursor_outlives_the_task_it_was_made_of,
    a_broken_cursor_is_422,
    tasks_that_stay_are_each_seen_once_while_others_come_and_go,
);

/// Creates tasks in one batch.
async fn fill(user: &User, tasks: impl Iterator<Item = Value>) -> Vec<Value> {
    let operations: Vec<_> = tasks.map(|task| json!({"op": "create", "task": task})).collect();
    let body = json!({"operations": operations});
    let made = user.call(Method::POST, "/batch", Some(&body)).await.expect(200).json();
    made["results"].as_array().unwrap().iter().map(|result| result["task"].clone()).collect()
}

fn tasks(page: &Answer) -> Vec<Value> {
    page.json()["tasks"].as_array().unwrap().clone()
}

/// The target of a page's `Link`: a path below the user's, which must have the page's own cursor.
#[track_caller]
fn next(page: &Answer) -> Option<String> {
    let form = page.json();
    let Some(cursor) = form["next_cursor"].as_str() else {
        assert_eq!((&form["next_cursor"], page.header("link")), (&json!(null), None));
        return None;
    };
    let link = page.header("link").unwrap_or_else(|| panic!("a cursor without a link: {page:?}"));
    let target = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")).unwrap();
    assert!(target.ends_with(&format!("cursor={cursor}")), "{link}");
    Some(target.strip_prefix("/api/ann").unwrap_or_else(|| panic!("{link}")).to_owned())
}

async fn the_next_links_lead_through_the_whole_list(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let made = |number: usize| json!({"title": format!("{}", number % 9), "tags": ["a b"], "completed": number.is_multiple_of(10)});
    fill(&ann, (0..300).map(made)).await;
    fill(&ann, (300..520).map(made)).await;
    let filters = "/tasks?tag=a%20b&status=pending&tag=a+b";
    for (limit, query) in [
        (7, "sort=title"),
        (100, "sort=-updated_at"),
        (500, "sort=due_date"),
        (500, "sort=created_at"),
        (50, "x=1"),
    ] {
        let whole = ann.get(&format!("{filters}&{query}")).await.expect(200).json();
        assert_eq!(
            (&whole["count"], &whole["total"], &whole["next_cursor"]),
            (&json!(468), &json!(468), &json!(null))
        );
        let mut path = format!("{filters}&{query}&limit={limit}");
        let mut seen = Vec::new();
        for number in 0..100 {
            let page = ann.get(&path).await.expect(200);
            let form = page.json();
            let expected = limit.min(468 - seen.len());
            assert_eq!((&form["count"], &form["total"]), (&json!(expected), &json!(468)), "{path}");
            seen.extend(tasks(&page));
            // The link keeps the other parameters unchanged and has one cursor.
            let Some(target) = next(&page) else {
                assert_eq!(number, 467 / limit, "{query}");
                break;
            };
            let before = path.split("&cursor=").next().unwrap();
            assert_eq!(target.split("&cursor=").next().unwrap(), before);
            path = target;
        }
        assert_eq!(json!(seen), whole["tasks"], "{query}");
    }
    // A page that holds the rest has no next one; a cursor without a limit gives pages of a hundred.
    assert_eq!(next(&ann.get("/tasks?sort=title&limit=500&completed=true").await), None);
    let first = ann.get("/tasks?limit=1").await.expect(200).json();
    let page =
        ann.get(&format!("/tasks?cursor={}", first["next_cursor"].as_str().unwrap())).await.expect(200);
    assert_eq!(page.json()["count"], 100);
    // Pages continue after a restart.
    let path = next(&page).unwrap();
    let expected = ann.get(&path).await.expect(200).body;
    server.stop();
    assert_eq!(Server::start(&store).user("ann").get(&path).await.expect(200).body, expected);
}

async fn a_cursor_outlives_the_task_it_was_made_of(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    for sort in ["created_at", "-created_at", "updated_at", "due_date", "-priority", "title", "-position"] {
        let made = |number: usize| match number % 2 {
            0 => json!({"title": "same"}),
            _ => json!({"title": "same", "priority": "low", "due_date": "2026-03-01", "position": "x"}),
        };
        fill(&ann, (0..8).map(made)).await;
        let whole = ann.get(&format!("/tasks?sort={sort}")).await.expect(200);
        let order: Vec<_> = tasks(&whole).iter().map(|task| id(task).to_owned()).collect();
        let page = ann.get(&format!("/tasks?sort={sort}&limit=3")).await.expect(200);
        let rest = next(&page).unwrap();
        // The task the cursor names and the first one after it are deleted: all others follow.
        ann.delete(&order[2]).await.expect(204);
        ann.delete(&order[3]).await.expect(204);
        let mut path = Some(rest);
        let mut seen = Vec::new();
        while let Some(current) = path {
            let page = ann.get(&current).await.expect(200);
            assert_eq!(page.json()["total"], 6, "{sort}");
            seen.extend(tasks(&page).iter().map(|task| id(task).to_owned()));
            path = next(&page);
        }
        assert_eq!(seen, order[4..], "{sort}");
        for task in ann.list().await {
            ann.delete(id(&task)).await.expect(204);
        }
        // Nothing is left: the next page is empty, and not an error.
        let page = ann.get(&format!("/tasks?sort={sort}&limit=1")).await.expect(200);
        assert_eq!((page.json()["total"].clone(), next(&page)), (json!(0), None));
    }
}

async fn a_broken_cursor_is_422(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    fill(&ann, (0..3).map(|number| json!({"title": format!("{number}")}))).await;
    let cursor = |page: &Answer| page.json()["next_cursor"].as_str().unwrap().to_owned();
    let good = cursor(&ann.get("/tasks?sort=title&limit=1").await.expect(200));
    let refused = async |query: String| {
        let refused = ann.get(&format!("/tasks?{query}")).await.expect_error(422, "VALIDATION_ERROR");
        assert_eq!(refused.bad_fields(), ["cursor"], "{query}");
    };
    ann.get(&format!("/tasks?sort=title&cursor={good}")).await.expect(200);
    for end in 0..good.len() {
        refused(format!("sort=title&cursor={}", &good[..end])).await;
    }
    for broken in [
        "x",
        "%00",
        "%FF",
        "e30",
        "W10",
        "bnVsbA",
        &format!("{good}A"),
        &format!("{good}="),
        &"A".repeat(5000),
    ] {
        refused(format!("sort=title&cursor={broken}")).await;
    }
    // A cursor of one order is invalid in another.
    for other in ["-title", "created_at", "priority", "position"] {
        refused(format!("sort={other}&cursor={good}")).await;
    }
    refused(format!("cursor={good}")).await;
    refused(format!("sort=title&cursor={good}&cursor={good}")).await;
}

/// Follows the pages of one order, with changes between any two of them; returns the tasks in the order they
/// came.
async fn walk(user: &User, sort: &str, limit: usize, done: &AtomicU32) -> Vec<Value> {
    let mut path = Some(format!("/tasks?sort={sort}&limit={limit}"));
    let mut seen = Vec::new();
    for _ in 0..1000 {
        let Some(current) = path else { return seen };
        let page = user.get(&current).await.expect(200);
        let mut found = tasks(&page);
        assert!(found.len() <= limit);
        seen.append(&mut found);
        path = next(&page);
        let before = done.load(Ordering::Relaxed);
        for _ in 0..10_000 {
            if done.load(Ordering::Relaxed) > before + 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(done.load(Ordering::Relaxed) > before, "nothing happened meanwhile");
    }
    panic!("the pages never end");
}

/// Adds, changes and removes tasks all over the list until it has to stop.
async fn churn(user: User, stop: Arc<AtomicBool>, done: Arc<AtomicU32>) {
    let mut own: Vec<String> = Vec::new();
    for round in 0..100_000_u32 {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let spot = round.wrapping_mul(2_654_435_761) % 50;
        let body = json!({"title": format!("{spot:02}"), "position": format!("{spot:02}"),
            "priority": (["low", "medium", "high"][round as usize % 3]), "due_date": format!("2026-01-{:02}", 1 + spot % 28)});
        match round % 4 {
            0 | 1 => own.push(id(&user.post(&body).await.expect(201).json()).to_owned()),
            2 => _ = user.put(&own[spot as usize % own.len()], &body).await.expect(200),
            _ => _ = user.delete(&own.swap_remove(spot as usize % own.len())).await.expect(204),
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    panic!("it was never stopped");
}

async fn tasks_that_stay_are_each_seen_once_while_others_come_and_go(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let kept = |number: usize| {
        let mut task = json!({"title": format!("{number:02}")});
        if !number.is_multiple_of(3) {
            task["priority"] = json!(["low", "high"][number % 2]);
            task["position"] = json!(format!("{:02}", number % 50));
            task["due_date"] = json!(format!("2026-01-{:02}", 1 + number % 28));
        }
        task
    };
    // Some are older than the changing tasks, some are among them.
    let mut stays = fill(&ann, (0..25).map(kept)).await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let writers: Vec<_> = (0..2)
        .map(|_| tokio::spawn(churn(server.user("ann"), Arc::clone(&stop), Arc::clone(&done))))
        .collect();
    stays.extend(fill(&ann, (25..50).map(kept)).await);
    let ids: HashSet<_> = stays.iter().map(|task| id(task).to_owned()).collect();
    for sort in [
        "-created_at",
        "created_at",
        "updated_at",
        "-updated_at",
        "due_date",
        "-priority",
        "title",
        "-position",
    ] {
        let seen = walk(&ann, sort, 7, &done).await;
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for task in seen.iter().filter(|task| ids.contains(id(task))) {
            *counts.entry(id(task)).or_default() += 1;
            assert!(stays.contains(task), "it must not have changed: {task}");
        }
        assert_eq!(counts.len(), ids.len(), "{sort} left some out");
        assert!(counts.values().all(|count| *count == 1), "{sort} showed some twice");
        // They came in the list's order.
        let whole = tasks(&ann.get(&format!("/tasks?sort={sort}")).await.expect(200));
        let mine = |list: &[Value]| {
            list.iter().map(|task| id(task).to_owned()).filter(|id| ids.contains(id)).collect::<Vec<_>>()
        };
        assert_eq!(mine(&seen), mine(&whole), "{sort}");
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
}
