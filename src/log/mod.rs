//! Levels and the numbered form of every message the module writes.
//!
//! Used in all processes. The table of `code` has the name, the number and the level of each message;
//! `docs/messages.md` explains the numbers, and `tests/layering.rs` compares the two.

mod code;
mod level;

use std::fmt;
use std::io;

pub use code::Code;
pub use level::{Level, mark, unmark};

/// A message with its number: `mod_wsgi_rs: WSGI101: text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub code: Code,
    pub level: Level,
    pub text: String,
}

impl Message {
    /// At the level that the table has for it.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Message { code, level: code.level(), text: text.into() }
    }

    /// The same at another level.
    pub fn at(self, level: Level) -> Self {
        Message { level, ..self }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mod_wsgi_rs: WSGI{}: {}", self.code.number(), self.text)
    }
}

/// What the system says of an error, without the number that Rust adds (`(os error 2)`).
pub fn wording(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(number) = error.raw_os_error()
        && let Some(said) = text.strip_suffix(&format!(" (os error {number})"))
    {
        text.truncate(said.len());
    }
    text
}

/// Where a process without a request at hand writes its messages; the supervisor's and the
/// parent's implementation hands them to httpd's error log of the group's virtual host.
pub trait Journal {
    /// `group` is an index into the configuration's process groups; None is the main server.
    fn record(&self, group: Option<usize>, message: &Message);

    /// A line that a daemon wrote to its standard output or error.
    fn output(&self, group: usize, pid: i32, level: Level, line: &[u8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_are_told_in_words() {
        assert_eq!(wording(&io::Error::from_raw_os_error(libc::ENOENT)), "No such file or directory");
        assert_eq!(wording(&io::Error::other("it is no file (os error 2)")), "it is no file (os error 2)");
    }
}
