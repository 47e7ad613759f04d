//! Keys of every kind, generated for each test, and tokens assembled by hand: no library signs what an
//! attacker would send.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::issuer::{AUDIENCE, ISSUER};
use super::tokens;

/// A key pair, and the algorithm it is published for.
pub enum Key {
    /// Ed25519.
    Ed(Ed25519KeyPair),
    /// P-256.
    Ec(EcdsaKeyPair),
    /// RSA of 2048 bits, PKCS #1 v1.5.
    Rsa(RsaKeyPair),
    /// RSA of 2048 bits, PSS.
    Pss(RsaKeyPair),
}

impl Key {
    /// A new Ed25519 key.
    pub fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    /// One of each kind.
    pub fn all() -> [Self; 4] {
        let rsa = || RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        [Self::ed(), Self::Ec(ec), Self::Rsa(rsa()), Self::Pss(rsa())]
    }

    /// Its JOSE algorithm.
    pub fn alg(&self) -> &'static str {
        match self {
            Self::Ed(_) => "EdDSA",
            Self::Ec(_) => "ES256",
            Self::Rsa(_) => "RS256",
            Self::Pss(_) => "PS256",
        }
    }

    /// Its public half as the provider publishes it.
    pub fn jwk(&self, kid: &str) -> Value {
        let mut jwk = match self {
            Self::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key().as_ref())})
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": base64url(&point[1..33]), "y": base64url(&point[33..])})
            }
            Self::Rsa(pair) | Self::Pss(pair) => {
                let key = pair.public_key();
                let n = key.modulus().big_endian_without_leading_zero();
                let e = key.exponent().big_endian_without_leading_zero();
                json!({"kty": "RSA", "n": base64url(n), "e": base64url(e)})
            }
        };
        jwk["kid"] = kid.into();
        jwk["alg"] = self.alg().into();
        jwk
    }

    /// Its public half in every form that could be mistaken for an HMAC secret.
    pub fn public_forms(&self) -> Vec<(&'static str, Vec<u8>)> {
        let spki = match self {
            Self::Ed(pair) => AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap(),
            Self::Ec(pair) => AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap(),
            Self::Rsa(pair) | Self::Pss(pair) => {
                AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap()
            }
        };
        let raw = match self {
            Self::Ed(pair) => pair.public_key().as_ref().to_vec(),
            Self::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Self::Rsa(pair) | Self::Pss(pair) => pair.public_key().as_ref().to_vec(),
        };
        let lines: Vec<_> = STANDARD
            .encode(spki.as_ref())
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        vec![
            ("PEM", pem.clone().into_bytes()),
            ("PEM without its last line end", pem.trim_end().as_bytes().to_vec()),
            ("DER", spki.as_ref().to_vec()),
            ("raw bytes", raw),
            ("JWK", self.jwk("k").to_string().into_bytes()),
        ]
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Rsa(pair) | Self::Pss(pair) => {
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding =
                    if matches!(self, Self::Rsa(_)) { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// A token of any claims, correctly signed by this key.
    pub fn token(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": self.alg(), "typ": "JWT", "kid": kid});
        put_together(&header.to_string(), &claims.to_string(), |message| self.sign(message))
    }
}

/// Valid claims.
pub fn claims(subject: &str) -> Value {
    json!({"sub": subject, "iss": ISSUER, "aud": AUDIENCE, "exp": tokens::in_an_hour(), "iat": tokens::now()})
}

/// A token of any header, any claims and any signature.
pub fn put_together(header: &str, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
    let signature = sign(message.as_bytes());
    format!("{message}.{}", base64url(&signature))
}

/// A signature by HMAC.
pub fn hmac(algorithm: hmac::Algorithm, secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec()
}

/// The "signature" by an RSA key of exponent 1: the padded digest itself (RFC 8017, section 9.2).
pub fn padded_digest(message: &[u8], length: usize) -> Vec<u8> {
    const SHA256: [u8; 19] = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
        0x04, 0x20,
    ];
    let digest = digest::digest(&digest::SHA256, message);
    let tail = [&SHA256, digest.as_ref()].concat();
    let mut padded = vec![0, 1];
    padded.resize(length - tail.len() - 1, 0xff);
    padded.push(0);
    padded.extend_from_slice(&tail);
    padded
}

/// Base64url without padding.
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
