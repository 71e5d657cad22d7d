//! A `WSGIScriptAlias` that no request gets to, since one before it matches all that it does.
//!
//! Runs in the httpd parent. A virtual host's aliases come before those of the main server, whose own requests
//! may well reach what is hidden there: only what is hidden in each server that has it is told.

use crate::config::alias::{Alias, Pattern};
use crate::config::global::ConfiguredServer;
use crate::log::{Code, Message};

pub fn check(servers: &[ConfiguredServer<'_>]) -> Vec<Message> {
    let all = || servers.iter().flat_map(|server| all_with_their_cover(&server.config.aliases));
    let mut notes = Vec::new();
    for (alias, cover) in all() {
        let Some(cover) = cover else { continue };
        if all().any(|(other, cover)| same(other, alias) && cover.is_none()) {
            continue;
        }
        let text = format!(
            "WSGIScriptAlias {} at {} never matches, since WSGIScriptAlias {} at {} comes first and takes its \
             requests: move the line for {} in front of the other, or remove it",
            alias.mount(),
            alias.origin,
            cover.mount(),
            cover.origin,
            alias.mount()
        );
        notes.push(Message::new(Code::AliasNeverMatches, text));
    }
    notes
}

/// Each alias of a server, with the first one before it that takes all its requests.
fn all_with_their_cover(aliases: &[Alias]) -> impl Iterator<Item = (&Alias, Option<&Alias>)> {
    aliases.iter().enumerate().map(|(index, alias)| {
        let cover = aliases[..index].iter().find(|first| covers(first, alias));
        (alias, cover)
    })
}

fn covers(first: &Alias, later: &Alias) -> bool {
    let Pattern::Prefix(prefix) = &later.pattern else { return false };
    let same = first.target == later.target && first.options == later.options && first.mount() == prefix;
    first.match_prefix(prefix.as_bytes()).is_some() && !same
}

/// Whether they are the same line, inherited.
fn same(one: &Alias, other: &Alias) -> bool {
    one.origin == other.origin && one.pattern == other.pattern
}
