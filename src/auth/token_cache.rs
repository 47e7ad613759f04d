//! Caches verified tokens, so that each is verified once and not at every request.

use aws_lc_rs::digest;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::rules::{LEEWAY, now};
use super::session::Session;
use crate::domain::Identity;

/// Approximate size limit of the cache in bytes.
const BUDGET: u64 = 16 << 20;

/// Estimated number of entries, to size the cache's tables.
const ENTRIES: usize = (BUDGET / 300) as usize;

type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// Seconds after which a token is verified again, however long it is valid: if the provider has withdrawn its
/// key, it must not be accepted until its `exp`.
const TRUST: i64 = 600;

#[derive(Clone)]
struct Bytes;

impl Weighter<Digest, Session> for Bytes {
    fn weight(&self, _: &Digest, session: &Session) -> u64 {
        let text = session.identity.subject().len() + session.identity.email().map_or(0, |email| email.len());
        (size_of::<Digest>() + size_of::<Session>() + size_of::<Identity>() + 100 + text) as u64
    }
}

/// Verified tokens by their SHA-256, so that the tokens themselves are not kept. Bounded in bytes. Every hit
/// checks the token's `exp`.
pub(super) struct TokenCache {
    sessions: Cache<Digest, Session, Bytes>,
}

impl Default for TokenCache {
    fn default() -> Self {
        Self { sessions: Cache::with_weighter(ENTRIES, BUDGET, Bytes) }
    }
}

impl TokenCache {
    pub(super) fn get(&self, token: &[u8]) -> Option<Session> {
        self.get_at(token, now())
    }

    fn get_at(&self, token: &[u8], now: i64) -> Option<Session> {
        let session = self.sessions.get(&key(token))?;
        // Setting the clock back does not make an entry last longer.
        let trusted = (0..TRUST).contains(&now.saturating_sub(session.verified));
        (trusted && now <= session.exp.saturating_add_unsigned(LEEWAY)).then_some(session)
    }

    pub(super) fn put(&self, token: &[u8], session: Session) {
        self.sessions.insert(key(token), session);
    }
}

fn key(token: &[u8]) -> Digest {
    let digest = digest::digest(&digest::SHA256, token);
    // SHA-256 always gives as many bytes as its constant says.
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_token_is_remembered_until_it_expires_and_at_most_ten_minutes() {
        let cache = TokenCache::default();
        let began = now();
        let ann = |exp| Session { identity: Arc::new(Identity::new("ann", None)), exp, verified: began };
        cache.put(b"short", ann(began + 60));
        cache.put(b"endless", ann(i64::MAX));
        for (token, last) in [(&b"short"[..], 60 + 30), (b"endless", TRUST - 1)] {
            assert!(cache.get_at(token, began + last).is_some(), "{token:?}");
            // A second may have passed since the test began.
            assert!(cache.get_at(token, began + last + 2).is_none(), "{token:?}");
            assert!(cache.get_at(token, began - 60).is_none(), "{token:?}");
        }
        assert!(cache.get_at(b"another", began).is_none());
    }

    #[test]
    fn however_many_tokens_are_remembered_they_stay_within_the_budget() {
        let cache = TokenCache::default();
        let subject = "s".repeat(128);
        for number in 0..60_000 {
            let identity = Arc::new(Identity::new(&subject, None));
            cache.put(number.to_string().as_bytes(), Session { identity, exp: i64::MAX, verified: now() });
        }
        assert!(cache.sessions.weight() <= BUDGET, "{} bytes", cache.sessions.weight());
        assert!(cache.sessions.len() > 1000);
    }
}
