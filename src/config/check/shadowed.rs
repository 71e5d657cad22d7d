//! A `WSGIScriptAlias` that no request gets to, since one before it matches all that it does.
//!
//! Runs in the httpd parent. A virtual host's aliases come before those of the main server, whose own requests
//! may well reach what is hidden there: only what is hidden in each server that has it is told.

use crate::config::alias::{Alias, Pattern};
use crate::config::global::ConfiguredServer;
use crate::log::{Code, Message};
use std::collections::HashSet;

pub fn check(servers: &[ConfiguredServer<'_>]) -> Vec<Message> {
    let (mut reached, mut hidden, mut seen) = (HashSet::new(), Vec::new(), HashSet::new());
    for server in servers {
        let aliases = &server.config.aliases;
        for (index, alias) in aliases.iter().enumerate() {
            match aliases[..index].iter().find(|first| covers(first, alias)) {
                None => {
                    reached.insert(line(alias));
                }
                Some(cover) if seen.insert((line(alias), line(cover))) => hidden.push((alias, cover)),
                Some(_) => {}
            }
        }
    }
    let hidden = hidden.into_iter().filter(|(alias, _)| !reached.contains(&line(alias)));
    hidden.map(|(alias, cover)| never_matches(alias, cover)).collect()
}

fn covers(first: &Alias, later: &Alias) -> bool {
    let Pattern::Prefix(prefix) = &later.pattern else { return false };
    let same = || first.target == later.target && first.options == later.options && first.mount() == prefix;
    first.has_prefix_of(prefix.as_bytes()) && !same()
}

/// The same for a line and what virtual hosts inherit of it.
fn line(alias: &Alias) -> (&str, u32, &str) {
    (&alias.origin.file, alias.origin.line, alias.mount())
}

fn never_matches(alias: &Alias, cover: &Alias) -> Message {
    let text = format!(
        "WSGIScriptAlias {0} at {1} never matches, since WSGIScriptAlias {2} at {3} comes first and takes its requests: \
         move the line for {0} in front of the other, or remove it",
        alias.mount(),
        alias.origin,
        cover.mount(),
        cover.origin
    );
    Message::new(Code::AliasNeverMatches, text)
}
