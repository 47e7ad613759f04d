//! Tokens signed with an identity provider's keys: which are accepted, and what happens when keys change.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::issuer::{AUDIENCE, ISSUER, Issuer};
use crate::support::keys::{Key, base64url, claims, put_together};
use crate::support::{Kind, Server, Store, User, id, on_both_stores, send, tokens};

on_both_stores!(tokens_of_every_algorithm_are_accepted);

async fn tokens_of_every_algorithm_are_accepted(store: Store) {
    let keys = Key::all();
    let published: Vec<_> = keys.iter().map(|key| key.jwk(key.alg())).collect();
    let issuer = Issuer::start(&published);
    let url = issuer.url();
    let server = Server::with(&store, &Issuer::settings(&url));
    // Better Auth's default ids, a UUID, and ids of other providers.
    let subjects =
        ["x7Kd0LmQ2vRs9TfYb3NcHj6WpAe1Zg4U", "6f1c9a52-3d0e-4b7a-9c58-2f6d1e0b4a77", "auth0|12", "ann@x.io"];
    for (key, subject) in keys.iter().zip(subjects) {
        let mut theirs = claims(subject);
        theirs["email"] = json!("a@example.com");
        theirs["aud"] = json!(["others", AUDIENCE]);
        let user = User::new(&server, subject, key.token(key.alg(), &theirs));
        let task = user.create("first").await;
        assert_eq!(task["user_id"], subject);
        user.complete(id(&task), Some(true)).await.expect(200);
        assert_eq!(user.list().await[0]["completed"], true, "{}", key.alg());
        user.delete(id(&task)).await.expect(204);
        assert!(user.list().await.is_empty());
    }
    // The same user with an HS256 token: both kinds are accepted side by side.
    let shared = server_token(subjects[0]);
    let user = User::new(&server, subjects[0], shared);
    user.create("by the secret").await;
    let other = User::new(&server, subjects[0], keys[1].token("ES256", &claims(subjects[0])));
    assert_eq!(other.list().await.len(), 1);
    assert_eq!(issuer.asked(), 1, "known keys are not asked for again");
}

/// An HS256 token with the issuer and audience of the tests' provider.
fn server_token(subject: &str) -> String {
    tokens::signed(&claims(subject))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issuer_and_audience_are_required_of_hs256_tokens_too() {
    let store = Store::new(Kind::Sqlite).await;
    for settings in [&[("JWT_ISSUER", ISSUER)][..], &[("JWT_AUDIENCE", AUDIENCE)]] {
        let server = Server::with(&store, settings);
        User::new(&server, "ann", server_token("ann")).get("/tasks").await.expect(200);
        let plain = server.user("ann").get("/tasks").await;
        plain.expect_message(401, "UNAUTHORIZED", "Invalid token");
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_is_found_at_once_and_invented_key_ids_neither_delay_it_nor_burden_the_provider() {
    let store = Store::new(Kind::Sqlite).await;
    let (old, new, newest) = (Key::ed(), Key::ed(), Key::ed());
    let issuer = Issuer::start(&[old.jwk("old")]);
    let url = issuer.url();
    let settings = [&Issuer::settings(&url)[..], &[("AUTH_FAILURES_PER_ADDRESS", "off")]].concat();
    let server = Server::with(&store, &settings);
    let ask = |key: &Key, kid: &str, number: u32| {
        let mut wanted = claims("ann");
        wanted["number"] = number.into();
        send(server.request(Method::GET, "/api/ann/tasks").bearer_auth(key.token(kid, &wanted)))
    };
    ask(&old, "old", 0).await.expect(200);
    assert_eq!(issuer.asked(), 1);
    // Better Auth leaves the old key in its set; the first token of the new key makes the server fetch it at
    // once.
    issuer.publish(&[old.jwk("old"), new.jwk("new")]);
    let first = join_all((0..20).map(|number| ask(&new, "new", number))).await;
    assert!(first.iter().all(|answer| answer.status == 200), "{first:?}");
    assert_eq!(issuer.asked(), 2, "many requests cause one fetch");
    // Invented ids use up all fetches that may come at once.
    let began = Instant::now();
    for number in 0..25 {
        ask(&new, &format!("made up {number}"), 0).await.expect_message(401, "UNAUTHORIZED", "Invalid token");
    }
    let names: Vec<_> = (0..200).map(|number| format!("made up as well {number}")).collect();
    let refused = join_all(names.iter().map(|name| ask(&new, name, 0))).await;
    for answer in refused {
        answer.expect_message(401, "UNAUTHORIZED", "Invalid token");
    }
    let most = 2 + 20 + usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    assert!(issuer.asked() <= most, "{} fetches, at most {most} were due", issuer.asked());
    // A key that is rotated now is accepted by its very first token, and the withdrawn one is not any more.
    issuer.publish(&[new.jwk("new"), newest.jwk("newest")]);
    ask(&newest, "newest", 0).await.expect(200);
    ask(&new, "new", 50).await.expect(200);
    ask(&old, "old", 99).await.expect_message(401, "UNAUTHORIZED", "Invalid token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_sets_in_every_form_of_the_standards_are_used() {
    let store = Store::new(Kind::Sqlite).await;
    let keys = Key::all();
    let bare = |key: &Key| {
        let mut jwk = key.jwk("");
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    };
    let fully = |mut jwk: Value| {
        jwk["alg"] = "Ed25519".into();
        jwk
    };
    let signed = |key: &Key, header: Value| {
        put_together(&header.to_string(), &claims("ann").to_string(), |message| key.sign(message))
    };
    let mut ahead = claims("ann");
    ahead["iat"] = (tokens::now() + 60).into();
    let (ed, ec, other) = (&keys[0], &keys[1], Key::ed());
    let cases = [
        ("alg Ed25519 of the key", vec![fully(ed.jwk("k"))], ed.token("k", &claims("ann"))),
        ("of the token", vec![ed.jwk("k")], signed(ed, json!({"alg": "Ed25519", "kid": "k"}))),
        (
            "of both",
            vec![fully(ed.jwk("k"))],
            signed(ed, json!({"alg": "Ed25519", "kid": "k", "typ": "JWT"})),
        ),
        ("no key ids", vec![bare(&other), bare(ed)], signed(ed, json!({"alg": "EdDSA"}))),
        ("a key id in the token alone", vec![bare(ec)], ec.token("k", &claims("ann"))),
        ("two types, one id", vec![ed.jwk("k"), ec.jwk("k")], ed.token("k", &claims("ann"))),
        ("the other of them", vec![ed.jwk("k"), ec.jwk("k")], ec.token("k", &claims("ann"))),
        ("issued a minute ahead", vec![ed.jwk("k")], ed.token("k", &ahead)),
    ];
    for (what, published, token) in cases {
        let issuer = Issuer::start(&published);
        let url = issuer.url();
        let server = Server::with(&store, &Issuer::settings(&url));
        let ask = |token: &str| send(server.request(Method::GET, "/api/ann/tasks").bearer_auth(token));
        let answer = ask(&token).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        // The same with another key's signature, and with claims that were not signed.
        let (message, signature) = token.rsplit_once('.').unwrap();
        let forged = format!("{message}.{}", base64url(&Key::ed().sign(message.as_bytes())));
        let bob = put_together("{}", &claims("bob").to_string(), |_| Vec::new());
        let bob = bob.split('.').nth(1).unwrap();
        let changed = format!("{}.{bob}.{signature}", message.split('.').next().unwrap());
        for forged in [forged, changed] {
            assert_eq!(ask(&forged).await.status, 401, "{what}: {forged}");
        }
        if published.iter().all(|key| key["kid"].is_null()) {
            let new = Key::ed();
            issuer.publish(&[bare(&new)]);
            assert_eq!(ask(&signed(&new, json!({"alg": "EdDSA"}))).await.status, 200, "{what}, rotated");
        }
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_token_is_refused_once_it_has_expired() {
    let store = Store::new(Kind::Sqlite).await;
    let key = Key::ed();
    let issuer = Issuer::start(&[key.jwk("k")]);
    let url = issuer.url();
    let server = Server::with(&store, &Issuer::settings(&url));
    let mut short = claims("ann");
    // The leeway is half a minute; a little more has passed.
    short["exp"] = (tokens::now() - 20).into();
    let users =
        [key.token("k", &short), tokens::signed(&short)].map(|token| User::new(&server, "ann", token));
    for user in &users {
        user.get("/tasks").await.expect(200);
        user.get("/tasks").await.expect(200);
    }
    for user in &users {
        let mut answer = user.get("/tasks").await;
        for _ in 0..240 {
            if answer.status != 200 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
            answer = user.get("/tasks").await;
        }
        answer.expect_message(401, "UNAUTHORIZED", "Token expired");
    }
}
