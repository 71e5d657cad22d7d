//! Networks as httpd's `Require ip` reads them: an address, the beginning of an IPv4 address, or one with a
//! mask.
//!
//! Plain values, read in the httpd parent and, for `.htaccess` files, in its children; requests are held
//! against them. APR's own would need a pool that lives as long as a `.htaccess` file's directives.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    V4 { address: u32, mask: u32 },
    V6 { address: u128, mask: u128 },
}

impl Network {
    pub fn parse(text: &str) -> Result<Network, String> {
        let (address, mask) = text.split_once('/').map_or((text, None), |(one, other)| (one, Some(other)));
        let found = match (address.parse::<Ipv6Addr>(), mask) {
            (Ok(address), _) if address.to_ipv4_mapped().is_some() => None,
            (Ok(address), mask) => mask
                .map_or(Some(128), |mask| bits(mask, 128))
                .map(|length| v6(address.to_bits(), u128::MAX << (128 - length))),
            (Err(_), None) => beginning(address).map(|(address, length)| v4(address, of_length(length))),
            (Err(_), Some(mask)) => beginning(address)
                .filter(|(_, length)| *length == 32 && !address.ends_with('.'))
                .and_then(|(address, _)| Some(v4(address, v4_mask(mask)?))),
        };
        found.ok_or_else(|| {
            format!(
                "'{text}' is no network: write an address, such as 10.1.2.3 or 2001:db8::1, or one with a mask, such \
                 as 10.1.0.0/16 (::ffff:10.1.2.3 is written 10.1.2.3)"
            )
        })
    }

    /// An IPv4 address may be written as IPv6 writes it (`::ffff:10.1.2.3`).
    pub fn contains(&self, other: IpAddr) -> bool {
        match (*self, other.to_canonical()) {
            (Network::V4 { address, mask }, IpAddr::V4(other)) => other.to_bits() & mask == address,
            (Network::V6 { address, mask }, IpAddr::V6(other)) => other.to_bits() & mask == address,
            _ => false,
        }
    }
}

fn v4(address: u32, mask: u32) -> Network {
    Network::V4 { address: address & mask, mask }
}

fn v6(address: u128, mask: u128) -> Network {
    Network::V6 { address: address & mask, mask }
}

/// One to four numbers, with a dot after the last or without, and how many bits they are.
fn beginning(text: &str) -> Option<(u32, u32)> {
    let number =
        |part: &str| part.parse::<u8>().ok().filter(|_| part.starts_with(|c: char| c.is_ascii_digit()));
    let parts: Vec<u8> =
        text.strip_suffix('.').unwrap_or(text).split('.').map(number).collect::<Option<_>>()?;
    let mut bytes = [0; 4];
    bytes.get_mut(..parts.len())?.copy_from_slice(&parts);
    Some((u32::from_be_bytes(bytes), 8 * parts.len() as u32))
}

/// A length, or a mask such as 255.255.0.0.
fn v4_mask(text: &str) -> Option<u32> {
    let written = || text.parse().map(Ipv4Addr::to_bits).ok();
    bits(text, 32).map(of_length).or_else(written)
}

fn of_length(length: u32) -> u32 {
    u32::MAX << (32 - length)
}

fn bits(mask: &str, most: u32) -> Option<u32> {
    mask.parse().ok().filter(|length| (1..=most).contains(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What APR 1.7 takes (`apr_ipsubnet_create`), and an address that it finds inside and one outside.
    const TAKEN: [(&str, &str, &str); 22] = [
        ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
        ("10.1.2.3", "::ffff:10.1.2.3", "::10.1.2.3"),
        ("10.1.2.3.", "10.1.2.3", "10.1.2.4"),
        ("010.1.2.3", "10.1.2.3", "8.1.2.3"),
        ("010.1.2.3/16", "10.1.7.8", "8.1.7.8"),
        ("10", "10.255.0.1", "11.0.0.1"),
        ("10.", "10.255.0.1", "11.0.0.1"),
        ("10.1", "10.1.255.255", "10.2.0.0"),
        ("10.1.2.", "10.1.2.255", "10.1.3.0"),
        ("10.1.0.0/16", "10.1.7.8", "10.2.7.8"),
        ("10.1.2.3/16", "10.1.7.8", "10.2.7.8"),
        ("10.1.2.3/32", "10.1.2.3", "10.1.2.2"),
        ("10.1.2.3/+8", "10.7.7.7", "11.1.2.3"),
        ("128.0.0.0/1", "255.0.0.1", "127.0.0.1"),
        ("10.1.0.0/255.255.0.0", "::ffff:10.1.7.8", "10.0.7.8"),
        ("10.0.7.0/255.0.255.0", "10.9.7.1", "10.9.8.1"),
        ("10.0.0.0/0.0.0.0", "192.0.2.7", "2001:db8::1"),
        ("0.0.0.0", "0.0.0.0", "0.0.0.1"),
        ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
        ("2001:DB8::7/128", "2001:db8::7", "2001:db8::8"),
        ("::/1", "7fff::1", "192.0.2.7"),
        ("::1", "::1", "127.0.0.1"),
    ];

    /// What it refuses.
    const REFUSED: [&str; 36] = [
        "a",
        "all",
        "*",
        "proxy.example",
        "localhost",
        "10.1.2.3.4",
        "10..1",
        "10..",
        ".10",
        ".",
        "300.1",
        "10.1.-2",
        "10/8",
        "10.1/16",
        "10.1.2.3./8",
        "+10.1",
        "10.1.2.3 ",
        "10.0.0.0/33",
        "10.0.0.0/0",
        "10.0.0.0/-1",
        "10.0.0.0/x",
        "10.0.0.0/8x",
        "10.1.2.3/",
        "10.1.2.3/8/8",
        "10.1.2.3/255.255",
        "10.1.2.3/ffff::",
        "::/0",
        "::1/129",
        "::1/255.0.0.0",
        "::1/",
        ":",
        "1::2::3",
        "[::1]",
        "fe80::1%eth0",
        "::ffff:10.1.2.3",
        "::ffff:0.0.0.0/96",
    ];

    #[test]
    fn what_apr_takes() {
        for (network, inside, outside) in TAKEN {
            let holds = |address: &str| Network::parse(network).unwrap().contains(address.parse().unwrap());
            assert!(holds(inside) && !holds(outside), "{network}");
        }
    }

    #[test]
    fn what_apr_refuses() {
        for text in REFUSED {
            assert!(Network::parse(text).unwrap_err().contains("is no network"), "{text}");
        }
    }

    /// For APR it is the network of all IPv4 addresses: no proxy would be meant by it.
    #[test]
    fn nothing_is_no_network() {
        assert!(Network::parse("").is_err() && Network::parse("/8").is_err());
    }
}
