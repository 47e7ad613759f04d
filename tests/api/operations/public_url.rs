//! `PUBLIC_URL`: what links begin with.

use serde_json::json;

use crate::support::command::run;
use crate::support::{Kind, Server, Store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_begin_with_the_public_url_if_there_is_one() {
    for (url, prefix) in [
        ("", ""),
        ("https://app.example.org/backend", "https://app.example.org/backend"),
        ("HTTPS://App.Example.org:443/a%20b//", "https://app.example.org/a%20b"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ] {
        let store = Store::new(Kind::Sqlite).await;
        let settings = [("PUBLIC_URL", url)];
        let server = Server::with(&store, if url.is_empty() { &[] } else { &settings });
        let ann = server.user("ann");
        let made = ann.post(&json!({"title": "a"})).await.expect(201);
        let id = made.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(made.header("location"), Some(&*format!("{prefix}/api/ann/tasks/{id}")));
        ann.create("b").await;
        let page = ann.get("/tasks?limit=1").await.expect(200);
        let next = format!("<{prefix}/api/ann/tasks?limit=1&cursor=");
        assert!(page.header("link").unwrap().starts_with(&next), "{page:?}");
        server.stop();
    }
}

#[tokio::test]
async fn a_wrong_public_url_stops_the_start() {
    let store = Store::new(Kind::Sqlite).await;
    for wrong in [
        "app.example.org",
        "ftp://a",
        "/backend",
        "https://",
        "https://a?b",
        "https://a#b",
        "https://u:p@a",
        "https://a b",
    ] {
        let finished = run(store.dir(), &[], &[("PUBLIC_URL", wrong)]);
        assert!(finished.stderr.contains("PUBLIC_URL") && finished.code != 0, "{wrong}: {finished:?}");
    }
}
