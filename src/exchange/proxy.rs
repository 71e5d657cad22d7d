//! What trusted proxies tell of a request's client, in the place of what httpd sees
//! (`WSGITrustedProxyHeaders`).
//!
//! Runs in httpd children. A header acts only where it is listed and comes from a trusted peer. The others
//! that tell the same are hidden from the application, which might take what a client has sent for a proxy's
//! word.

use super::hops::{address, elements, entries, parameter};
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

/// A request as its proxies have seen it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ProxyView {
    client: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
    server_name: Option<Vec<u8>>,
    server_port: Option<Vec<u8>>,
    mount: Option<Vec<u8>>,
    https: Option<bool>,
    hidden: Vec<&'static str>,
    /// Lists without the part that the client itself may have written.
    cut: Vec<(&'static str, Vec<u8>)>,
}

impl ProxyView {
    /// Reads the headers that act. A header that comes twice is one list.
    pub fn read<'h>(way: &Way<'_>, headers: impl Iterator<Item = (&'h [u8], &'h [u8])> + Clone) -> ProxyView {
        let mut view = ProxyView::default();
        let trusted = way.proxies.is_none() || way.is_proxy(way.peer);
        let value = |header: &ProxyHeader| {
            let same = headers.clone().filter(|(name, _)| name.eq_ignore_ascii_case(header.name.as_bytes()));
            same.map(|(_, value)| value.to_vec()).reduce(|all, next| [&all[..], &next].join(&b','))
        };
        let mut acting = Vec::new();
        for fact in [Fact::Client, Fact::Host, Fact::ServerName, Fact::ServerPort, Fact::Mount, Fact::Scheme]
        {
            let listed = way.listed.iter().filter(|header| trusted && header.facts.contains(&fact));
            acting.extend(listed.rev().find_map(|header| view.take(way, fact, *header, &value(header)?)));
        }
        let told_of = |known: &ProxyHeader| {
            known.facts.iter().any(|fact| way.listed.iter().any(|header| header.facts.contains(fact)))
        };
        let hidden = KNOWN.iter().filter(|known| told_of(known) && !acting.contains(&known.name));
        view.hidden = hidden.map(|known| known.name).collect();
        view
    }

    /// What the application sees of a header; None where it does not see it.
    pub fn shown<'v>(&'v self, name: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if self.hidden.iter().any(|hidden| is(hidden)) {
            return None;
        }
        Some(self.cut.iter().find(|(cut, _)| is(cut)).map_or(value, |(_, rest)| rest))
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

    /// Takes over what a header says of a fact. The header's name, if it says anything of it.
    fn take(&mut self, way: &Way<'_>, fact: Fact, header: ProxyHeader, value: &[u8]) -> Option<&'static str> {
        let hops = way.believed(header, value);
        let word = way.word(fact, header, hops.first()?).filter(|word| !word.is_empty())?;
        if way.proxies.is_some() && header.facts.contains(&Fact::Client) {
            self.cut.push((header.name, hops.join(&b", "[..])));
        }
        match fact {
            Fact::Client => self.client = address(&word).map(|address| address.to_string().into_bytes()),
            Fact::Host => self.host = host(&word),
            Fact::ServerName => self.server_name = host(&word),
            Fact::ServerPort => self.server_port = port(&word),
            Fact::Mount => self.mount = mount(&word),
            Fact::Scheme => {
                let yes: &[&str] = if header.is_flag { &["on", "true", "1"] } else { &["https", "wss"] };
                self.https = Some(yes.iter().any(|yes| word.eq_ignore_ascii_case(yes.as_bytes())));
            }
        }
        Some(header.name)
    }
}

impl Way<'_> {
    /// The hops of a header from the client on. Where the proxies are known, the client is the last hop that
    /// is none of them: what stands before it was sent by the client. Of lists without addresses the last hop
    /// is the one that the peer has written. Otherwise all hops are believed.
    fn believed<'v>(&self, header: ProxyHeader, value: &'v [u8]) -> Vec<&'v [u8]> {
        let mut hops = if is_forwarded(header) { elements(value) } else { entries(value) };
        let first = match self.proxies {
            None => 0,
            Some(_) if header.facts.contains(&Fact::Client) => {
                let client = |hop: &&[u8]| self.word(Fact::Client, header, hop).unwrap_or_default();
                hops.iter().rposition(|hop| !self.is_proxy(&client(hop))).unwrap_or(0)
            }
            Some(_) => hops.len().saturating_sub(1),
        };
        hops.split_off(first)
    }

    /// What a hop says of a fact.
    fn word(&self, fact: Fact, header: ProxyHeader, hop: &[u8]) -> Option<Vec<u8>> {
        match fact {
            _ if !is_forwarded(header) => Some(hop.to_vec()),
            Fact::Client => parameter(hop, "for"),
            Fact::Host => parameter(hop, "host"),
            _ => parameter(hop, "proto"),
        }
    }

    fn is_proxy(&self, hop: &[u8]) -> bool {
        let proxies = self.proxies.unwrap_or_default();
        address(hop).is_some_and(|address| proxies.iter().any(|network| network.contains(address)))
    }
}

fn is_forwarded(header: ProxyHeader) -> bool {
    header.name == "Forwarded"
}

/// A name or an address, with or without a port.
fn host(word: &[u8]) -> Option<Vec<u8>> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(byte);
    word.iter().all(allowed).then(|| word.to_vec())
}

fn port(word: &[u8]) -> Option<Vec<u8>> {
    let port: u16 = std::str::from_utf8(word).ok()?.parse().ok()?;
    (port != 0).then(|| port.to_string().into_bytes())
}

/// A path, with single slashes and none at the end.
fn mount(word: &[u8]) -> Option<Vec<u8>> {
    if word.iter().any(u8::is_ascii_control) {
        return None;
    }
    let parts = word.strip_prefix(b"/")?.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    Some(parts.flat_map(|part| [b"/", part].concat()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::proxy_headers::find;

    fn view(listed: &[&str], proxies: Option<&[&str]>, peer: &str, headers: &[(&str, &str)]) -> ProxyView {
        let listed: Vec<ProxyHeader> = listed.iter().map(|name| find(name).unwrap()).collect();
        let proxies: Option<Vec<Network>> =
            proxies.map(|all| all.iter().map(|text| Network::parse(text).unwrap()).collect());
        let way = Way { listed: &listed, proxies: proxies.as_deref(), peer: peer.as_bytes() };
        ProxyView::read(&way, headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    fn client(proxies: Option<&[&str]>, value: &str) -> Option<String> {
        let view = view(&["X-Forwarded-For"], proxies, "10.0.0.1", &[("X-Forwarded-For", value)]);
        view.client.map(|client| String::from_utf8(client).unwrap())
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

    fn hides(view: &ProxyView, name: &str) -> bool {
        view.shown(name.as_bytes(), b"value").is_none()
    }

    #[test]
    fn what_tells_the_same_is_hidden() {
        let headers =
            [("X-Real-IP", "192.0.2.7"), ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Host", "a.example")];
        let view = view(&["X-Real-IP"], None, "10.0.0.1", &headers);
        assert_eq!((view.client.as_deref(), &view.host), (Some(&b"192.0.2.7"[..]), &None));
        assert!(["x-forwarded-for", "Forwarded", "X-Client-IP"].iter().all(|name| hides(&view, name)));
        assert!(
            !hides(&view, "X-Real-IP") && !hides(&view, "X-Forwarded-Host"),
            "nothing of its kind is listed"
        );
    }

    #[test]
    fn a_stranger_says_nothing() {
        let headers = [("X-Real-IP", "192.0.2.7"), ("X-Forwarded-Proto", "https")];
        let view = view(&["X-Real-IP", "X-Forwarded-Proto"], Some(&["10.0.0.1"]), "6.6.6.6", &headers);
        assert!(["X-Real-IP", "X-Forwarded-Proto", "X-HTTPS"].iter().all(|name| hides(&view, name)));
        assert_eq!((view.client, view.https), (None, None));
    }

    #[test]
    fn what_stands_before_the_client_is_not_shown() {
        let proxies = Some(&["10.0.0.1", "10.0.0.9"][..]);
        for (name, value, rest) in [
            ("X-Forwarded-For", "6.6.6.6,192.0.2.7,,10.0.0.9", "192.0.2.7, 10.0.0.9"),
            ("Forwarded", "for=6.6.6.6;x=\", for=192.0.2.7,for=10.0.0.9", "for=192.0.2.7, for=10.0.0.9"),
        ] {
            let view = view(&[name], proxies, "10.0.0.1", &[(name, value)]);
            assert_eq!(view.client.as_deref(), Some(&b"192.0.2.7"[..]), "{value}");
            assert_eq!(view.shown(name.as_bytes(), value.as_bytes()), Some(rest.as_bytes()));
        }
        let view = view(&["X-Forwarded-For"], None, "10.0.0.1", &[("X-Forwarded-For", "a,b")]);
        assert_eq!(view.shown(b"X-Forwarded-For", b"a,b"), Some(&b"a,b"[..]), "every hop is believed");
    }

    #[test]
    fn all_kinds_of_facts() {
        let names =
            ["X-Forwarded-Host", "X-Forwarded-Server", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-HTTPS"];
        let read = |values: [&str; 5]| {
            let headers: Vec<(&str, &str)> = names.into_iter().zip(values).collect();
            view(&names, None, "10.0.0.1", &headers)
        };
        let view = read(["shop.example:8443", "shop.example", "8443", "//shop//a/", "TRUE"]);
        let expected = ProxyView {
            host: Some(b"shop.example:8443".to_vec()),
            server_name: Some(b"shop.example".to_vec()),
            server_port: Some(b"8443".to_vec()),
            mount: Some(b"/shop/a".to_vec()),
            https: Some(true),
            hidden: view.hidden.clone(),
            ..ProxyView::default()
        };
        assert_eq!(view, expected);
        assert_eq!(read(["[::1]:80", "a", "1", "/", "off"]).mount.as_deref(), Some(&b""[..]));
        assert_eq!(read(["a", "a", "1", "/shop\t/a", "off"]).mount, None, "no path has a tab");
        let useless = read(["a.example/x", "a b", "99999", "shop", "maybe"]);
        let expected =
            ProxyView { https: Some(false), hidden: useless.hidden.clone(), ..ProxyView::default() };
        assert_eq!(useless, expected);
    }

    #[test]
    fn forwarded_names_the_hop_of_the_client() {
        let value = "for=6.6.6.6;proto=http, For=\"[2001:db8::7]:80\";Proto=https;host=\"a.example:81\" ,for=10.0.0.9";
        let proxies = Some(&["10.0.0.1", "10.0.0.9"][..]);
        let view = view(&["Forwarded"], proxies, "10.0.0.1", &[("Forwarded", value)]);
        assert_eq!(view.client.as_deref(), Some(&b"2001:db8::7"[..]));
        assert_eq!(view.host.as_deref(), Some(&b"a.example:81"[..]));
        assert_eq!(view.https, Some(true));
        assert!(hides(&view, "X-Forwarded-For") && !hides(&view, "Forwarded"));
    }

    #[test]
    fn the_last_that_says_something_acts() {
        let names = ["X-HTTPS", "X-Forwarded-Proto", "Forwarded"];
        let headers = [("X-Forwarded-Proto", "https"), ("Forwarded", "for=192.0.2.7"), ("X-HTTPS", "off")];
        let view = view(&names, None, "10.0.0.1", &headers);
        assert_eq!((view.client.as_deref(), view.https), (Some(&b"192.0.2.7"[..]), Some(true)));
        assert!(hides(&view, "X-HTTPS") && !hides(&view, "X-Forwarded-Proto"));
    }
}
