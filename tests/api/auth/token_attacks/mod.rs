//! Tokens that must be refused: each gets 401 in the contract's form from a server with a secret, from one
//! with a key set, and from one with both; and no part of a token reaches the log.

use std::collections::HashSet;

use aws_lc_rs::hmac::HMAC_SHA256;
use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use serde_json::{Value, json};

use crate::support::issuer::Issuer;
use crate::support::keys::{Key, base64url, claims, hmac, put_together};
use crate::support::{Answer, Kind, Server, Store, send, tokens};

mod headers;
mod payloads;
mod signatures;

/// A token, and what is wrong with it.
struct Attack {
    what: String,
    token: String,
    message: &'static str,
}

impl Attack {
    fn new(what: impl Into<String>, token: String) -> Self {
        Self { what: what.into(), token, message: "Invalid token" }
    }

    fn expired(what: impl Into<String>, token: String) -> Self {
        Self { what: what.into(), token, message: "Token expired" }
    }
}

/// What attackers start from: the provider's keys, whose key ids are the names of their algorithms.
struct Loot {
    keys: [Key; 4],
    /// A key of the attacker's own.
    own: Key,
}

impl Loot {
    fn key(&self, alg: &str) -> &Key {
        self.keys.iter().find(|key| key.alg() == alg).unwrap()
    }

    /// A valid token of each algorithm.
    fn good(&self) -> impl Iterator<Item = (&Key, String)> {
        self.keys.iter().map(|key| (key, key.token(key.alg(), &claims("ann"))))
    }
}

/// The provider's key set: good keys, and keys that the server must ignore.
fn published(loot: &Loot) -> Vec<Value> {
    let mut set: Vec<_> = loot.keys.iter().map(|key| key.jwk(key.alg())).collect();
    set.extend(signatures::weak_keys(loot));
    set
}

/// An HS256 token of these claims, correctly signed with the secret.
fn hs256(claims: &Value) -> String {
    tokens::signed(claims)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_invalid_token_is_refused_and_none_is_logged() {
    let loot = Loot { keys: Key::all(), own: Key::ed() };
    let issuer = Issuer::start(&published(&loot));
    let url = issuer.url();
    let thief = Issuer::start(&[loot.own.jwk("own")]);
    let mut attacks = headers::attacks(&loot, &thief.url());
    attacks.extend(payloads::attacks(&loot));
    attacks.extend(signatures::attacks(&loot));
    assert!(attacks.len() >= 60, "only {} tokens", attacks.len());

    // Without this, so many failures from one address would be answered with 429.
    let trusted = [&Issuer::settings(&url)[..], &[("AUTH_FAILURES_PER_ADDRESS", "off")]].concat();
    let only_keys = [&trusted[..], &[("BETTER_AUTH_SECRET", ""), ("ENVIRONMENT", "production")]].concat();
    let stores =
        [Store::new(Kind::Sqlite).await, Store::new(Kind::Sqlite).await, Store::new(Kind::Sqlite).await];
    let servers = [
        Server::with(&stores[0], &trusted),
        Server::with(&stores[1], &only_keys),
        Server::with(&stores[2], &trusted[1..]),
    ];
    for (place, server) in servers.iter().enumerate() {
        let mut let_in = Vec::new();
        // Valid tokens are accepted, before and after the attacks: a refusal below is the attack's own.
        let good = loot.good().map(|(key, token)| (key.alg(), token));
        let good: Vec<_> = good.chain([("HS256", hs256(&claims("ann")))]).collect();
        for round in 0..2 {
            for (alg, token) in &good {
                let trusted = if *alg == "HS256" { place != 1 } else { place != 2 };
                let answer = send(server.request(Method::GET, "/api/ann/tasks").bearer_auth(token)).await;
                answer_is(server, alg, &answer, if trusted { 200 } else { 401 });
            }
            for attack in attacks.iter().filter(|_| round == 0) {
                let request = server.request(Method::GET, "/api/me/tasks");
                let answer = send(request.header(AUTHORIZATION, bearer(&attack.token))).await;
                if answer.status != 401 {
                    let log = server.output().stderr().pop();
                    let_in.push(format!(
                        "{place} {}: {} {}; {log:?}",
                        attack.what,
                        answer.status,
                        answer.text()
                    ));
                    continue;
                }
                let answer = answer.expect_error(401, "UNAUTHORIZED");
                let message = answer.json()["detail"].as_str().unwrap().to_owned();
                // A server without the key cannot know that the token is valid otherwise.
                assert!(
                    message == attack.message || message == "Invalid token",
                    "{}: {message}",
                    attack.what
                );
            }
        }
        assert!(let_in.is_empty(), "{let_in:#?}");
        server.get("/health").await.expect(200);
        nothing_of_a_token_is_logged(server, &attacks);
    }
    assert_eq!(thief.asked(), 0, "a key was fetched from a URL in a token");
    for server in servers {
        server.stop();
    }
}

#[track_caller]
fn answer_is(server: &Server, what: &str, answer: &Answer, status: u16) {
    let log = || server.output().stderr().last().cloned();
    assert_eq!(answer.status, status, "{what}: {}; the log's last line: {:?}", answer.text(), log());
}

/// An `Authorization` header of any bytes a client can send.
fn bearer(token: &str) -> reqwest::header::HeaderValue {
    reqwest::header::HeaderValue::from_bytes(format!("Bearer {token}").as_bytes()).unwrap()
}

fn nothing_of_a_token_is_logged(server: &Server, attacks: &[Attack]) {
    let log = server.output().stderr().join("\n");
    assert!(!log.contains("panicked") && !log.contains("\"panic\""), "a panic: {log}");
    let windows: HashSet<_> = log.as_bytes().windows(16).collect();
    let revealing = attacks.iter().flat_map(|attack| attack.token.split('.').map(move |part| (attack, part)));
    for (attack, part) in revealing.filter(|(_, part)| part.is_ascii() && part.len() >= 16) {
        for piece in [&part[..16], &part[part.len() - 16..]] {
            assert!(!windows.contains(piece.as_bytes()), "{}: {piece} is in the log", attack.what);
        }
    }
    for private in ["/dev/null", "UNION SELECT", "0wned"] {
        assert!(!log.contains(private), "{private} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_token_in_the_wrong_header_or_parameter_is_refused() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    let good = tokens::of("ann");
    let ask = |values: &[String]| {
        let request = values.iter().fold(server.request(Method::GET, "/api/ann/tasks"), |request, value| {
            request.header(AUTHORIZATION, value)
        });
        send(request)
    };
    let bearer = format!("Bearer {good}");
    ask(std::slice::from_ref(&bearer)).await.expect(200);
    let wrong: [&[String]; 10] = [
        &[bearer.clone(), bearer.clone()],
        &[bearer.clone(), "Bearer x".into()],
        &["Bearer x".into(), bearer.clone()],
        &["Basic YW5uOng=".into(), bearer.clone()],
        &[format!("{bearer}, {bearer}")],
        &[format!("{bearer} {good}")],
        &[format!("Bearer \"{good}\"")],
        &[format!("Bearer token={good}")],
        &[format!("Token {good}")],
        &[format!("Bearer\u{a0}{good}")],
    ];
    for values in wrong {
        ask(values).await.expect_error(401, "UNAUTHORIZED");
    }
    for (name, value) in [
        ("Proxy-Authorization", bearer.clone()),
        ("X-Authorization", bearer.clone()),
        ("Cookie", format!("better-auth.session_token={good}; authorization={bearer}")),
        ("X-Forwarded-User", "ann".into()),
    ] {
        let request = server.request(Method::GET, "/api/ann/tasks").header(name, value);
        send(request).await.expect_message(401, "UNAUTHORIZED", "Missing authentication token");
    }
    nothing_of_a_token_is_logged(&server, &[Attack::new("a good token", good)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_8_kb_is_accepted_and_a_longer_one_is_not() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    for (length, status) in [(8 * 1024, 200), (8 * 1024 + 1, 401), (20_000, 401)] {
        let token = of_length(length);
        let answer = send(server.request(Method::GET, "/api/ann/tasks").bearer_auth(token)).await;
        assert_eq!(answer.status, status, "{length}: {}", answer.text());
    }
}

/// A valid token of exactly this length: padding in the claims, fine-tuned by the key id.
fn of_length(length: usize) -> String {
    let most = length * 3 / 4;
    for (kid, filler) in (0..6).flat_map(|kid| (most - 250..most).map(move |filler| (kid, filler))) {
        let header = json!({"alg": "HS256", "kid": "k".repeat(kid)}).to_string();
        let body = json!({"sub": "ann", "exp": tokens::in_an_hour(), "x": "x".repeat(filler)}).to_string();
        if base64url(header.as_bytes()).len() + base64url(body.as_bytes()).len() + 45 == length {
            return put_together(&header, &body, |message| {
                hmac(HMAC_SHA256, tokens::SECRET.as_bytes(), message)
            });
        }
    }
    panic!("no token has {length} bytes");
}
