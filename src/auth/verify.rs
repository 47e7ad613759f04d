//! Verification of one bearer token, by the rules of RFC 7519 and RFC 8725 and stricter where the
//! library's defaults are lax.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, crypto, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::Handle;

use super::jwks::{Jwks, MISSING, VerificationKey};
use super::rules::{AuthError, ED25519, IAT_LEEWAY, is_subject, now, validation};
use super::session::Session;
use super::token_cache::TokenCache;
use crate::config::AuthConfig;
use crate::domain::{Identity, UserId};

/// Maximum size of a token in bytes.
const LONGEST_TOKEN: usize = 8 * 1024;

/// The `typ` values that a token may have; it may also have none (RFC 8725, section 3.11). This excludes
/// `better-auth.session-cache+jwt`: Better Auth signs that cookie with the same keys as its tokens.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// The claims that are read. A claim given twice is an error.
#[derive(Deserialize)]
struct TokenClaims {
    /// A `NumericDate`: seconds since the epoch, fractions allowed (RFC 7519, section 2).
    exp: f64,
    iat: Option<Value>,
    iss: Option<Value>,
    sub: Option<Value>,
    user_id: Option<Value>,
    id: Option<Value>,
    email: Option<Value>,
}

/// Knows the users that there are.
#[async_trait]
pub trait KnownUsers: Send + Sync {
    /// The subject of the user with this id, if there is one.
    ///
    /// # Errors
    /// Why it cannot be told.
    async fn subject_of(&self, user: UserId) -> Result<Option<String>, String>;
}

/// Verifies tokens and remembers those that passed.
pub struct Verifier {
    hs256: Option<(DecodingKey, Validation)>,
    jwks: Option<Arc<Jwks>>,
    cache: TokenCache,
    /// `None` where only tokens are checked.
    users: Option<Box<dyn KnownUsers>>,
}

impl Verifier {
    /// A verifier of HS256 tokens signed with the secret, of tokens signed with a key of the set at `JWKS_URL`, or of
    /// both. Keys are fetched on `runtime`.
    ///
    /// # Errors
    /// When the machine's root certificates cannot be read.
    pub fn start(config: &AuthConfig, runtime: &Handle) -> Result<Self, reqwest::Error> {
        let AuthConfig { better_auth_secret, jwks_url, expected, .. } = config;
        let hs256 = better_auth_secret.as_ref().map(|secret| {
            let key = DecodingKey::from_secret(secret.expose().as_bytes());
            (key, validation(Algorithm::HS256, expected))
        });
        let jwks = jwks_url.clone().map(|url| Jwks::start(url, expected.clone(), runtime.clone()));
        Ok(Self { hs256, jwks: jwks.transpose()?, cache: TokenCache::default(), users: None })
    }

    /// The same, with what knows which subjects stand for themselves: see [`UserId::derived`].
    #[must_use]
    pub fn with_users(self, users: Box<dyn KnownUsers>) -> Self {
        Self { users: Some(users), ..self }
    }

    /// The session of a token that was verified before and has not expired. Does not wait.
    #[must_use]
    pub fn cached(&self, token: &[u8]) -> Option<Session> {
        self.cache.get(token)
    }

    /// Verifies a token.
    ///
    /// # Errors
    /// [`AuthError`] says why it was refused.
    pub async fn verify(&self, token: &str) -> Result<Session, AuthError> {
        let header = check_header(token)?;
        let claims = match (&header, &self.hs256, &self.jwks) {
            (Header { alg: Algorithm::HS256, .. }, Some((key, validation)), _) => {
                read(token, key, validation)
            }
            (Header { alg: Algorithm::HS256, .. }, None, _) => {
                Err(AuthError::Invalid("HS256 is not configured"))
            }
            (header, _, Some(jwks)) => read_by(token, header, jwks).await,
            _ => Err(AuthError::Invalid("its algorithm is not accepted")),
        };
        let (claims, expired) = claims?;
        check_origin(&claims)?;
        let identity = identity(&claims)?;
        let identity = match UserId::derived(identity.subject()) {
            Some(derived) if !expired => Arc::new(self.settle(identity, derived).await?),
            _ => Arc::new(identity),
        };
        if expired {
            return Err(AuthError::Expired);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a float beyond the range becomes its end")]
        let session = Session { identity, exp: claims.exp as i64, verified: now() };
        self.cache.put(token.as_bytes(), session.clone());
        Ok(session)
    }
}

impl Verifier {
    /// The identity of a subject that may be another user's id: itself if it has stood for itself before.
    async fn settle(&self, identity: Identity, derived: UserId) -> Result<Identity, AuthError> {
        let Some(users) = &self.users else { return Ok(identity) };
        let failed = |error| {
            tracing::warn!(error, "a token's user cannot be looked up");
            AuthError::KeysUnavailable
        };
        let stands_for_itself = users.subject_of(derived).await.map_err(failed)?.is_none()
            && users.subject_of(identity.user()).await.map_err(failed)?.as_deref()
                == Some(identity.subject());
        Ok(if stands_for_itself { identity } else { identity.with_user(derived) })
    }
}

/// Checks a token by one of the provider's keys; they are fetched again if none of them fits.
async fn read_by(token: &str, header: &Header, jwks: &Arc<Jwks>) -> Result<(TokenClaims, bool), AuthError> {
    let id = header.kid.as_deref();
    if id.is_none() && jwks.all_have_ids() {
        return Err(AuthError::Invalid("it names no key"));
    }
    if let Some(keys) = jwks.fitting(id, header.alg) {
        let is_named = id.is_some_and(|id| jwks.has(id));
        match read_by_any(token, &keys) {
            // Only the signature, or that there is none of its kind, shows that a key without an id is another one.
            Err(WRONG_SIGNATURE) if !is_named => {}
            Err(_) if !is_named && keys.is_empty() => {}
            read => return read,
        }
    }
    let signature = token.rsplit('.').next().unwrap_or_default();
    jwks.renew(id.unwrap_or(signature)).await?;
    let keys = jwks.fitting(id, header.alg).ok_or(MISSING)?;
    read_by_any(token, &keys)
}

/// Checks a token by the first of these keys that signed it.
fn read_by_any(token: &str, keys: &[Arc<VerificationKey>]) -> Result<(TokenClaims, bool), AuthError> {
    let mut outcome = Err(AuthError::Invalid("its algorithm is not its key's"));
    for key in keys {
        outcome = read(token, &key.decoding, &key.validation);
        if !matches!(outcome, Err(WRONG_SIGNATURE)) {
            break;
        }
    }
    outcome
}

/// The refusal of a token that another key has signed.
const WRONG_SIGNATURE: AuthError = AuthError::Invalid("its signature is wrong");

/// Checks the signature and the claims the library knows; returns whether the token has expired.
/// Only a token that is valid in every other respect is reported as expired.
fn read(token: &str, key: &DecodingKey, validation: &Validation) -> Result<(TokenClaims, bool), AuthError> {
    if is_fully_named(token) {
        return read_fully_named(token, key, validation);
    }
    match decode::<TokenClaims>(token, key, validation) {
        Ok(data) => Ok((data.claims, false)),
        Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
            let ageless = Validation { validate_exp: false, ..validation.clone() };
            let data = decode::<TokenClaims>(token, key, &ageless).map_err(|error| refusal(&error))?;
            Ok((data.claims, true))
        }
        Err(error) => Err(refusal(&error)),
    }
}

/// Whether the header's algorithm is `Ed25519`: the library knows that by its older name only.
fn is_fully_named(token: &str) -> bool {
    header_of(token).is_some_and(|header| header["alg"] == ED25519)
}

/// The same for such a token. Once its signature is verified, the library checks its claims in a token of our own.
fn read_fully_named(
    token: &str,
    key: &DecodingKey,
    validation: &Validation,
) -> Result<(TokenClaims, bool), AuthError> {
    let (message, signature) = token.rsplit_once('.').unwrap_or_default();
    match crypto::verify(signature, message.as_bytes(), key, Algorithm::EdDSA) {
        Ok(true) => {}
        _ => return Err(WRONG_SIGNATURE),
    }
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| AuthError::KeysUnavailable)?;
    let (_, payload) = message.split_once('.').unwrap_or_default();
    let message = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#));
    let signature = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(&secret), Algorithm::HS256);
    let signature = signature.map_err(|error| refusal(&error))?;
    let validation = Validation { algorithms: vec![Algorithm::HS256], ..validation.clone() };
    read(&format!("{message}.{signature}"), &DecodingKey::from_secret(&secret), &validation)
}

/// Checks what the library does not: a token must not come from the future, and its issuer must be a string.
fn check_origin(claims: &TokenClaims) -> Result<(), AuthError> {
    if claims.iss.as_ref().is_some_and(|iss| !iss.is_string()) {
        return Err(AuthError::Invalid("its issuer is not a string"));
    }
    #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are far below 2^52")]
    let latest = now().saturating_add_unsigned(IAT_LEEWAY) as f64;
    match claims.iat.as_ref().map(Value::as_f64) {
        Some(None) => Err(AuthError::Invalid("its time of issue is not a number")),
        Some(Some(iat)) if iat > latest => Err(AuthError::Invalid("it was issued in the future")),
        _ => Ok(()),
    }
}

/// Checks all that the header alone decides.
fn check_header(token: &str) -> Result<Header, AuthError> {
    if token.len() > LONGEST_TOKEN {
        return Err(AuthError::Invalid("it is longer than 8 KB"));
    }
    let header = decode_header(token).ok().or_else(|| older_named(token));
    let header = header.ok_or(AuthError::Invalid("its header cannot be read"))?;
    if header.typ.as_deref().is_some_and(|typ| !is_bearer_type(typ)) {
        return Err(AuthError::Invalid("its type is not that of a bearer token"));
    }
    if has_crit(token) {
        return Err(AuthError::Invalid("it requires unknown extensions"));
    }
    Ok(header)
}

/// Whether a `typ` is one of [`TYPES`]. It is a media type, whose `application/` may be left out
/// (RFC 7515, section 4.1.9).
fn is_bearer_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    TYPES.contains(&typ.strip_prefix("application/").unwrap_or(&typ))
}

/// The header, its fields as they are.
fn header_of(token: &str) -> Option<Value> {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
    serde_json::from_slice(&header).ok()
}

/// The header of a token whose algorithm is `Ed25519`, with its older name.
fn older_named(token: &str) -> Option<Header> {
    let mut header = header_of(token).filter(|header| header["alg"] == ED25519)?;
    header["alg"] = "EdDSA".into();
    serde_json::from_value(header).ok()
}

/// Whether the header has a `crit`, even if it is `null`, which the library ignores.
fn has_crit(token: &str) -> bool {
    header_of(token).is_none_or(|header| header.get("crit").is_some())
}

fn refusal(error: &jsonwebtoken::errors::Error) -> AuthError {
    AuthError::Invalid(match error.kind() {
        ErrorKind::InvalidSignature => return WRONG_SIGNATURE,
        ErrorKind::InvalidAlgorithm => "its algorithm is not the key's",
        ErrorKind::InvalidIssuer => "its issuer is not the expected one",
        ErrorKind::InvalidAudience => "it is meant for another audience",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::MissingRequiredClaim(_) => "a required claim is missing",
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::Json(_) => "its claims cannot be read",
        _ => "it is malformed",
    })
}

/// The user is `sub`, else `user_id`, else `id`: the first one present must be valid.
fn identity(claims: &TokenClaims) -> Result<Identity, AuthError> {
    let subject = claims.sub.as_ref().or(claims.user_id.as_ref()).or(claims.id.as_ref());
    let subject = subject.ok_or(AuthError::Invalid("it names no subject"))?;
    let subject = subject.as_str().ok_or(AuthError::Invalid("its subject is not a string"))?;
    if !is_subject(subject) {
        return Err(AuthError::Invalid("its subject is not 1 to 128 printable bytes"));
    }
    // A malformed e-mail address (RFC 5321) is ignored: it must not lock the user out.
    let email = claims.email.as_ref().and_then(Value::as_str);
    let email =
        email.filter(|email| (3..=254).contains(&email.len()) && !email.chars().any(char::is_control));
    Ok(Identity::new(subject, email))
}
