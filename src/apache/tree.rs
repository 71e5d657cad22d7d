//! The lines of other modules: what httpd serves by itself (`Alias`, `DocumentRoot`), what else is there.
//!
//! Runs in the httpd parent, after the configuration was read, and in its children, for messages. httpd keeps all
//! lines as a tree of directives, the one that mod_info shows; what other modules have made of them is theirs.

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

/// The lines, in any section, of this directive with this word.
pub fn lines(name: &str, word: &str) -> Vec<Origin> {
    lines_where(name, word, &|_| true)
}

/// Those that end so, and that have no line of another directive in the sections around them.
pub fn lines_without(missing: &str, name: &str, word: &str, end: &[u8]) -> Vec<Origin> {
    lines_where(name, word, &|line| {
        // SAFETY: a section lives as long as its lines; the parent of the outermost is NULL.
        let around = |line: &ap_directive_t| unsafe { line.parent.as_ref() };
        let mut sections = std::iter::successors(around(line), |section| around(section));
        let has = |section: &ap_directive_t| {
            let mut has = false;
            walk(section.first_child, &mut |other| has |= is_of(other, missing));
            has
        };
        bytes(line, line.args).is_some_and(|words| words.trim_ascii().ends_with(end)) && !sections.any(has)
    })
}

fn lines_where(name: &str, word: &str, fits: &dyn Fn(&ap_directive_t) -> bool) -> Vec<Origin> {
    let mut found = Vec::new();
    for_each_line(&mut |line| {
        let has = |words: &[u8]| words.split(u8::is_ascii_whitespace).any(|other| other == word.as_bytes());
        if is_of(line, name) && bytes(line, line.args).is_some_and(has) && fits(line) {
            found.extend(origin(line));
        }
    });
    found
}

/// Where the first line with this directive is.
pub fn find_line(name: &str) -> Option<Origin> {
    let mut found = None;
    for_each_line(&mut |line| {
        if found.is_none() && is_of(line, name) {
            found = origin(line);
        }
    });
    found
}

fn is_of(line: &ap_directive_t, name: &str) -> bool {
    bytes(line, line.directive).is_some_and(|other| other.eq_ignore_ascii_case(name.as_bytes()))
}

fn origin(line: &ap_directive_t) -> Option<Origin> {
    let file = String::from_utf8_lossy(bytes(line, line.filename)?).into_owned();
    Some(Origin { file, line: u32::try_from(line.line_num).unwrap_or(0) })
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
    let path = below_server_root(target).into();
    Some(Served { directive: directive_text, path, origin: origin(directive)? })
}
