//! Names of process groups, application groups and callables as they are written: fixed, or to be worked out
//! for each request (`%{SERVER}`, `%{ENV:NAME}` …).
//!
//! Parsed while httpd reads its configuration. The httpd child expands them for each request (`target`) from
//! what it knows about the request (`RequestFacts`, which `exchange::environ` implements).

use std::fmt;
use std::sync::Arc;

use crate::config::nearest::suggestion;

const FORMS: [&str; 5] = ["%{GLOBAL}", "%{SERVER}", "%{HOST}", "%{RESOURCE}", "%{ENV:NAME}"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupName {
    /// The empty name: no daemon, or the main interpreter.
    Global,
    Server,
    Host,
    Resource,
    Env(Arc<str>),
    Literal(Arc<str>),
}

/// What a request says about itself.
pub trait RequestFacts {
    /// `ServerName` of the virtual host.
    fn server_name(&self) -> &str;
    /// The server's port, as far as httpd knows it for this request; never one that a client has made up.
    fn server_port(&self) -> u16;
    /// The `Host` header (or `:authority`), with or without port.
    fn host_header(&self) -> Option<&str>;
    fn script_name(&self) -> &str;
    /// Request notes, then the request's environment, then that of the process.
    fn environment(&self, name: &str) -> Option<String>;
    /// `WSGICaseSensitivity`.
    fn case_sensitive(&self) -> bool {
        true
    }
}

impl GroupName {
    pub fn parse(text: &str) -> Self {
        match text {
            "" | "%{GLOBAL}" => GroupName::Global,
            "%{SERVER}" => GroupName::Server,
            "%{HOST}" => GroupName::Host,
            "%{RESOURCE}" => GroupName::Resource,
            _ => match text.strip_prefix("%{ENV:").and_then(|rest| rest.strip_suffix('}')) {
                Some(name) if !name.is_empty() => GroupName::Env(name.into()),
                _ => GroupName::Literal(text.into()),
            },
        }
    }

    /// The name, when it does not depend on a request.
    pub fn fixed(&self) -> Option<&str> {
        match self {
            GroupName::Global => Some(""),
            GroupName::Literal(name) => Some(name),
            _ => None,
        }
    }

    /// The cure, for a name that looks like a `%{...}` form but is none, and is used literally.
    pub fn unknown_form(&self) -> Option<String> {
        match self {
            GroupName::Literal(name) if name.starts_with("%{") => {
                Some(format!("use one of {}{}", FORMS.join(" "), suggestion(name, FORMS)))
            }
            _ => None,
        }
    }

    /// The name for one request. A variable that is not set leaves the text as it is written, so
    /// that a request never ends up in the main process or interpreter by mistake.
    pub fn expand(&self, facts: &dyn RequestFacts) -> String {
        match self {
            GroupName::Env(name) => match facts.environment(name) {
                Some(value) if value.starts_with('%') => match GroupName::parse(&value) {
                    GroupName::Env(_) => value,
                    form => form.expand_form(facts),
                },
                Some(value) => value,
                None => self.to_string(),
            },
            _ => self.expand_form(facts),
        }
    }

    fn expand_form(&self, facts: &dyn RequestFacts) -> String {
        match self {
            GroupName::Global => String::new(),
            GroupName::Server => with_port(facts.server_name(), facts.server_port()),
            GroupName::Host => host(facts),
            GroupName::Resource => resource(facts),
            GroupName::Env(_) | GroupName::Literal(_) => self.to_string(),
        }
    }
}

/// As it was written.
impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupName::Global => f.write_str("%{GLOBAL}"),
            GroupName::Server => f.write_str("%{SERVER}"),
            GroupName::Host => f.write_str("%{HOST}"),
            GroupName::Resource => f.write_str("%{RESOURCE}"),
            GroupName::Env(name) => write!(f, "%{{ENV:{name}}}"),
            GroupName::Literal(name) => f.write_str(name),
        }
    }
}

fn with_port(name: &str, port: u16) -> String {
    match port {
        80 | 443 => name.to_string(),
        _ => format!("{name}:{port}"),
    }
}

fn host(facts: &dyn RequestFacts) -> String {
    let header = facts.host_header().unwrap_or_default();
    // The colons of an IPv6 address are inside brackets.
    let after_address = header.rfind(']').unwrap_or(0);
    let end = header[after_address..].find(':').map_or(header.len(), |at| after_address + at);
    match &header[..end] {
        "" => with_port(facts.server_name(), facts.server_port()),
        name => with_port(&name.to_ascii_lowercase(), facts.server_port()),
    }
}

fn resource(facts: &dyn RequestFacts) -> String {
    let mut name = with_port(facts.server_name(), facts.server_port());
    name.push('|');
    let prefix = name.len();
    for c in facts.script_name().chars() {
        if c != '/' || name.len() == prefix || !name.ends_with('/') {
            name.push(c);
        }
    }
    if facts.case_sensitive() { name } else { name.to_lowercase() }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A request for tests, here and in `target`.
    pub struct Request {
        pub port: u16,
        pub host: Option<&'static str>,
        pub script_name: &'static str,
        pub variable: Option<&'static str>,
        pub case_sensitive: bool,
    }

    pub fn request() -> Request {
        Request { port: 80, host: None, script_name: "/App", variable: None, case_sensitive: true }
    }

    impl RequestFacts for Request {
        fn server_name(&self) -> &str {
            "blog.example"
        }
        fn server_port(&self) -> u16 {
            self.port
        }
        fn host_header(&self) -> Option<&str> {
            self.host
        }
        fn script_name(&self) -> &str {
            self.script_name
        }
        fn environment(&self, name: &str) -> Option<String> {
            self.variable.filter(|_| name == "SITE").map(str::to_string)
        }
        fn case_sensitive(&self) -> bool {
            self.case_sensitive
        }
    }

    fn expand(text: &str, request: &Request) -> String {
        GroupName::parse(text).expand(request)
    }

    #[test]
    fn the_port_belongs_to_the_name_unless_it_is_a_standard_one() {
        for (port, expected) in [(80, "blog.example"), (443, "blog.example")] {
            assert_eq!(expand("%{SERVER}", &Request { port, ..request() }), expected);
        }
        let other = Request { port: 8080, ..request() };
        assert_eq!(expand("%{SERVER}", &other), "blog.example:8080");
        assert_eq!(expand("%{RESOURCE}", &other), "blog.example:8080|/App");
        assert_eq!(expand("%{GLOBAL}", &other), "");
        assert_eq!(expand("blog", &other), "blog");
    }

    #[test]
    fn the_host_header_or_the_server() {
        let of = |host, port| expand("%{HOST}", &Request { host, port, ..request() });
        assert_eq!(of(Some("Shop.Example"), 80), "shop.example");
        assert_eq!(of(Some("shop.example:8080"), 8080), "shop.example:8080");
        assert_eq!(of(Some("[::1]:8080"), 8080), "[::1]:8080");
        assert_eq!(of(Some("[::1]"), 80), "[::1]");
        assert_eq!(of(Some(""), 80), "blog.example");
        assert_eq!(of(None, 99), "blog.example:99");
    }

    #[test]
    fn resources_have_single_slashes_and_perhaps_small_letters() {
        let of = |script_name, case_sensitive| {
            expand("%{RESOURCE}", &Request { script_name, case_sensitive, ..request() })
        };
        assert_eq!(of("//a///B", true), "blog.example|/a/B");
        assert_eq!(of("/a/B", false), "blog.example|/a/b");
        assert_eq!(of("", true), "blog.example|");
    }

    #[test]
    fn a_variable_is_expanded_once() {
        let of = |variable| expand("%{ENV:SITE}", &Request { variable, ..request() });
        assert_eq!(of(Some("shop")), "shop");
        assert_eq!(of(Some("%{SERVER}")), "blog.example");
        assert_eq!(of(Some("%{GLOBAL}")), "");
        assert_eq!(of(Some("%{ENV:SITE}")), "%{ENV:SITE}");
        assert_eq!(of(Some("%{OTHER}")), "%{OTHER}");
        assert_eq!(of(None), "%{ENV:SITE}");
    }

    #[test]
    fn unknown_forms_are_literal_but_flagged() {
        let name = GroupName::parse("%{Global}");
        assert_eq!(name.expand(&request()), "%{Global}");
        assert!(name.unknown_form().unwrap().contains("did you mean '%{GLOBAL}'?"));
        assert!(GroupName::parse("%{ENV:}").unknown_form().is_some());
        for known in ["%{ENV:X}", "%{HOST}", "plain", "50%", ""] {
            assert_eq!(GroupName::parse(known).unknown_form(), None);
        }
        assert_eq!(GroupName::parse("%{GLOBAL}").fixed(), Some(""));
        assert_eq!(GroupName::parse("blog").fixed(), Some("blog"));
        assert_eq!(GroupName::parse("%{HOST}").fixed(), None);
    }
}
