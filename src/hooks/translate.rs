//! `WSGIScriptAlias`: from a URL to a script.
//!
//! Runs in httpd children, called by httpd for each request after mod_alias, so that an `Alias` for
//! static files wins wherever it stands.

use crate::apache::Request;
use crate::apache::module::Flow;
use crate::config::alias::{Alias, Pattern};
use crate::config::global::ServerConfig;
use crate::process::CHILD;

pub fn translate_name(request: &Request<'_>) -> Flow {
    let server = request.server();
    let aliases = &server.config::<ServerConfig>().aliases;
    if !request.uri().starts_with(b"/") {
        return Flow::Declined;
    }
    for alias in aliases {
        if let Some(filename) = filename(alias, request.uri()) {
            request.map_to(&filename, c"wsgi-script");
            request.remember(alias);
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
