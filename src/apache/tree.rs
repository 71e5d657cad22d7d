//! The lines of other modules: what httpd serves by itself (`Alias`, `DocumentRoot`), what else is there.
//!
//! Runs in the httpd parent, after the configuration was read. httpd keeps all lines as a tree of directives, the
//! one that mod_info shows; what other modules have made of them is theirs.

#![allow(unsafe_code)]

use super::server::below_server_root;
use super::table::{api, bytes};
use crate::config::process_group::Origin;
use crate::config::surroundings::Served;
use crate::config::words::split;
use crate::sys::httpd::ap_directive_t;

/// All that has a fixed place in the file system.
pub fn served() -> Vec<Served> {
    let mut found = Vec::new();
    for_each_line(&mut |directive| found.extend(of(directive)));
    found
}

/// Whether a line, in any section, is this directive with this word.
pub fn has_line(name: &str, word: &str) -> bool {
    let mut found = false;
    for_each_line(&mut |line| {
        let is = |other: &[u8]| other.eq_ignore_ascii_case(name.as_bytes());
        let has = |words: &[u8]| words.split(u8::is_ascii_whitespace).any(|other| other == word.as_bytes());
        found |= bytes(line, line.directive).is_some_and(is) && bytes(line, line.args).is_some_and(has);
    });
    found
}

/// Where the first line with this directive is.
pub fn find_line(name: &str) -> Option<Origin> {
    let mut found = None;
    for_each_line(&mut |line| {
        let is = |other: &[u8]| other.eq_ignore_ascii_case(name.as_bytes());
        if found.is_none() && bytes(line, line.directive).is_some_and(is) {
            found = origin(line);
        }
    });
    found
}

fn origin(directive: &ap_directive_t) -> Option<Origin> {
    let file = String::from_utf8_lossy(bytes(directive, directive.filename)?).into_owned();
    Some(Origin { file, line: u32::try_from(directive.line_num).unwrap_or(0) })
}

fn for_each_line(work: &mut dyn FnMut(&ap_directive_t)) {
    // SAFETY: httpd sets the variable while it reads its configuration, in this thread, before any hook runs.
    walk(unsafe { *api().ap_conftree }, work);
}

fn walk(mut next: *const ap_directive_t, work: &mut dyn FnMut(&ap_directive_t)) {
    // SAFETY: the tree lives as long as the configuration that was just read; its ends are NULL.
    while let Some(directive) = unsafe { next.as_ref() } {
        work(directive);
        walk(directive.first_child, work);
        next = directive.next;
    }
}

fn of(directive: &ap_directive_t) -> Option<Served> {
    let text = |string| bytes(directive, string).map(|text| String::from_utf8_lossy(text).into_owned());
    let (name, arguments) = (text(directive.directive)?, split(&text(directive.args)?).ok()?);
    let (directive_text, target) = match (&*name.to_ascii_lowercase(), &arguments[..]) {
        ("alias", [url, target]) => (format!("Alias {url}"), target),
        ("documentroot", [target]) => ("DocumentRoot".to_string(), target),
        _ => return None,
    };
    let (path, origin) = (below_server_root(target).into(), origin(directive)?);
    Some(Served { directive: directive_text, path, origin })
}
