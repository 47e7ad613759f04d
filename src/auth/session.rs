//! What a token that passed is remembered as.

use std::sync::Arc;
use std::time::Duration;

use super::rules::{LEEWAY, now};
use crate::domain::Identity;

/// A token that passed: whose it is and until when.
#[derive(Clone, Debug)]
pub struct Session {
    pub(super) identity: Arc<Identity>,
    pub(super) exp: i64,
    pub(super) verified: i64,
}

impl Session {
    /// The session that a token opened elsewhere, with the token's `exp` in seconds: whoever says so is believed.
    #[must_use]
    pub fn of_ticket(subject: &str, exp: i64) -> Self {
        Self { identity: Arc::new(Identity::new(subject, None)), exp, verified: now() }
    }

    /// Its token's `exp`, in seconds since the epoch.
    #[must_use]
    pub const fn exp(&self) -> i64 {
        self.exp
    }

    /// Whose it is.
    #[must_use]
    pub const fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// How long what it opens now may stay open: until its token's `exp`; should that be past already,
    /// for as long as the token is still taken.
    #[must_use]
    pub fn left(&self) -> Duration {
        let now = now();
        let end = if self.exp > now { self.exp } else { self.exp.saturating_add_unsigned(LEEWAY) };
        Duration::from_secs(u64::try_from(end.saturating_sub(now)).unwrap_or(0))
    }
}
