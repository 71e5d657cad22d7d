//! What an action of a directive gets to see: the configuration so far, and the server around the directive.
//!
//! Made in the httpd parent, and in its children for `.htaccess` files.

use crate::config::global::{GlobalConfig, ServerConfig};
use crate::config::options::Accounts;
use crate::config::process_group::Origin;
use crate::config::settings::Settings;
use crate::log::{Code, Message};

/// What a directive may read and change.
pub struct Context<'a> {
    /// Of the section (or server) the directive stands in.
    pub settings: &'a mut Settings,
    pub server: &'a mut ServerConfig,
    pub global: &'a mut GlobalConfig,
    pub origin: Origin,
    /// Path of the enclosing `<Directory>`, `<Location>` or `<Files>`; None at server level.
    pub section: Option<String>,
    /// What follows the name of the enclosing `<WSGIInterpreterOptions`.
    pub interpreters: Option<String>,
    pub inside_virtual_host: bool,
    pub in_htaccess: bool,
    pub accounts: &'a dyn Accounts,
    /// Makes a path absolute, below `ServerRoot`.
    pub resolve_path: &'a dyn Fn(&str) -> String,
    /// Messages that do not stop httpd.
    pub notes: &'a mut Vec<Message>,
}

impl Context<'_> {
    /// A message that does not stop httpd.
    pub fn note(&mut self, code: Code, text: String) {
        self.notes.push(Message::new(code, text));
    }

    /// About what was said twice, in one line or in two.
    pub fn repeated(&mut self, line: &str, what: &str) {
        self.note(Code::OptionRepeated, format!("{line} at {}: {what}", self.origin));
    }

    /// About what existing configurations say, and what there is nothing to do for here.
    pub fn no_effect(&mut self, what: &str, cure: &str) {
        self.note(
            Code::NoEffect,
            format!("{what} at {} is accepted, but has no effect: {cure}", self.origin),
        );
    }
}
