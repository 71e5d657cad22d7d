//! What trusted proxies tell of a request's client, in the place of what httpd sees (`WSGITrustedProxyHeaders`).
//!
//! Runs in httpd children. A header acts only where it is listed and comes from a trusted peer. The others that
//! tell the same are hidden from the application, which might take what a client has sent for a proxy's word.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::config::network::Network;
use crate::config::proxy_headers::{Fact, KNOWN, ProxyHeader};
use crate::request::EnvironBuilder;

/// What is known of a request's way here.
pub struct Way<'a> {
    /// The headers that are listed, in order.
    pub listed: &'a [ProxyHeader],
    /// The trusted proxies; None where every peer is trusted.
    pub proxies: Option<&'a [Network]>,
    /// The address that httpd sees.
    pub peer: &'a [u8],
}

/// What the proxies have told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    client: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
    server_name: Option<Vec<u8>>,
    server_port: Option<Vec<u8>>,
    mount: Option<Vec<u8>>,
    https: Option<bool>,
    hidden: Vec<&'static str>,
}

impl Told {
    /// Reads the headers that act. A header that comes twice is one list.
    pub fn read<'h>(way: &Way<'_>, headers: impl Iterator<Item = (&'h [u8], &'h [u8])> + Clone) -> Told {
        let mut told = Told::default();
        if way.listed.is_empty() {
            return told;
        }
        let trusted = way.proxies.is_none() || way.is_proxy(way.peer);
        let value = |header: &ProxyHeader| {
            let same = headers.clone().filter(|(name, _)| name.eq_ignore_ascii_case(header.name.as_bytes()));
            same.map(|(_, value)| value.to_vec()).reduce(|all, next| [&all[..], &next].join(&b','))
        };
        let mut acting = Vec::new();
        for fact in [Fact::Client, Fact::Host, Fact::ServerName, Fact::ServerPort, Fact::Mount, Fact::Scheme]
        {
            let mut listed = way.listed.iter().filter(|header| trusted && header.facts.contains(&fact));
            if let Some((header, value)) = listed.find_map(|header| Some((*header, value(header)?))) {
                told.take(way, fact, header, &value);
                acting.push(header.name);
            }
        }
        let told_of = |known: &ProxyHeader| {
            known.facts.iter().any(|fact| way.listed.iter().any(|header| header.facts.contains(fact)))
        };
        let hidden = KNOWN.iter().filter(|known| told_of(known) && !acting.contains(&known.name));
        told.hidden = hidden.map(|known| known.name).collect();
        told
    }

    /// Whether the application is not to see this header.
    pub fn hides(&self, name: &[u8]) -> bool {
        self.hidden.iter().any(|hidden| name.eq_ignore_ascii_case(hidden.as_bytes()))
    }

    /// The variables that it changes; they come after those of the request itself.
    pub fn push(&self, environ: &mut EnvironBuilder) {
        let variables: [(&[u8], &Option<Vec<u8>>); 6] = [
            (b"REMOTE_ADDR", &self.client),
            (b"HTTP_HOST", &self.host),
            (b"SERVER_NAME", &self.server_name),
            (b"SERVER_PORT", &self.server_port),
            (b"SCRIPT_NAME", &self.mount),
            (b"mod_wsgi.mount_point", &self.mount),
        ];
        for (name, value) in variables {
            if let Some(value) = value {
                environ.push(name, value);
            }
        }
        if let Some(https) = self.https {
            environ.push(b"wsgi.url_scheme", if https { b"https" } else { b"http" });
        }
    }

    fn take(&mut self, way: &Way<'_>, fact: Fact, header: ProxyHeader, value: &[u8]) {
        let element;
        let value: Cow<'_, [u8]> = if header.name == "Forwarded" {
            element = elements(value);
            let hops: Vec<&[u8]> = element.iter().map(|hop| hop.get("for").unwrap_or_default()).collect();
            let Some(hop) = way.client(&hops) else { return };
            match fact {
                Fact::Client => Cow::Borrowed(hops[hop]),
                Fact::Host => element[hop].get("host").unwrap_or_default().into(),
                _ => element[hop].get("proto").unwrap_or_default().into(),
            }
        } else {
            let entries: Vec<&[u8]> = entries(value).collect();
            let chosen = match fact {
                Fact::Client => way.client(&entries),
                _ if way.proxies.is_some() => entries.len().checked_sub(1),
                _ => (!entries.is_empty()).then_some(0),
            };
            let Some(chosen) = chosen else { return };
            Cow::Borrowed(entries[chosen])
        };
        if value.is_empty() {
            return;
        }
        match fact {
            Fact::Client => self.client = address(&value).map(|address| address.to_string().into_bytes()),
            Fact::Host => self.host = Some(value.into_owned()),
            Fact::ServerName => self.server_name = Some(value.into_owned()),
            Fact::ServerPort => {
                self.server_port = value.iter().all(u8::is_ascii_digit).then(|| value.into_owned());
            }
            Fact::Mount => self.mount = mount(&value),
            Fact::Scheme if header.is_flag => {
                self.https =
                    Some([&b"on"[..], b"true", b"1"].iter().any(|yes| value.eq_ignore_ascii_case(yes)));
            }
            Fact::Scheme => {
                self.https =
                    Some([&b"https"[..], b"wss"].iter().any(|name| value.eq_ignore_ascii_case(name)));
            }
        }
    }
}

impl Way<'_> {
    fn is_proxy(&self, hop: &[u8]) -> bool {
        let proxies = self.proxies.unwrap_or_default();
        address(hop).is_some_and(|address| proxies.iter().any(|network| network.contains(address)))
    }

    /// Which of the hops is the client: the last that is no proxy of ours. Without a list of proxies it is the
    /// first, as each of them is believed.
    fn client(&self, hops: &[&[u8]]) -> Option<usize> {
        if self.proxies.is_none() {
            return (!hops.is_empty()).then_some(0);
        }
        hops.iter().rposition(|hop| !self.is_proxy(hop)).or((!hops.is_empty()).then_some(0))
    }
}

/// The entries of a list; empty ones are left out (RFC 9110, section 5.6.1).
fn entries(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty())
}

/// The address of a hop, which may have a port: `192.0.2.7`, `192.0.2.7:80`, `[2001:db8::7]:80`.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let alone = || text.parse().ok();
    let bracketed = || text.strip_prefix('[')?.split_once(']')?.0.parse().ok();
    let with_port = || text.rsplit_once(':')?.0.parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4);
    alone().or_else(bracketed).or_else(with_port)
}

/// A path without its last slash; what is no path does not count.
fn mount(value: &[u8]) -> Option<Vec<u8>> {
    value.starts_with(b"/").then(|| value.strip_suffix(b"/").unwrap_or(value).to_vec())
}

/// One hop of `Forwarded` (RFC 7239, section 4): its parameters.
#[derive(Default)]
struct Hop(Vec<(Vec<u8>, Vec<u8>)>);

impl Hop {
    fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| &value[..])
    }
}

fn elements(value: &[u8]) -> Vec<Hop> {
    let (mut hops, mut hop, mut part) = (Vec::new(), Hop::default(), Vec::new());
    let (mut quoted, mut bytes) = (false, value.iter().copied());
    loop {
        match bytes.next() {
            Some(b'\\') if quoted => part.extend(bytes.next()),
            Some(b'"') => quoted = !quoted,
            Some(byte) if quoted || (byte != b';' && byte != b',') => part.push(byte),
            end => {
                let pair = std::mem::take(&mut part);
                if let Some(equals) = pair.iter().position(|byte| *byte == b'=') {
                    let (name, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
                    hop.0.push((name.to_vec(), value.to_vec()));
                }
                if end != Some(b';') {
                    let hop = std::mem::take(&mut hop);
                    hops.extend((!hop.0.is_empty()).then_some(hop));
                }
                if end.is_none() {
                    return hops;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::proxy_headers::find;

    fn told(listed: &[&str], proxies: Option<&[&str]>, peer: &str, headers: &[(&str, &str)]) -> Told {
        let listed: Vec<ProxyHeader> = listed.iter().map(|name| find(name).unwrap()).collect();
        let proxies: Option<Vec<Network>> =
            proxies.map(|all| all.iter().map(|text| Network::parse(text).unwrap()).collect());
        let way = Way { listed: &listed, proxies: proxies.as_deref(), peer: peer.as_bytes() };
        Told::read(&way, headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    fn client(proxies: Option<&[&str]>, value: &str) -> Option<String> {
        let told = told(&["X-Forwarded-For"], proxies, "10.0.0.1", &[("X-Forwarded-For", value)]);
        told.client.map(|client| String::from_utf8(client).unwrap())
    }

    #[test]
    fn the_client_is_the_first_or_the_last_that_is_no_proxy() {
        assert_eq!(client(None, " , 192.0.2.7, 10.0.0.9").as_deref(), Some("192.0.2.7"));
        let proxies = Some(&["10.0.0.1", "10.0.0.9"][..]);
        assert_eq!(client(proxies, "6.6.6.6, 192.0.2.7, 10.0.0.9").as_deref(), Some("192.0.2.7"));
        assert_eq!(client(proxies, "10.0.0.9").as_deref(), Some("10.0.0.9"));
        assert_eq!(client(proxies, "[2001:db8::7]:4711").as_deref(), Some("2001:db8::7"));
        assert_eq!(client(proxies, "unknown"), None);
        assert_eq!(client(Some(&["10.9.9.9"]), "192.0.2.7"), None, "from a stranger");
    }

    #[test]
    fn what_tells_the_same_is_hidden() {
        let headers =
            [("X-Real-IP", "192.0.2.7"), ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Host", "a.example")];
        let mut told = told(&["X-Real-IP"], None, "10.0.0.1", &headers);
        assert_eq!(told.client.take().as_deref(), Some(&b"192.0.2.7"[..]));
        assert!(told.hides(b"x-forwarded-for") && told.hides(b"Forwarded") && told.hides(b"X-Client-IP"));
        assert!(
            !told.hides(b"X-Real-IP") && !told.hides(b"X-Forwarded-Host"),
            "nothing of its kind is listed"
        );
        assert_eq!(told.host, None);
    }

    #[test]
    fn a_stranger_says_nothing() {
        let headers = [("X-Real-IP", "192.0.2.7"), ("X-Forwarded-Proto", "https")];
        let told = told(&["X-Real-IP", "X-Forwarded-Proto"], Some(&["10.0.0.1"]), "6.6.6.6", &headers);
        assert!(told.hides(b"X-Real-IP") && told.hides(b"X-Forwarded-Proto") && told.hides(b"X-HTTPS"));
        assert_eq!((told.client, told.https), (None, None));
    }

    #[test]
    fn all_kinds_of_facts() {
        let names =
            ["X-Forwarded-Host", "X-Forwarded-Server", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-HTTPS"];
        let values = ["shop.example:8443", "shop.example", "8443", "/shop/", "TRUE"];
        let headers: Vec<(&str, &str)> = names.into_iter().zip(values).collect();
        let told = told(&names, None, "10.0.0.1", &headers);
        let expected = Told {
            host: Some(b"shop.example:8443".to_vec()),
            server_name: Some(b"shop.example".to_vec()),
            server_port: Some(b"8443".to_vec()),
            mount: Some(b"/shop".to_vec()),
            https: Some(true),
            hidden: told.hidden.clone(),
            client: None,
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn forwarded_names_the_hop_of_the_client() {
        let value = "for=6.6.6.6;proto=http, For=\"[2001:db8::7]:80\";Proto=https;host=\"a.example:81\" ,for=10.0.0.9";
        let headers = [("Forwarded", value)];
        let told = told(&["Forwarded"], Some(&["10.0.0.1", "10.0.0.9"]), "10.0.0.1", &headers);
        assert_eq!(told.client.as_deref(), Some(&b"2001:db8::7"[..]));
        assert_eq!(told.host.as_deref(), Some(&b"a.example:81"[..]));
        assert_eq!(told.https, Some(true));
        assert!(told.hides(b"X-Forwarded-For") && !told.hides(b"Forwarded"));
    }
}
