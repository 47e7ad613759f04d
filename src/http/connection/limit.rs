//! The open connections, in all and by address, and which address a request comes from.
//!
//! No address may hold more than its part of them: otherwise one client's idle connections would keep all others
//! out. A connection is counted until its [`OpenConnection`] is dropped.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::HttpRequest;

use crate::config::{HttpConfig, Network};
use crate::http::header_names::FORWARDED_FOR;
use crate::telemetry::metrics;

/// The open connections of the main listener.
pub(crate) struct Connections {
    open: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    /// Of one address, at most.
    most: usize,
    /// From this many on every response closes its connection.
    crowded: usize,
    trusted: Vec<Network>,
}

/// An open connection. It is counted until it is dropped.
pub(crate) struct OpenConnection {
    all: Arc<Connections>,
    /// Where its address has a limit.
    address: Option<IpAddr>,
}

impl Connections {
    /// None yet.
    pub(crate) fn new(config: &HttpConfig) -> Arc<Self> {
        let limit = config.max_connections;
        Arc::new(Self {
            open: AtomicUsize::new(0),
            by_address: Mutex::default(),
            most: config.max_connections_per_address.unwrap_or((limit * 3 / 5).max(1)),
            crowded: limit - limit / 4,
            trusted: config.trusted_proxies.clone().unwrap_or_default(),
        })
    }

    /// Counts a new connection; `None` when its address has as many as it may have.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<OpenConnection> {
        let address = (!self.trusts(peer)).then(|| network(peer));
        if let Some(address) = address {
            let mut counts = self.counts();
            let count = counts.entry(address).or_default();
            if *count >= self.most {
                metrics().connections_refused.increment(1);
                return None;
            }
            *count += 1;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        metrics().connections.increment(1.0);
        Some(OpenConnection { all: Arc::clone(self), address })
    }

    /// Whether so many are open that none should stay open without use.
    pub(crate) fn are_crowded(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.crowded
    }

    /// Where a request comes from: behind a trusted proxy the last address in `X-Forwarded-For` that is not a
    /// trusted proxy itself.
    pub(crate) fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip();
        if !self.trusts(peer) {
            return Some(network(peer));
        }
        let named = request.headers().get_all(FORWARDED_FOR).filter_map(|value| value.to_str().ok());
        let named = named.flat_map(|list| list.split(',')).filter_map(|one| one.trim().parse().ok());
        let client = named.filter(|address| !self.trusts(*address)).last();
        Some(network(client.unwrap_or(peer)))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenConnection {
    /// As [`Connections::are_crowded`].
    pub(crate) fn is_in_a_crowd(&self) -> bool {
        self.all.are_crowded()
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.all.open.fetch_sub(1, Ordering::Relaxed);
        metrics().connections.decrement(1.0);
        if let Some(address) = self.address {
            let mut counts = self.all.counts();
            if let Some(count) = counts.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&address);
                }
            }
        }
    }
}

/// The address that is counted: with IPv6 the network, since one client can use all addresses of a /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    use crate::config::{Config, Settings};

    fn connections(limit: usize, per_address: Option<usize>, trusted: &str) -> Arc<Connections> {
        Connections::new(&HttpConfig {
            max_connections: limit,
            max_connections_per_address: per_address,
            trusted_proxies: (!trusted.is_empty()).then(|| Network::parse_list(trusted).unwrap()),
            ..Config::check(&Settings::default()).unwrap().http
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_ipv6_client_is_its_network_and_an_ipv4_one_its_address() {
        let network = |text: &str| network(address(text)).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:3::1"), "2001:db8:1:3::");
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
    }

    #[test]
    fn an_address_has_its_part_and_what_ends_makes_room() {
        let all = connections(10, None, "");
        let mut open: Vec<_> = (0..6).map(|_| all.admit(address("192.0.2.7")).unwrap()).collect();
        assert!(all.admit(address("192.0.2.7")).is_none());
        assert!(!all.are_crowded());
        open.push(all.admit(address("192.0.2.8")).unwrap());
        open.push(all.admit(address("2001:db8::1")).unwrap());
        assert!(all.are_crowded());
        open.remove(0);
        assert!(!all.are_crowded());
        open.push(all.admit(address("192.0.2.7")).unwrap());
        assert!(all.admit(address("::ffff:192.0.2.7")).is_none());
        drop(open);
        assert!(all.counts().is_empty(), "no address is remembered without a connection");
    }

    #[test]
    fn a_trusted_proxy_has_no_limit() {
        let all = connections(10, Some(1), "10.0.0.0/8");
        let open: Vec<_> = (0..5).filter_map(|_| all.admit(address("10.1.2.3"))).collect();
        assert_eq!(open.len(), 5);
        let _one = all.admit(address("11.1.2.3")).unwrap();
        assert!(all.admit(address("11.1.2.3")).is_none());
    }

    #[test]
    fn only_a_trusted_proxy_can_name_the_client() {
        let all = connections(10, None, "10.0.0.0/8");
        for (peer, forwarded, client) in [
            ("192.0.2.7", "198.51.100.1", "192.0.2.7"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "unknown", "10.0.0.1"),
        ] {
            let request = TestRequest::default().peer_addr((address(peer), 1).into());
            let request = request.insert_header((FORWARDED_FOR, forwarded)).to_http_request();
            assert_eq!(all.client(&request), Some(address(client)), "{peer} {forwarded}");
        }
    }
}
