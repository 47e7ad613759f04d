//! Invalid signatures, and keys that anybody could sign with.

use aws_lc_rs::hmac::HMAC_SHA256;
use serde_json::{Value, json};

use super::{Attack, Loot, hs256};
use crate::support::keys::{Key, base64url, claims, hmac, padded_digest, put_together};

/// Points of small order on Ed25519's curve; the first is the neutral one.
const SMALL_ORDER: [[u8; 32]; 3] = {
    let (mut neutral, mut zero, mut minus) = ([0; 32], [0; 32], [0xff; 32]);
    neutral[0] = 1;
    zero[31] = 0x80;
    minus[0] = 0xec;
    minus[31] = 0x7f;
    [neutral, zero, minus]
};

/// A secret the provider published by mistake.
const OCT: &[u8] = b"0wned 0wned 0wned 0wned 0wned 0wned";

/// Keys that must be left out of the provider's set.
pub fn weak_keys(loot: &Loot) -> Vec<Value> {
    let mut keys: Vec<_> = SMALL_ORDER
        .iter()
        .enumerate()
        .map(|(place, point)| json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(point), "kid": format!("small-{place}")}))
        .collect();
    let mut exponent_one = loot.key("RS256").jwk("exponent-1");
    exponent_one["e"] = "AQ".into();
    let mut short = loot.key("RS256").jwk("short");
    // 1024 bits, padded with leading zeros.
    short["n"] = base64url(&[[0; 128], [0xc5; 128]].concat()).into();
    short["e"] = "AQ".into();
    let mut encrypts = loot.own.jwk("encrypts");
    encrypts["use"] = "enc".into();
    let mut no_verify = loot.own.jwk("no-verify");
    no_verify["key_ops"] = json!(["deriveKey"]);
    let mut wrong_name = loot.own.jwk("wrong-name");
    wrong_name["alg"] = "HS256".into();
    keys.extend([
        exponent_one,
        short,
        encrypts,
        no_verify,
        wrong_name,
        json!({"kty": "oct", "k": base64url(OCT), "alg": "HS256", "kid": "oct"}),
        json!({"kty": "oct", "k": base64url(OCT), "kid": "oct-without-alg"}),
        json!({"kty": "oct", "k": "", "kid": "oct-empty"}),
        json!({"kty": "OKP", "crv": "X25519", "x": base64url(&[9; 32]), "kid": "x25519"}),
        json!({"kty": "0wned", "kid": "unknown"}),
        json!("no key at all"),
    ]);
    keys
}

pub fn attacks(loot: &Loot) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (key, good) in loot.good() {
        attacks.extend(damaged(key.alg(), &good));
    }
    attacks.extend(damaged("HS256", &hs256(&claims("ann"))));
    attacks.extend(elliptic(loot));
    attacks.extend(by_weak_keys(loot));
    attacks.extend(malformed(&hs256(&claims("ann"))));
    attacks
}

/// A valid token, damaged.
fn damaged(alg: &str, good: &str) -> Vec<Attack> {
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, body) = message.split_once('.').unwrap();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature).unwrap();
    let signed = |bytes: &[u8]| format!("{message}.{}", base64url(bytes));
    let mut attacks = vec![
        Attack::new(format!("{alg}: no signature"), format!("{message}.")),
        Attack::new(format!("{alg}: no third part"), message.to_owned()),
        Attack::new(format!("{alg}: zeros"), signed(&vec![0; bytes.len()])),
        Attack::new(format!("{alg}: ones"), signed(&vec![0xff; bytes.len()])),
        Attack::new(format!("{alg}: a byte short"), signed(&bytes[1..])),
        Attack::new(format!("{alg}: truncated"), signed(&bytes[..bytes.len() - 1])),
        Attack::new(format!("{alg}: half"), signed(&bytes[..bytes.len() / 2])),
        Attack::new(format!("{alg}: one byte"), signed(&bytes[..1])),
        Attack::new(format!("{alg}: a byte more"), signed(&[&bytes[..], &[0]].concat())),
        Attack::new(format!("{alg}: twice"), signed(&[&bytes[..], &bytes].concat())),
        Attack::new(format!("{alg}: another body"), {
            let other = claims("bob").to_string();
            format!("{header}.{}.{signature}", base64url(other.as_bytes()))
        }),
        Attack::new(format!("{alg}: another header"), {
            let other = json!({"alg": alg, "kid": alg, "x": 1}).to_string();
            format!("{}.{body}.{signature}", base64url(other.as_bytes()))
        }),
        Attack::new(format!("{alg}: five parts"), format!("{header}.{body}.{signature}.{body}.{signature}")),
        Attack::new(format!("{alg}: padded"), format!("{good}=")),
    ];
    for (place, bit) in [(0, 0), (bytes.len() / 2, 3), (bytes.len() - 1, 7)] {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << bit;
        attacks.push(Attack::new(format!("{alg}: bit {bit} of byte {place} flipped"), signed(&flipped)));
    }
    attacks
}

/// ES256 in DER, ES256 with r or s of zero, and Ed25519 with an S beyond the order.
fn elliptic(loot: &Loot) -> Vec<Attack> {
    let body = claims("ann").to_string();
    let es256 = |what: &str, change: fn(&[u8]) -> Vec<u8>| {
        let header = json!({"alg": "ES256", "kid": "ES256"}).to_string();
        let token = put_together(&header, &body, |message| change(&loot.key("ES256").sign(message)));
        Attack::new(format!("ES256 with {what}"), token)
    };
    let eddsa = |what: &str, change: fn(&[u8]) -> Vec<u8>| {
        let header = json!({"alg": "EdDSA", "kid": "EdDSA"}).to_string();
        let token = put_together(&header, &body, |message| change(&loot.key("EdDSA").sign(message)));
        Attack::new(format!("EdDSA with {what}"), token)
    };
    vec![
        es256("DER", der),
        es256("r = s = 0", |_| vec![0; 64]),
        es256("r = 0", |raw| [&[0; 32], &raw[32..]].concat()),
        es256("s = 0", |raw| [&raw[..32], &[0; 32]].concat()),
        es256("r and s exchanged", |raw| [&raw[32..], &raw[..32]].concat()),
        es256("r = s = the order", |_| [P256_ORDER, P256_ORDER].concat()),
        es256("r = s = 1", |_| {
            let mut one = [0; 32];
            one[31] = 1;
            [one, one].concat()
        }),
        eddsa("S + L", |raw| [&raw[..32], &plus_order(&raw[32..])].concat()),
        eddsa("R of the neutral point", |raw| [&SMALL_ORDER[0][..], &raw[32..]].concat()),
        eddsa("S = 0", |raw| [&raw[..32], &[0; 32]].concat()),
    ]
}

const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// L of Ed25519, little-endian (RFC 8032, section 5.1).
const ED_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn plus_order(scalar: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    scalar
        .iter()
        .zip(ED_ORDER)
        .map(|(a, b)| {
            let sum = u16::from(*a) + u16::from(b) + carry;
            carry = sum >> 8;
            sum.to_le_bytes()[0]
        })
        .collect()
}

/// The same r and s as an ASN.1 sequence.
fn der(raw: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let mut bytes: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        if bytes.first().is_none_or(|byte| byte & 0x80 != 0) {
            bytes.insert(0, 0);
        }
        [&[2, u8::try_from(bytes.len()).unwrap()], &bytes[..]].concat()
    };
    let both = [integer(&raw[..32]), integer(&raw[32..])].concat();
    [&[0x30, u8::try_from(both.len()).unwrap()], &both[..]].concat()
}

/// Valid signatures by the keys that the server must ignore.
fn by_weak_keys(loot: &Loot) -> Vec<Attack> {
    let body = claims("ann").to_string();
    let token = |alg: &str, kid: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        put_together(&json!({"alg": alg, "kid": kid}).to_string(), &body, sign)
    };
    let mut attacks = Vec::new();
    for place in 0..SMALL_ORDER.len() {
        let kid = format!("small-{place}");
        // With the neutral point as R and S = 0, the equation holds for the neutral key, whatever is signed.
        let forged = [&SMALL_ORDER[0][..], &[0; 32]].concat();
        attacks
            .push(Attack::new(format!("the Ed25519 key {kid}"), token("EdDSA", &kid, &|_| forged.clone())));
    }
    for (kid, length) in [("exponent-1", 256), ("short", 128), ("short", 256)] {
        let forged = token("RS256", kid, &|message| padded_digest(message, length));
        attacks.push(Attack::new(format!("the RSA key {kid}, {length} bytes"), forged));
    }
    for kid in ["oct", "oct-without-alg", "oct-empty"] {
        let secret = if kid == "oct-empty" { &[][..] } else { OCT };
        for alg in ["HS256", "EdDSA"] {
            let forged = token(alg, kid, &|message| hmac(HMAC_SHA256, secret, message));
            attacks.push(Attack::new(format!("the key {kid} for {alg}"), forged));
        }
    }
    for kid in ["encrypts", "no-verify", "wrong-name"] {
        let own: &Key = &loot.own;
        attacks
            .push(Attack::new(format!("the key {kid}"), token("EdDSA", kid, &|message| own.sign(message))));
    }
    attacks
}

/// A valid token in another notation.
fn malformed(good: &str) -> Vec<Attack> {
    let parts: Vec<_> = good.split('.').collect();
    let last = good.chars().last().unwrap();
    // The last base64url character of 32 bytes has two unused bits.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).unwrap();
    let twin = alphabet.as_bytes()[place | 1] as char;
    vec![
        Attack::new("bits after the last", format!("{}{twin}", &good[..good.len() - 1])),
        Attack::new("white space within", good.replacen('.', " .", 1)),
        Attack::new("a tab within", good.replacen('.', "\t.", 1)),
        Attack::new("a dot before", format!(".{good}")),
        Attack::new("a dot behind", format!("{good}.")),
        Attack::new("dots only", "..".to_owned()),
        Attack::new("one part", "x".to_owned()),
        Attack::new(
            "the JSON form",
            json!({"payload": parts[1], "protected": parts[0], "signature": parts[2]}).to_string(),
        ),
        Attack::new("in quotes", format!("\"{good}\"")),
        Attack::new("percent-encoded", good.replace('.', "%2E")),
        Attack::new("no ASCII", format!("{good}ü")),
        Attack::new("longer than 8 KB", format!("{good}{}", "A".repeat(8192))),
        Attack::new(
            "nested",
            put_together(r#"{"alg":"HS256","cty":"JWT"}"#, good, |message| {
                hmac(HMAC_SHA256, crate::support::tokens::SECRET.as_bytes(), message)
            }),
        ),
    ]
}
