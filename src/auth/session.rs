//! What is kept of a verified token.

use std::sync::Arc;
use std::time::Duration;

use super::rules::{LEEWAY, now};
use crate::domain::{Identity, UserId};

/// A verified token: its subject and when it expires.
#[derive(Clone, Debug)]
pub struct Session {
    pub(super) identity: Arc<Identity>,
    pub(super) exp: i64,
    pub(super) verified: i64,
}

impl Session {
    /// The session of a ticket that was verified; `exp` is that of the token it was issued for, in seconds.
    pub(crate) fn of_ticket(user: UserId, subject: &str, exp: i64) -> Self {
        Self { identity: Arc::new(Identity::new(subject, None).with_user(user)), exp, verified: now() }
    }

    /// Its token's `exp`, in seconds since the epoch.
    pub(crate) const fn exp(&self) -> i64 {
        self.exp
    }

    /// The token's bearer.
    pub(crate) const fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// How long a stream that is opened now may stay open: until the token's `exp`, or, if that has passed, for as
    /// long as the token is still accepted.
    pub(crate) fn left(&self) -> Duration {
        let now = now();
        let end = if self.exp > now { self.exp } else { self.exp.saturating_add_unsigned(LEEWAY) };
        Duration::from_secs(u64::try_from(end.saturating_sub(now)).unwrap_or(0))
    }
}
