//! Networks of addresses: `10.0.0.0/8`, or one address.

use std::net::IpAddr;

use super::check::{ConfigError, digits, wrong};

/// A network of IPv4 or IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its first address, as IPv6; an IPv4 address is mapped (`::ffff:192.0.2.7`).
    first: u128,
    /// How many of the last bits may be anything.
    free_bits: u32,
}

impl Network {
    /// Whether it holds the address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        (bits(address) ^ self.first).checked_shr(self.free_bits).unwrap_or(0) == 0
    }

    /// Reads a comma-separated list.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Self>, ConfigError> {
        let allowed = "a comma-separated list of IP addresses and networks such as 10.0.0.0/8";
        text.split(',')
            .map(str::trim)
            .map(|part| Self::parse(part).ok_or_else(|| wrong(part, allowed)))
            .collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(head, tail)| (head, Some(tail)));
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(width), |prefix| digits(prefix).filter(|bits| *bits <= width))?;
        Some(Self { first: bits(address), free_bits: width - prefix })
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_own_addresses_only() {
        for (networks, inside, outside) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "::ffff:10.9.9.9", "::10.9.9.9"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("::/0", "203.0.113.9", ""),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1, 127.0.0.0/8", "127.0.0.2", "128.0.0.1"),
        ] {
            let networks = Network::parse_list(networks).unwrap();
            let holds = |text: &str| networks.iter().any(|network| network.contains(text.parse().unwrap()));
            assert!(holds(inside), "{networks:?}");
            assert!(outside.is_empty() || !holds(outside), "{networks:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "proxy",
            "10.0.0.0/33",
            "::1/129",
            "10.0.0.0/",
            "10.0.0/8",
            "10.0.0.0/-1",
            "1.2.3.4,x",
            " , ",
            "1.2.3.4,",
            "10.0.0.0/+8",
        ] {
            assert!(Network::parse_list(text).is_err(), "{text}");
        }
    }
}
