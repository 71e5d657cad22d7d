//! The lines of other modules that say what httpd serves by itself: `Alias` and `DocumentRoot`.
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
    // SAFETY: httpd sets the variable while it reads its configuration, in this thread, before any hook runs.
    collect(unsafe { *api().ap_conftree }, &mut found);
    found
}

fn collect(mut next: *const ap_directive_t, found: &mut Vec<Served>) {
    // SAFETY: the tree lives as long as the configuration that was just read; its ends are NULL.
    while let Some(directive) = unsafe { next.as_ref() } {
        found.extend(of(directive));
        collect(directive.first_child, found);
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
    let line = u32::try_from(directive.line_num).unwrap_or(0);
    let origin = Origin { file: text(directive.filename)?, line };
    Some(Served { directive: directive_text, path: below_server_root(target).into(), origin })
}
