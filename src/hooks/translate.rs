//! `WSGIScriptAlias`: from a URL to a script.
//!
//! Runs in httpd children. httpd calls it for each request after mod_alias, so an `Alias` for static files
//! wins wherever it stands.

use crate::apache::RequestRec;
use crate::apache::module::Flow;
use crate::apache::request::Table;
use crate::config::alias::{Alias, Pattern};
use crate::process::CHILD;
use std::ffi::CStr;

/// The note that says which alias it was. Unlike a module's own memory of a request, notes go along
/// when httpd turns a request into another (`FallbackResource`, `DirectoryIndex`).
const ALIAS: &CStr = c"mod_wsgi_rs-alias";

/// The alias that mapped the request to its script; None for a script found in another way.
pub fn alias_of<'r>(request: &'r RequestRec<'_>) -> Option<&'r Alias> {
    let index = std::str::from_utf8(request.get(Table::Notes, ALIAS)?).ok()?;
    request.server_config().aliases.get(index.parse::<usize>().ok()?)
}

pub fn translate_name(request: &RequestRec<'_>) -> Flow {
    let aliases = &request.server_config().aliases;
    if !request.uri().starts_with(b"/") {
        return Flow::Declined;
    }
    for (index, alias) in aliases.iter().enumerate() {
        if let Some(filename) = filename(alias, request.uri()) {
            request.map_to(&filename, c"wsgi-script");
            request.set(Table::Notes, ALIAS, index.to_string().as_bytes());
            return Flow::Done;
        }
    }
    Flow::Declined
}

fn filename(alias: &Alias, uri: &[u8]) -> Option<Vec<u8>> {
    match &alias.pattern {
        Pattern::Prefix(_) => alias.match_prefix(uri),
        Pattern::Regex { slot, .. } => {
            let regex = CHILD.get()?.configuration.regexes.get(*slot)?;
            regex.captures(uri).map(|captures| alias.match_regex(uri, &captures))
        }
    }
}
