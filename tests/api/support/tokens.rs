//! Tokens as a frontend that shares the secret signs them.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// The HS256 secret every server of the tests is started with, unless a test says otherwise.
pub const SECRET: &str = "a secret for the tests and for nothing else";

/// Seconds since the epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// An instant one hour ahead: a valid `exp`.
pub fn in_an_hour() -> u64 {
    now() + 3600
}

/// A valid token of `subject`, without an e-mail address.
pub fn of(subject: &str) -> String {
    signed(&json!({"sub": subject, "exp": in_an_hour()}))
}

/// A token of any claims, signed with [`SECRET`].
pub fn signed(claims: &Value) -> String {
    signed_with(SECRET, Algorithm::HS256, claims)
}

/// A token of any claims, signed with any secret.
pub fn signed_with(secret: &str, algorithm: Algorithm, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}
