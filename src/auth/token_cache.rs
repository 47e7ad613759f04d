//! Remembers verified tokens, so that each is verified once and not at every request.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::verify::LEEWAY;
use crate::domain::Identity;

/// Bytes the cache may take, nearly.
const BUDGET: u64 = 16 << 20;

/// A guess of how many entries that is, to size the cache's tables.
const ENTRIES: usize = (BUDGET / 300) as usize;

type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// A token that passed: whose it is and until when.
#[derive(Clone)]
struct Session {
    identity: Arc<Identity>,
    exp: i64,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Digest, Session> for Bytes {
    fn weight(&self, _: &Digest, session: &Session) -> u64 {
        let text = session.identity.subject().len() + session.identity.email().map_or(0, |email| email.len());
        (size_of::<Digest>() + size_of::<Session>() + size_of::<Identity>() + 100 + text) as u64
    }
}

/// Verified tokens by their SHA-256, so that the tokens themselves are not kept. Bounded in bytes; an
/// entry is of no use past its token's `exp`, which is checked at every hit.
pub(super) struct TokenCache {
    sessions: Cache<Digest, Session, Bytes>,
}

impl Default for TokenCache {
    fn default() -> Self {
        Self { sessions: Cache::with_weighter(ENTRIES, BUDGET, Bytes) }
    }
}

impl TokenCache {
    pub(super) fn get(&self, token: &str) -> Option<Arc<Identity>> {
        let session = self.sessions.get(&key(token))?;
        (now() <= session.exp.saturating_add_unsigned(LEEWAY)).then_some(session.identity)
    }

    pub(super) fn put(&self, token: &str, identity: Arc<Identity>, exp: i64) {
        self.sessions.insert(key(token), Session { identity, exp });
    }
}

fn key(token: &str) -> Digest {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    // SHA-256 always gives as many bytes as its constant says.
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Seconds since the epoch; a clock before it counts as the epoch.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
