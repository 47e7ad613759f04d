//! Correctly signed tokens that are for another service, for another time, or without a user.

use aws_lc_rs::hmac::HMAC_SHA256;
use serde_json::{Value, json};

use super::{Attack, Loot, hs256};
use crate::support::keys::{base64url, claims, hmac};
use crate::support::tokens;

/// A change of the claims: a name and its value; `None` removes the claim.
type Change = (&'static str, Option<Value>);

pub fn attacks(loot: &Loot) -> Vec<Attack> {
    let mut attacks = Vec::new();
    let key = loot.key("EdDSA");
    for (name, value) in changes() {
        let mut wrong = claims("ann");
        match &value {
            Some(value) => wrong[name] = value.clone(),
            None => drop(wrong.as_object_mut().unwrap().remove(name)),
        }
        let shown = value.map_or("no".to_owned(), |value| value.to_string());
        let shown: String = shown.chars().take(60).collect();
        attacks.push(Attack::new(format!("{name}: {shown}, EdDSA"), key.token("EdDSA", &wrong)));
        attacks.push(Attack::new(format!("{name}: {shown}, HS256"), hs256(&wrong)));
    }
    for past in [json!(1), json!(tokens::now() - 3600), json!(0), json!(1.5)] {
        let mut expired = claims("ann");
        expired["exp"] = past.clone();
        attacks.push(Attack::expired(format!("exp: {past}, EdDSA"), key.token("EdDSA", &expired)));
        attacks.push(Attack::expired(format!("exp: {past}, HS256"), hs256(&expired)));
    }
    for body in bodies() {
        let token = |header: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
            let message = format!("{}.{}", base64url(header.as_bytes()), base64url(&body));
            let signature = sign(message.as_bytes());
            format!("{message}.{}", base64url(&signature))
        };
        let shown = String::from_utf8_lossy(&body);
        attacks.push(Attack::new(
            format!("the body {shown}, EdDSA"),
            token(r#"{"alg":"EdDSA","kid":"EdDSA"}"#, &|message| key.sign(message)),
        ));
        attacks.push(Attack::new(
            format!("the body {shown}, HS256"),
            token(r#"{"alg":"HS256"}"#, &|message| hmac(HMAC_SHA256, tokens::SECRET.as_bytes(), message)),
        ));
    }
    attacks.extend(of_better_auth());
    attacks
}

fn changes() -> Vec<Change> {
    let hour = tokens::in_an_hour();
    let mut changes: Vec<Change> = vec![("iss", None), ("aud", None), ("exp", None), ("sub", None)];
    let values: [(&'static str, Vec<Value>); 6] = [
        (
            "iss",
            vec![
                json!("https://issuer.example/"),
                json!("https://issuer.example.evil"),
                json!("HTTPS://ISSUER.EXAMPLE"),
                json!("http://issuer.example"),
                json!(""),
                json!(null),
                json!(1),
                json!(["https://issuer.example"]),
                json!({"iss": "https://issuer.example"}),
            ],
        ),
        (
            "aud",
            vec![
                json!("another"),
                json!("TASKLANE-TESTS"),
                json!("tasklane-tests "),
                json!(""),
                json!(null),
                json!([]),
                json!(["another"]),
                json!([["tasklane-tests"]]),
                json!(["tasklane-tests", 1]),
                json!(7),
                json!({"tasklane-tests": true}),
            ],
        ),
        (
            "exp",
            vec![
                json!(null),
                json!("9999999999"),
                json!("never"),
                json!(-1),
                json!(-1e18),
                json!(1e30),
                json!([hour]),
                json!({}),
                json!(true),
                json!(-0.6),
            ],
        ),
        ("nbf", vec![json!(hour), json!(9e15), json!("0"), json!(-1), json!([]), json!(true), json!(1e30)]),
        ("iat", vec![json!(hour), json!(1e30), json!("0"), json!([]), json!(false), json!({})]),
        (
            "sub",
            vec![
                json!(""),
                json!(1),
                json!(true),
                json!(["ann"]),
                json!({"id": "ann"}),
                json!(null),
                json!("a".repeat(129)),
                json!("é".repeat(65)),
                json!("ann\u{0}"),
                json!("ann\n"),
                json!("\u{7f}"),
                json!("\u{85}"),
                json!(1.5),
            ],
        ),
    ];
    for (name, list) in values {
        changes.extend(list.into_iter().map(|value| (name, Some(value))));
    }
    changes
}

/// Payloads no JSON library writes.
fn bodies() -> Vec<Vec<u8>> {
    let good = claims("ann").to_string();
    let open = good.trim_end_matches('}');
    let twice = |more: &str| format!("{open},{more}}}").into_bytes();
    let exp = tokens::in_an_hour();
    vec![
        twice(r#""sub":"bob""#),
        twice(r#""sub":"ann""#),
        twice(r#""s\u0075b":"bob""#),
        twice(&format!("\"exp\":{exp}")),
        twice(r#""iss":"https://evil.example""#),
        twice(r#""aud":"another""#),
        twice(r#""nbf":0,"nbf":1"#),
        twice(r#""user_id":"a","user_id":"b""#),
        twice(r#""x":NaN"#),
        format!("{good}{good}").into_bytes(),
        format!("[{good}]").into_bytes(),
        format!("{open},").into_bytes(),
        serde_json::to_vec(&good).unwrap(),
        good.replace("ann", "a\u{0}nn").into_bytes(),
        [good.as_bytes(), b"\xff"].concat(),
        good.as_bytes().iter().map(|byte| if *byte == b'n' { 0xff } else { *byte }).collect(),
        good.replace("\"ann\"", r#""\ud800""#).into_bytes(),
        [b"\xef\xbb\xbf", good.as_bytes()].concat(),
        good.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        good.replace("\"sub\"", "\"SUB\"").into_bytes(),
        b"".to_vec(),
        b"null".to_vec(),
        b"{}".to_vec(),
        b"true".to_vec(),
    ]
}

/// What Better Auth signs with the same secret for other purposes: a session cookie, the link in a mail.
fn of_better_auth() -> Vec<Attack> {
    let (iat, exp) = (tokens::now(), tokens::in_an_hour());
    let mut cookie = claims("ann");
    cookie.as_object_mut().unwrap().remove("sub");
    cookie["session"] = json!({"id": "s", "userId": "ann", "token": "t"});
    cookie["user"] = json!({"id": "ann", "email": "ann@example.com"});
    let mail = json!({"email": "ann@example.com", "iat": iat, "exp": exp, "iss": cookie["iss"], "aud": cookie["aud"]});
    vec![
        Attack::new("the session cookie, HS256", hs256(&cookie)),
        Attack::new("the link to verify an address, HS256", hs256(&mail)),
    ]
}
