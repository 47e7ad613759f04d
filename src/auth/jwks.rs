//! The identity provider's public keys (JSON Web Key Set, RFC 7517): fetched, kept, renewed.
//!
//! If the set cannot be fetched, known keys go on working. A token of an unknown key is answered after a fetch that
//! began after the token came: rotated keys are found without a restart, whatever key ids others invent. Invented
//! ids do not burden the provider: there is one fetch at a time, and on average at most one in [`PAUSE`].

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::rules::{AuthError, ED25519, validation};
use crate::config::Expected;

/// Average time between two fetches caused by unknown keys, and how many may come at once after a rest. A token of an
/// unknown key waits at most this long for its fetch to begin.
const PAUSE: Duration = Duration::from_secs(1);
const BURST: u32 = 20;

/// How long a key that was looked for in vain is not looked for again, and how many such keys are remembered.
const REMEMBERED: Duration = Duration::from_secs(2);
const MANY: usize = 4096;

/// Tokens of unknown keys that may wait for a fetch at a time; further ones are told to come again.
const WAITING: usize = 1024;

/// Keys without an id that a token is tried with, at most.
const TRIED: usize = 8;

/// The time between two fetches in the background, and between two attempts while there are no keys.
const REFRESH: Duration = Duration::from_mins(10);
const REFRESH_WITHOUT_KEYS: Duration = Duration::from_secs(5);

/// How long one fetch may take, and how many bytes a set may have.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const LARGEST_SET: usize = 256 * 1024;

/// Bytes of the shortest RSA modulus that is accepted: 2048 bits (RFC 7518, section 3.3).
const SHORTEST_MODULUS: usize = 256;

/// Encodings, with the sign bit cleared, of the Ed25519 points of small order, non-canonical encodings included.
/// With such a key anybody can forge a signature.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// The refusal of a token whose key is not known.
pub(super) const MISSING: AuthError = AuthError::Invalid("its key is not one of the provider's");

/// A key and the one algorithm it may verify. The key decides which, never the token.
pub(super) struct VerificationKey {
    id: Option<String>,
    algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
    pub(super) validation: Validation,
}

pub(super) type KeySet = Vec<Arc<VerificationKey>>;

/// The keys of one provider.
pub(super) struct Jwks {
    url: String,
    expected: Expected,
    client: reqwest::Client,
    runtime: Handle,
    /// `None` while no usable key is known.
    keys: ArcSwapOption<KeySet>,
    /// Locked during every fetch.
    fetches: Mutex<Fetches>,
    waiting: Semaphore,
}

/// What is known of earlier fetches.
#[derive(Default)]
struct Fetches {
    /// When the last one began.
    began: Option<Instant>,
    /// When all of them would be over, were each to take [`PAUSE`].
    due: Option<Instant>,
    /// When the last one that failed was over.
    failed: Option<Instant>,
    /// What was looked for in vain, and when.
    missing: HashMap<String, Instant>,
}

impl Jwks {
    /// Fetches the keys at `url` regularly, on `runtime`, until the returned value is dropped.
    pub(super) fn start(
        url: String,
        expected: Expected,
        runtime: Handle,
    ) -> Result<Arc<Self>, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            // `url` was checked; a redirect's target would not be.
            .redirect(reqwest::redirect::Policy::none());
        // Unencrypted requests must not leave this machine or its network, so they use no proxy.
        let client = if url.starts_with("https:") { client } else { client.no_proxy() };
        let client = client.build()?;
        let (keys, fetches, waiting) = (ArcSwapOption::empty(), Mutex::default(), Semaphore::new(WAITING));
        let jwks = Arc::new(Self { url, expected, client, runtime, keys, fetches, waiting });
        jwks.runtime.spawn(refresh(Arc::downgrade(&jwks)));
        Ok(jwks)
    }

    /// The keys that may have signed a token with this key id and algorithm: those of this id, else those without
    /// one. `None` if there are neither.
    pub(super) fn fitting(&self, id: Option<&str>, algorithm: Algorithm) -> Option<KeySet> {
        let keys = self.keys.load();
        let of = |id| keys.iter().flat_map(|keys| &**keys).filter(move |key| key.id.as_deref() == id);
        let id = id.filter(|id| of(Some(id)).next().is_some());
        of(id).next()?;
        Some(of(id).filter(|key| key.algorithm == algorithm).take(TRIED).cloned().collect())
    }

    /// Whether keys are known, and each has an id.
    pub(super) fn all_have_ids(&self) -> bool {
        self.keys.load().as_ref().is_some_and(|keys| keys.iter().all(|key| key.id.is_some()))
    }

    /// Fetches the set again, for a token of the unknown key `name`.
    pub(super) async fn renew(self: &Arc<Self>, name: &str) -> Result<(), AuthError> {
        let (this, name) = (Arc::clone(self), name.to_owned());
        // On the store's runtime: the client's connections must not die with an HTTP worker, nor a fetch
        // with the request that caused it.
        let renewed = self.runtime.spawn(async move { this.look_for(name).await }).await;
        renewed.unwrap_or(Err(AuthError::KeysUnavailable))
    }

    async fn look_for(&self, name: String) -> Result<(), AuthError> {
        let arrived = Instant::now();
        let _place = self.waiting.try_acquire().map_err(|_| AuthError::KeysUnavailable)?;
        let mut fetches = self.fetches.lock().await;
        // Another token may have caused a fetch while this one waited.
        if self.has(&name) {
            return Ok(());
        }
        if fetches.missing.get(&name).is_some_and(|then| then.elapsed() < REMEMBERED) {
            return Err(MISSING);
        }
        if fetches.failed.is_some_and(|failed| failed >= arrived) {
            return Err(AuthError::KeysUnavailable);
        }
        if fetches.began.is_none_or(|began| began < arrived) {
            let due = fetches.due.map_or(arrived, |due| due.max(arrived));
            if let Some(turn) = due.checked_sub(PAUSE * BURST) {
                tokio::time::sleep_until(turn).await;
            }
            (fetches.began, fetches.due) = (Some(Instant::now()), Some(due + PAUSE));
            if !self.fetch().await {
                fetches.failed = Some(Instant::now());
                return Err(AuthError::KeysUnavailable);
            }
        }
        if self.keys.load().is_none() {
            return Err(AuthError::KeysUnavailable);
        }
        if !self.has(&name) {
            if fetches.missing.len() >= MANY {
                fetches.missing.clear();
            }
            fetches.missing.insert(name, Instant::now());
        }
        Ok(())
    }

    /// Whether a key has this id.
    pub(super) fn has(&self, id: &str) -> bool {
        self.keys.load().iter().flat_map(|keys| &**keys).any(|key| key.id.as_deref() == Some(id))
    }

    /// Fetches the set and keeps its usable keys; on failure the old ones stay. Returns whether it succeeded.
    async fn fetch(&self) -> bool {
        match self.download().await {
            Ok(set) => {
                let keys = usable(set, &self.expected);
                if keys.is_empty() {
                    // A provider that has just been set up makes its first key with its first token.
                    tracing::warn!("the identity provider has no usable keys");
                } else {
                    tracing::info!(keys = keys.len(), "fetched the identity provider's keys");
                }
                self.keys.store((!keys.is_empty()).then(|| Arc::new(keys)));
                true
            }
            Err(problem) => {
                tracing::warn!(problem, "the identity provider's keys cannot be fetched");
                false
            }
        }
    }

    async fn download(&self) -> Result<JwksDocument, String> {
        // Without the URL: it may hold credentials.
        let plain = |error: reqwest::Error| error.without_url().to_string();
        let mut response = self.client.get(&self.url).send().await.map_err(plain)?;
        if !response.status().is_success() {
            return Err(format!("JWKS_URL answers {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(plain)? {
            if body.len() + chunk.len() > LARGEST_SET {
                return Err(format!("the key set is larger than {LARGEST_SET} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|_| "JWKS_URL does not answer with a JSON Web Key Set".into())
    }
}

async fn refresh(jwks: Weak<Jwks>) {
    loop {
        let pause = {
            let Some(jwks) = jwks.upgrade() else { return };
            let mut fetches = jwks.fetches.lock().await;
            fetches.began = Some(Instant::now());
            if !jwks.fetch().await {
                fetches.failed = Some(Instant::now());
            }
            if jwks.keys.load().is_some() { REFRESH } else { REFRESH_WITHOUT_KEYS }
        };
        tokio::time::sleep(pause).await;
    }
}

/// A key set whose keys are parsed one by one, so that a broken key does not spoil the others.
#[derive(Deserialize)]
struct JwksDocument {
    keys: Vec<Value>,
}

fn usable(set: JwksDocument, expected: &Expected) -> KeySet {
    let keys = set.keys.into_iter().map(fully_named);
    let keys = keys.filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    keys.filter_map(|jwk| {
        let algorithm = algorithm(&jwk)?;
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        let validation = validation(algorithm, expected);
        Some(Arc::new(VerificationKey { id: jwk.common.key_id, algorithm, decoding, validation }))
    })
    .collect()
}

/// The same key with the algorithm's older name, which is the only one that the library knows (RFC 9864).
fn fully_named(mut key: Value) -> Value {
    if key["kty"] == "OKP" && key["alg"] == ED25519 {
        key["alg"] = "EdDSA".into();
    }
    key
}

/// The one algorithm a key is for; `None` if it must not be used: it is symmetric, for encryption, of another
/// curve, too short, or of small order.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    let operations = jwk.common.key_operations.as_deref();
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature))
        || operations.is_some_and(|operations| !operations.contains(&KeyOperations::Verify))
    {
        return None;
    }
    let allowed: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            let point = decode(&key.x).filter(|point| point.len() == 32 && !is_small_order(point));
            if point.is_some() { &[Algorithm::EdDSA] } else { &[] }
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Algorithm::ES256],
        AlgorithmParameters::RSA(key) if is_strong(&decode(&key.n)?, &decode(&key.e)?) => {
            &[Algorithm::RS256, Algorithm::PS256]
        }
        _ => &[],
    };
    match jwk.common.key_algorithm {
        Some(stated) => stated.to_string().parse().ok().filter(|stated| allowed.contains(stated)),
        None => allowed.first().copied(),
    }
}

fn decode(base64url: &str) -> Option<Vec<u8>> {
    base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, base64url).ok()
}

/// Whether an RSA key is long enough, not counting leading zeros, and its exponent is odd and at least 3.
fn is_strong(modulus: &[u8], exponent: &[u8]) -> bool {
    let modulus = modulus.iter().skip_while(|byte| **byte == 0).count();
    let exponent: Vec<_> = exponent.iter().copied().skip_while(|byte| *byte == 0).collect();
    let weak = matches!(exponent[..], [] | [1]) || exponent.last().is_some_and(|last| last % 2 == 0);
    modulus >= SHORTEST_MODULUS && !weak
}

fn is_small_order(point: &[u8]) -> bool {
    let (last, rest) = point.split_last().map_or((0, point), |(last, rest)| (last & 0x7f, rest));
    let hex = rest.iter().chain([&last]).fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    SMALL_ORDER.contains(&hex.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn accepted(key: Value) -> Vec<Algorithm> {
        let keys = usable(JwksDocument { keys: vec![key] }, &Expected::default());
        keys.iter().map(|key| key.algorithm).collect()
    }

    fn base64url(bytes: &[u8]) -> String {
        base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes)
    }

    #[test]
    fn the_key_and_not_the_token_says_which_algorithm() {
        let x = base64url(&[9; 32]);
        assert_eq!(accepted(json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "a"})), [Algorithm::EdDSA]);
        let fully = json!({"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519", "x": x});
        assert_eq!(accepted(fully), [Algorithm::EdDSA], "RFC 9864, and no key id");
        let n = base64url(&[0xc5; 256]);
        let rsa = |alg: &str| json!({"kty": "RSA", "n": n, "e": "AQAB", "kid": "a", "alg": alg});
        assert_eq!(accepted(rsa("RS256")), [Algorithm::RS256]);
        assert_eq!(accepted(rsa("PS256")), [Algorithm::PS256]);
        assert_eq!(accepted(rsa("HS256")), []);
        assert_eq!(accepted(rsa("Ed25519")), []);
        let ec = json!({"kty": "EC", "crv": "P-256", "x": x, "y": x, "kid": "a"});
        assert_eq!(accepted(ec), [Algorithm::ES256]);
    }

    #[test]
    fn keys_that_anybody_could_sign_with_are_left_out() {
        let n = base64url(&[0xc5; 255]);
        let blown_up = base64url(&[&[0; 128], &[0xc5; 128][..]].concat());
        assert_eq!(accepted(json!({"kty": "RSA", "n": blown_up, "e": "AQAB", "kid": "a"})), []);
        for e in ["", "AA", "AQ", "AAE", "Ag", "AQAA"] {
            let n = base64url(&[0xc5; 256]);
            assert_eq!(accepted(json!({"kty": "RSA", "n": n, "e": e, "kid": "a"})), [], "{e}");
        }
        assert_eq!(accepted(json!({"kty": "oct", "k": base64url(&[1; 32]), "kid": "a", "alg": "HS256"})), []);
        assert_eq!(accepted(json!({"kty": "RSA", "n": n, "e": "AQAB", "kid": "a"})), []);
        assert_eq!(
            accepted(
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&[9; 32]), "use": "enc", "kid": "a"})
            ),
            []
        );
        let signs = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&[9; 32]), "key_ops": ["sign"], "kid": "a"});
        assert_eq!(accepted(signs), []);
        for point in SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut bytes: Vec<u8> =
                    (0..32).map(|n| u8::from_str_radix(&point[2 * n..2 * n + 2], 16).unwrap()).collect();
                bytes[31] |= sign;
                let key = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&bytes), "kid": "a"});
                assert_eq!(accepted(key), [], "{point}");
            }
        }
    }
}
