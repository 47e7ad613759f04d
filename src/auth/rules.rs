//! The checks on every token, and the reasons for a refusal.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, Validation};

use crate::config::Expected;

/// Maximum size of a subject in bytes.
const LONGEST_SUBJECT: usize = 128;

/// Seconds by which the issuer's clock may differ from ours.
pub(super) const LEEWAY: u64 = 30;

/// Seconds by which a token's time of issue may be ahead of our clock: it decides nothing, and a token from further
/// ahead shows that one of the two clocks is wrong.
pub(super) const IAT_LEEWAY: u64 = 300;

/// The name of `EdDSA` with the curve Ed25519 by RFC 9864.
pub(super) const ED25519: &str = "Ed25519";

/// Why a token was refused. Clients learn the variant, the log learns the reason as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It is past its `exp`, but otherwise valid.
    #[error("Token expired")]
    Expired,
    /// It is invalid. The reason is for the log and holds nothing of the token.
    #[error("Invalid token")]
    Invalid(&'static str),
    /// The keys to check it with cannot be fetched at the moment.
    #[error("The identity provider's keys cannot be fetched")]
    KeysUnavailable,
}

/// The library's checks of a token with this algorithm.
pub(super) fn validation(algorithm: Algorithm, expected: &Expected) -> Validation {
    let mut validation = Validation::new(algorithm);
    let mut required = vec!["exp"];
    validation.validate_aud = expected.jwt_audience.is_some();
    if let Some(issuer) = &expected.jwt_issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    if let Some(audience) = &expected.jwt_audience {
        validation.set_audience(&[audience]);
        required.push("aud");
    }
    validation.set_required_spec_claims(&required);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation
}

/// Whether a text can be a token's subject: printable, 1 to 128 bytes.
#[must_use]
pub fn is_subject(text: &str) -> bool {
    (1..=LONGEST_SUBJECT).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Seconds since the epoch; a clock before it counts as the epoch.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
