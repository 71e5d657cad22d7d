//! Networks as httpd's `Require ip` reads them: an address, the beginning of an IPv4 address, or one with a mask.
//!
//! Plain values, read in the httpd parent and, for `.htaccess` files, in its children; requests are held against
//! them. APR's own would need a pool that lives as long as a `.htaccess` file's directives.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// As an IPv6 address; IPv4 addresses are the mapped ones.
    address: u128,
    mask: u128,
}

impl Network {
    pub fn parse(text: &str) -> Result<Network, String> {
        let wrong = || {
            format!(
                "'{text}' is no network: write an address, such as 10.1.2.3 or 2001:db8::1, or one with a mask, such as 10.1.0.0/16"
            )
        };
        let (address, mask) = text.split_once('/').map_or((text, None), |(one, other)| (one, Some(other)));
        let (address, length) = match address.parse() {
            Ok(address) => (address, None),
            Err(_) => {
                beginning(address).map(|(address, length)| (address, Some(length))).ok_or_else(wrong)?
            }
        };
        let own = if address.is_ipv4() { 32 } else { 128 };
        let length = match mask {
            None => length.unwrap_or(own),
            Some(mask) => bits(mask, own).ok_or_else(wrong)?,
        };
        // A mapped IPv4 address has 96 bits in front of its own.
        let mask = u128::MAX.checked_shl(own - length).unwrap_or(0);
        Ok(Network { address: number(address) & mask, mask })
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        number(address) & self.mask == self.address
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => Ipv6Addr::to_bits(address),
    }
}

/// `10.1` is 10.1.0.0/16.
fn beginning(text: &str) -> Option<(IpAddr, u32)> {
    let parts: Vec<u8> =
        text.trim_end_matches('.').split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let mut bytes = [0; 4];
    bytes.get_mut(..parts.len()).filter(|_| parts.len() < 4)?.copy_from_slice(&parts);
    Some((Ipv4Addr::from(bytes).into(), 8 * parts.len() as u32))
}

/// The length of a mask: a number, or for IPv4 a mask such as 255.255.0.0.
fn bits(mask: &str, most: u32) -> Option<u32> {
    if let Ok(length) = mask.parse::<u32>() {
        return (length <= most).then_some(length);
    }
    let mask = mask.parse::<Ipv4Addr>().ok().filter(|_| most == 32)?.to_bits();
    (mask.leading_ones() + mask.trailing_zeros() == 32).then_some(mask.leading_ones())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, address: &str) -> bool {
        Network::parse(network).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_in_a_network_or_not() {
        for (network, inside, outside) in [
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.1", "10.1.255.255", "10.2.0.0"),
            ("10.1.0.0/16", "10.1.7.8", "10.2.7.8"),
            ("10.1.0.0/255.255.0.0", "::ffff:10.1.7.8", "10.0.7.8"),
            ("0.0.0.0/0", "192.0.2.7", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
            ("::1", "::1", "127.0.0.1"),
        ] {
            assert!(holds(network, inside) && !holds(network, outside), "{network}");
        }
        assert!(holds("::/0", "192.0.2.7") && holds("::/0", "2001:db8::1"));
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in [
            "",
            "a",
            "10.1.2.3.4",
            "300.1",
            "10.0.0.0/33",
            "10.0.0.0/255.0.255.0",
            "::1/129",
            "::1/255.0.0.0",
            "10.1.2.3/",
        ] {
            assert!(Network::parse(text).unwrap_err().contains("is no network"), "{text}");
        }
    }
}
