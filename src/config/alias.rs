//! `WSGIScriptAlias` and `WSGIScriptAliasMatch`: from a URL to the file of a script.
//!
//! Made in the httpd parent (`actions`). In httpd children the translate hook matches each request against
//! them, in the order of the configuration. URLs are bytes, since a client can send any.

use std::sync::Arc;

use crate::config::process_group::Origin;
use crate::config::settings::Settings;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    Prefix(String),
    /// A regular expression of httpd's, compiled by the border: `GlobalConfig::patterns[slot]`.
    Regex {
        text: Arc<str>,
        slot: usize,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Alias {
    pub pattern: Pattern,
    /// A script, or with a trailing slash a directory of scripts.
    pub target: String,
    /// The options of the line; the innermost layer of the request's settings.
    pub options: Settings,
    pub origin: Origin,
}

/// Start and end of each group of a match in the subject; the first is the whole match.
pub type Captures = [Option<(usize, usize)>];

impl Alias {
    /// The filename for a URL path, when this alias has a prefix that matches it: the target, and
    /// what follows the prefix in the URL, which httpd later splits into file and path info.
    pub fn match_prefix(&self, uri: &[u8]) -> Option<Vec<u8>> {
        let Pattern::Prefix(prefix) = &self.pattern else { return None };
        let rest = &uri[matched_length(prefix.as_bytes(), uri)?..];
        let mut filename = self.target.clone().into_bytes();
        if self.is_directory() {
            let slashes = rest.iter().take_while(|byte| **byte == b'/').count();
            filename.extend_from_slice(&rest[slashes..]);
        } else {
            // The slash that ends the prefix belongs to the path info too.
            filename.extend_from_slice(if prefix.ends_with('/') { b"/" } else { b"" });
            filename.extend_from_slice(rest);
        }
        Some(filename)
    }

    /// Whether this alias has a prefix that matches the URL path.
    pub fn has_prefix_of(&self, uri: &[u8]) -> bool {
        matches!(&self.pattern, Pattern::Prefix(prefix) if matched_length(prefix.as_bytes(), uri).is_some())
    }

    /// The filename for a URL path that the regular expression of this alias matched.
    pub fn match_regex(&self, uri: &[u8], captures: &Captures) -> Vec<u8> {
        let mut filename = substitute(&self.target, uri, captures);
        if let Some(Some((_, end))) = captures.first() {
            filename.extend_from_slice(&uri[(*end).min(uri.len())..]);
        }
        filename
    }

    /// The script, when it is the same for every URL that matches.
    pub fn fixed_script(&self) -> Option<&str> {
        let varies = match self.pattern {
            Pattern::Prefix(_) => false,
            Pattern::Regex { .. } => self.target.contains(['$', '&', '\\']),
        };
        (!varies && !self.is_directory()).then_some(self.target.as_str())
    }

    pub fn is_directory(&self) -> bool {
        self.target.ends_with('/')
    }

    /// The URL side of the line as it was written.
    pub fn mount(&self) -> &str {
        match &self.pattern {
            Pattern::Prefix(prefix) => prefix,
            Pattern::Regex { text, .. } => text,
        }
    }
}

/// How much of the URL the prefix covers, if it covers whole path components; any number of
/// slashes counts as one.
fn matched_length(prefix: &[u8], uri: &[u8]) -> Option<usize> {
    let slashes =
        |text: &[u8], from: usize| from + text[from..].iter().take_while(|byte| **byte == b'/').count();
    let (mut p, mut u) = (0, 0);
    while p < prefix.len() {
        if uri.get(u) != Some(&prefix[p]) {
            return None;
        }
        (p, u) = match prefix[p] {
            b'/' => (slashes(prefix, p), slashes(uri, u)),
            _ => (p + 1, u + 1),
        };
    }
    let at_boundary = prefix.last() == Some(&b'/') || matches!(uri.get(u), None | Some(b'/'));
    at_boundary.then_some(u)
}

/// Puts captured text in the place of `$0` to `$9` and `&`; a backslash makes `$` and `&` plain.
pub fn substitute(template: &str, subject: &[u8], captures: &Captures) -> Vec<u8> {
    let mut out = Vec::with_capacity(template.len() + subject.len());
    let mut bytes = template.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let group = match byte {
            b'\\' => {
                let plain = bytes.next_if(|next| matches!(next, b'$' | b'&'));
                out.push(plain.unwrap_or(byte));
                continue;
            }
            b'&' => Some(b'0'),
            b'$' => bytes.next_if(u8::is_ascii_digit),
            _ => None,
        };
        match group {
            Some(digit) => {
                let capture = captures.get(usize::from(digit - b'0')).copied().flatten();
                let text = capture.and_then(|(start, end)| subject.get(start..end));
                out.extend_from_slice(text.unwrap_or_default());
            }
            None => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(pattern: Pattern, target: &str) -> Alias {
        let (options, origin) = (Settings::default(), Origin::default());
        Alias { pattern, target: target.to_string(), options, origin }
    }

    fn filename(prefix: &str, target: &str, uri: &str) -> Option<String> {
        let filename = alias(Pattern::Prefix(prefix.to_string()), target).match_prefix(uri.as_bytes())?;
        Some(String::from_utf8(filename).unwrap())
    }

    #[test]
    fn a_prefix_covers_whole_components() {
        let of = |uri| filename("/app", "/srv/app.wsgi", uri);
        assert_eq!(of("/app").as_deref(), Some("/srv/app.wsgi"));
        assert_eq!(of("/app/").as_deref(), Some("/srv/app.wsgi/"));
        assert_eq!(of("/app/a//b").as_deref(), Some("/srv/app.wsgi/a//b"));
        assert_eq!(of("//app/a").as_deref(), Some("/srv/app.wsgi/a"));
        for other in ["/", "", "/ap", "/apple", "/App", "*", "/x/app"] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(filename("/a//b", "/s", "/a/b/c").as_deref(), Some("/s/c"));
    }

    #[test]
    fn the_root_keeps_its_slash() {
        let of = |uri| filename("/", "/srv/app.wsgi", uri);
        assert_eq!(of("/").as_deref(), Some("/srv/app.wsgi/"));
        assert_eq!(of("/foo").as_deref(), Some("/srv/app.wsgi/foo"));
        assert_eq!(of("///foo/").as_deref(), Some("/srv/app.wsgi/foo/"));
        assert_eq!(of("*"), None);
        assert_eq!(filename("/app/", "/srv/app.wsgi", "/app/x").as_deref(), Some("/srv/app.wsgi/x"));
        assert_eq!(filename("/app/", "/srv/app.wsgi", "/app"), None);
    }

    #[test]
    fn directories_of_scripts() {
        for prefix in ["/scripts/", "/scripts"] {
            let of = |uri| filename(prefix, "/srv/wsgi/", uri);
            assert_eq!(of("/scripts/a.py/x").as_deref(), Some("/srv/wsgi/a.py/x"));
            assert_eq!(of("/scripts//a.py").as_deref(), Some("/srv/wsgi/a.py"));
            assert_eq!(of("/scripts/").as_deref(), Some("/srv/wsgi/"));
        }
        assert_eq!(filename("/", "/srv/wsgi/", "/a.py").as_deref(), Some("/srv/wsgi/a.py"));
    }

    #[test]
    fn urls_are_bytes() {
        let alias = alias(Pattern::Prefix("/".to_string()), "/s");
        assert_eq!(alias.match_prefix(b"/\xff").unwrap(), b"/s/\xff");
    }

    #[test]
    fn captured_text_replaces_its_number() {
        let captures = [Some((0, 6)), Some((3, 6)), None];
        let of = |template| String::from_utf8(substitute(template, b"/m/foo/bar", &captures)).unwrap();
        assert_eq!(of("/srv/$1.wsgi"), "/srv/foo.wsgi");
        assert_eq!(of("&|$0|$2|$7|"), "/m/foo|/m/foo|||");
        assert_eq!(of(r"\$1 \& $x \n $"), r"$1 & $x \n $");

        let pattern = Pattern::Regex { text: "^/m/([^/]+)".into(), slot: 0 };
        let scripts = alias(pattern, "/srv/$1.wsgi");
        assert_eq!(scripts.match_regex(b"/m/foo/bar", &captures), b"/srv/foo.wsgi/bar");
        assert_eq!(scripts.match_prefix(b"^/m/([^/]+)"), None);
    }

    #[test]
    fn which_scripts_are_fixed() {
        let regex = || Pattern::Regex { text: "^/a".into(), slot: 0 };
        let prefix = || Pattern::Prefix("/a".to_string());
        assert_eq!(alias(prefix(), "/srv/a$1.wsgi").fixed_script(), Some("/srv/a$1.wsgi"));
        assert_eq!(alias(prefix(), "/srv/").fixed_script(), None);
        assert_eq!(alias(regex(), "/srv/a.wsgi").fixed_script(), Some("/srv/a.wsgi"));
        assert_eq!(alias(regex(), "/srv/$1.wsgi").fixed_script(), None);
    }
}
