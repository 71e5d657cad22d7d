//! The headers by which proxies tell of their clients, as `WSGITrustedProxyHeaders` names them.
//!
//! Plain values, read in the httpd parent and, for `.htaccess` files, in its children. `exchange::proxy` acts
//! on them for each request.

use crate::config::nearest::suggestion;

/// What a header tells of the request that the proxy has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// The client's address.
    Client,
    /// The host that the client asked for.
    Host,
    /// The name of the server, without a port.
    ServerName,
    ServerPort,
    /// Where the application is mounted.
    Mount,
    /// Whether the client came by TLS.
    Scheme,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    pub name: &'static str,
    pub facts: &'static [Fact],
    /// Its value is On, true or 1 for TLS, not the name of a scheme.
    pub is_flag: bool,
}

const fn header(name: &'static str, facts: &'static [Fact]) -> ProxyHeader {
    ProxyHeader { name, facts, is_flag: false }
}

const fn flag(name: &'static str) -> ProxyHeader {
    ProxyHeader { name, facts: &[Fact::Scheme], is_flag: true }
}

/// All that are known. `Forwarded` is RFC 7239's.
pub const KNOWN: [ProxyHeader; 17] = [
    header("Forwarded", &[Fact::Client, Fact::Host, Fact::Scheme]),
    header("X-Forwarded-For", &[Fact::Client]),
    header("X-Client-IP", &[Fact::Client]),
    header("X-Real-IP", &[Fact::Client]),
    header("X-Forwarded-Host", &[Fact::Host]),
    header("X-Host", &[Fact::Host]),
    header("X-Forwarded-Server", &[Fact::ServerName]),
    header("X-Forwarded-Port", &[Fact::ServerPort]),
    header("X-Script-Name", &[Fact::Mount]),
    header("X-Forwarded-Script-Name", &[Fact::Mount]),
    header("X-Forwarded-Prefix", &[Fact::Mount]),
    header("X-Forwarded-Proto", &[Fact::Scheme]),
    header("X-Forwarded-Scheme", &[Fact::Scheme]),
    header("X-Scheme", &[Fact::Scheme]),
    flag("X-Forwarded-HTTPS"),
    flag("X-Forwarded-SSL"),
    flag("X-HTTPS"),
];

pub fn find(name: &str) -> Option<ProxyHeader> {
    KNOWN.into_iter().find(|known| known.name.eq_ignore_ascii_case(name))
}

/// What is to be said of the names on one line that are not known.
pub fn unknown(names: &[&str]) -> String {
    let known = KNOWN.map(|known| known.name);
    let names: Vec<String> =
        names.iter().map(|name| format!("'{name}'{}", suggestion(name, known))).collect();
    let are = if names.len() == 1 {
        "is no header of proxies that is known, and has"
    } else {
        "are no headers of proxies that are known, and have"
    };
    format!(
        "{} {are} no effect: correct or remove what is wrong; known are {}",
        names.join(", "),
        known.join(", ")
    )
}
