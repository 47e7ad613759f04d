//! Limits on a user's requests, and on an IP address's requests that are refused and have no valid token.
//!
//! Both are off or generous by default. Valid tokens cost nothing in the second limit. The `RateLimit` headers
//! are those of the IETF's draft-ietf-httpapi-ratelimit-headers.

use std::net::IpAddr;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpMessage, HttpRequest};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::{NoOpMiddleware, RateLimitingMiddleware, StateInformationMiddleware};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::config::{HttpConfig, Rate};
use crate::domain::UserId;
use crate::http::error::{ApiError, Code};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

type Keyed<K, M> = RateLimiter<K, DashMapStateStore<K>, DefaultClock, M>;

/// The limits; `None` where one is off.
pub(crate) struct RateLimits {
    users: Option<UserRates>,
    addresses: Option<Keyed<IpAddr, NoOpMiddleware>>,
}

struct UserRates {
    limiter: Keyed<UserId, StateInformationMiddleware>,
    rate: Rate,
    policy: HeaderValue,
}

/// How many requests the user has left, for the response's headers.
#[derive(Clone, Copy)]
struct Remaining(u32);

impl RateLimits {
    pub(crate) fn new(config: &HttpConfig) -> Self {
        let users = config.rate_limit_per_user.map(|rate| {
            let policy = format!("\"user\";q={};w={}", rate.burst, window(rate, rate.burst.get()));
            let policy = policy.try_into().expect("digits and letters are visible ASCII");
            UserRates { limiter: limiter(rate), rate, policy }
        });
        Self { users, addresses: config.auth_failures_per_address.map(limiter) }
    }

    /// Counts a request of this user.
    ///
    /// # Errors
    /// 429 when the user has made too many requests.
    pub(crate) fn admit(&self, user: UserId, request: &HttpRequest) -> Result<(), ApiError> {
        let Some(users) = &self.users else { return Ok(()) };
        let left = users.limiter.check_key(&user).map(|state| state.remaining_burst_capacity());
        request.extensions_mut().insert(Remaining(*left.as_ref().unwrap_or(&0)));
        left.map(drop).map_err(|_| too_many("Too many requests; try again soon"))
    }

    /// Counts a request without a valid token that was refused.
    ///
    /// # Errors
    /// 429 when too many came from the same address.
    pub(crate) fn refused(&self, client: IpAddr) -> Result<(), ApiError> {
        let Some(addresses) = &self.addresses else { return Ok(()) };
        let counted = addresses.check_key(&client);
        counted.map_err(|_| too_many("Too many requests without a valid token; try again soon"))
    }

    /// Adds the headers about the user's limit, if there is one.
    pub(crate) fn add_headers(&self, request: &HttpRequest, headers: &mut HeaderMap) {
        let Some(users) = &self.users else { return };
        let Some(Remaining(remaining)) = request.extensions().get().copied() else { return };
        let used = users.rate.burst.get().saturating_sub(remaining);
        let standing = format!("\"user\";r={remaining};t={}", window(users.rate, used));
        headers.insert(RATE_LIMIT, standing.try_into().expect("digits and letters are visible ASCII"));
        headers.insert(RATE_LIMIT_POLICY, users.policy.clone());
    }

    /// Forgets users and addresses that have their full burst again, so that memory holds recent ones only.
    pub(crate) fn forget_idle(&self) {
        if let Some(users) = &self.users {
            users.limiter.retain_recent();
        }
        if let Some(addresses) = &self.addresses {
            addresses.retain_recent();
        }
    }
}

fn limiter<K, M>(rate: Rate) -> Keyed<K, M>
where
    K: std::hash::Hash + Eq + Clone,
    M: RateLimitingMiddleware<<DefaultClock as Clock>::Instant>,
{
    let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
    RateLimiter::dashmap(quota).with_middleware()
}

/// Seconds until `count` requests are available again.
fn window(rate: Rate, count: u32) -> u32 {
    count.div_ceil(rate.per_second.get())
}

/// Status 429. Its `Retry-After` is one second: rates are whole numbers per second, so that one request is
/// available by then.
fn too_many(message: &'static str) -> ApiError {
    ApiError::new(Code::RateLimited, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_the_time_until_all_requests_are_available_again() {
        assert_eq!(window(Rate::new(10, 100), 100), 10);
        assert_eq!(window(Rate::new(10, 100), 1), 1);
        assert_eq!(window(Rate::new(10, 100), 0), 0);
        assert_eq!(window(Rate::new(3, 10), 10), 4);
    }

    #[test]
    fn idle_addresses_are_forgotten() {
        let addresses: Keyed<IpAddr, NoOpMiddleware> = limiter(Rate::new(1_000_000, 1));
        for number in 0..10_000 {
            let _ = addresses.check_key(&IpAddr::V4(std::net::Ipv4Addr::from_bits(number)));
        }
        assert_eq!(addresses.len(), 10_000);
        std::thread::sleep(std::time::Duration::from_millis(5));
        addresses.retain_recent();
        assert_eq!(addresses.len(), 0);
    }
}
