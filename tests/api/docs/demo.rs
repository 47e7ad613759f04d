//! The demo page: served in development, with a token for clients on this machine; not served in production.

use std::net::UdpSocket;

use reqwest::Method;

use crate::support::command::{Line, PATIENCE};
use crate::support::{Answer, Server, Store, User, on_both_stores, send};

on_both_stores!(
    the_page_loads_nothing_from_elsewhere_and_may_run_nothing_inline,
    its_token_works_as_any_other,
    its_token_is_given_to_this_machine_only,
    production_has_neither_page_nor_token,
);

async fn the_page_loads_nothing_from_elsewhere_and_may_run_nothing_inline(store: Store) {
    let server = Server::start(&store);
    let page = server.get("/").await.expect(200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert!(!policy.contains("http"), "{policy}");
    let html = page.text();
    assert!(!html.contains(" style=") && !html.contains(" onclick="), "inline code would be blocked");
    let files: Vec<_> = html.split('"').filter(|word| word.starts_with("/demo/")).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert!(!server.get(file).await.expect(200).body.is_empty(), "{file}");
    }
    // Follows the scripts' imports.
    for name in ["row", "session", "client", "store"] {
        let script = server.get(&format!("/demo/{name}.js")).await.expect(200);
        assert!(script.header("content-type").unwrap().starts_with("text/javascript"), "{name}");
    }
    server.get("/demo/Cargo.toml").await.expect_error(404, "NOT_FOUND");
    server.get("/demo/..%2FCargo.toml").await.expect_error(404, "NOT_FOUND");
}

/// The key in the address that the server prints.
fn key(server: &Server) -> String {
    let printed = |line: &Line| Some(line.text().split_once("/#key=")?.1.to_owned());
    server.output().wait_for(PATIENCE, printed).expect("no address with a key")
}

async fn ask(server: &Server, headers: &[(&str, &str)]) -> Answer {
    let request = server.request(Method::POST, "/demo/token").header("X-Page-Key", key(server));
    send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

async fn its_token_works_as_any_other(store: Store) {
    let server = Server::start(&store);
    let answer = ask(&server, &[]).await.expect(201);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    let user = User::new(&server, "demo", token);
    user.create("by the page").await;
    assert_eq!(user.list().await.len(), 1);
    // A proxy that adds no header looks like this machine; who comes through it does not know the key.
    for wrong in [None, Some(""), Some("key"), Some(&*key(&server).to_uppercase())] {
        let request = server.request(Method::POST, "/demo/token");
        let request = wrong.into_iter().fold(request, |request, key| request.header("X-Page-Key", key));
        send(request).await.expect_error(404, "NOT_FOUND");
    }
    // A link or an image cannot request one.
    server.get("/demo/token").await.expect_error(405, "METHOD_NOT_ALLOWED");
}

async fn its_token_is_given_to_this_machine_only(store: Store) {
    let settings = [("HOST", "0.0.0.0"), ("ALLOWED_ORIGINS", "http://localhost:3000")];
    let server = Server::with(&store, &settings);
    let port = server.address().rsplit(':').next().unwrap();
    let here = format!("localhost:{port}");
    let origin = format!("http://{here}");
    ask(&server, &[("host", &here), ("origin", &origin), ("sec-fetch-site", "same-origin")])
        .await
        .expect(201);
    let rebound = format!("rebound.example.org:{port}");
    for headers in [
        &[("host", rebound.as_str())][..],
        &[("host", &here), ("origin", "http://localhost:3000")],
        &[("host", &here), ("sec-fetch-site", "cross-site")],
        &[("host", &here), ("x-forwarded-for", "127.0.0.1")],
    ] {
        ask(&server, headers).await.expect_error(404, "NOT_FOUND");
    }
    // From this machine's own network address, if it has one; finding it sends nothing.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let other = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()).map(|address| address.ip());
    if let Ok(other) = other
        && !other.is_loopback()
    {
        let url = format!("http://{other}:{port}/demo/token");
        let request = server.http().post(url).header("host", &here).header("X-Page-Key", key(&server));
        send(request).await.expect_error(404, "NOT_FOUND");
    }
}

async fn production_has_neither_page_nor_token(store: Store) {
    let server = Server::with(&store, &[("ENVIRONMENT", "production")]);
    for path in ["/", "/demo/app.js", "/demo/token"] {
        server.get(path).await.expect_error(404, "NOT_FOUND");
    }
    send(server.request(Method::POST, "/demo/token")).await.expect_error(404, "NOT_FOUND");
}
