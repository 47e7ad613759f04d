//! An identity provider that is down, slow, or answers with something other than keys: tokens of known keys
//! are still accepted, tokens that cannot be checked get 503, and no others are accepted.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;

use crate::support::issuer::{Issuer, Manner, free_port, set};
use crate::support::keys::{Key, claims};
use crate::support::{Answer, Kind, Server, Store, User, send, tokens};

async fn ask(server: &Server, token: &str) -> Answer {
    send(server.request(Method::GET, "/api/ann/tasks").bearer_auth(token)).await
}

/// Asks until the token is accepted.
async fn let_in(server: &Server, token: &str) {
    let mut last = ask(server, token).await;
    for _ in 0..240 {
        if last.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        last = ask(server, token).await;
    }
    panic!("never accepted: {last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_at_the_start_is_used_once_it_is_up() {
    let store = Store::new(Kind::Sqlite).await;
    let (port, key) = (free_port(), Key::ed());
    let url = format!("http://127.0.0.1:{port}/jwks");
    let server = Server::with(&store, &Issuer::settings(&url));
    let token = key.token("k", &claims("ann"));
    // 503 and not 401, on which the client would discard a valid token.
    ask(&server, &token).await.expect_error(503, "STORE_UNAVAILABLE");
    ask(&server, "garbage").await.expect_error(401, "UNAUTHORIZED");
    ask(&server, &tokens::signed(&claims("ann"))).await.expect(200);
    server.get("/health").await.expect(200);
    let _issuer = Issuer::at(port, Manner::Gives(set(&[key.jwk("k")])));
    let_in(&server, &token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_goes_down_later_locks_nobody_out() {
    let store = Store::new(Kind::Sqlite).await;
    let key = Key::ed();
    let issuer = Issuer::start(&[key.jwk("k")]);
    let url = issuer.url();
    let server = Server::with(&store, &Issuer::settings(&url));
    let ann = User::new(&server, "ann", key.token("k", &claims("ann")));
    ann.create("before").await;
    for manner in [Manner::HangsUp, Manner::Refuses(500, String::new()), Manner::Gives(b"{}".to_vec())] {
        issuer.behave(manner);
        // A token that was not seen before makes the server ask; the keys it has stay. Nobody can tell whether the
        // unknown key is a new one, so the client keeps its token.
        ask(&server, &key.token("unknown", &claims("ann"))).await.expect_error(503, "STORE_UNAVAILABLE");
        ask(&server, &key.token("k", &claims("ann"))).await.expect(200);
        assert_eq!(ann.list().await.len(), 1);
    }
    drop(issuer);
    let mut fresh = claims("ann");
    fresh["x"] = 1.into();
    ask(&server, &key.token("k", &fresh)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_not_a_key_set_is_not_used() {
    let key = Key::ed();
    let good = set(&[key.jwk("k")]);
    let elsewhere = Issuer::start(&[key.jwk("k")]);
    let padded = |length: usize| {
        let text = String::from_utf8(good.clone()).unwrap();
        format!("{}{}", " ".repeat(length - text.len()), text).into_bytes()
    };
    let cases = vec![
        ("a page", Manner::Gives(b"<!doctype html><title>Sign in</title>".to_vec())),
        ("nothing", Manner::Gives(Vec::new())),
        ("half a set", Manner::Gives(good[..good.len() - 2].to_vec())),
        ("a list", Manner::Gives(format!("[{}]", key.jwk("k")).into_bytes())),
        ("one key", Manner::Gives(key.jwk("k").to_string().into_bytes())),
        ("keys of another type", Manner::Gives(format!("{{\"keys\":{}}}", key.jwk("k")).into_bytes())),
        ("deep nesting", Manner::Gives(format!("{{\"keys\":{}", "[".repeat(100_000)).into_bytes())),
        ("an empty set", Manner::Gives(set(&[]))),
        (
            "a set without a good key",
            Manner::Gives(set(&["x".into(), serde_json::json!({"kty": "oct", "k": "AA"})])),
        ),
        ("a set that is too large", Manner::Gives(padded(300 * 1024))),
        ("a redirection", Manner::Refuses(302, elsewhere.url())),
        ("a permanent redirection", Manner::Refuses(308, elsewhere.url())),
        ("404", Manner::Refuses(404, String::new())),
        ("500", Manner::Refuses(500, String::new())),
        ("a closed connection", Manner::HangsUp),
        ("a body that never ends", Manner::Dawdles),
    ];
    let runs = cases.into_iter().map(|(what, manner)| {
        let (key, good) = (&key, &good);
        async move {
            let store = Store::new(Kind::Sqlite).await;
            let issuer = Issuer::at(0, manner);
            let url = issuer.url();
            let server = Server::with(&store, &Issuer::settings(&url));
            let token = key.token("k", &claims("ann"));
            let answer = ask(&server, &token).await;
            assert_eq!(answer.status, 503, "{what}: {}", answer.text());
            answer.expect_error(503, "STORE_UNAVAILABLE");
            server.get("/health").await.expect(200);
            issuer.behave(Manner::Gives(good.clone()));
            let_in(&server, &token).await;
        }
    });
    join_all(runs).await;
    assert_eq!(elsewhere.asked(), 0, "a redirection was followed");
    // The largest key set allowed.
    let store = Store::new(Kind::Sqlite).await;
    let issuer = Issuer::at(0, Manner::Gives(padded(200 * 1024)));
    let url = issuer.url();
    let server = Server::with(&store, &Issuer::settings(&url));
    ask(&server, &key.token("k", &claims("ann"))).await.expect(200);
}
