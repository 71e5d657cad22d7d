//! Levels and the numbered form of every message the module writes.
//!
//! Used in all processes. `docs/messages.md` explains each number, and `tests/layering.rs` checks
//! that it does; 1xx is configuration, 2xx requests, 3xx processes, 4xx Python.

use std::fmt;

/// httpd's levels, most severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Critical,
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

/// A message with its number: `mod_wsgi_rs: WSGI101: text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub code: u16,
    pub text: String,
}

impl Message {
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Message { code, text: text.into() }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mod_wsgi_rs: WSGI{}: {}", self.code, self.text)
    }
}

/// Where a process without a request at hand writes its messages; the supervisor's and the
/// parent's implementation hands them to httpd's error log of the group's virtual host.
pub trait Journal {
    /// `group` is an index into the configuration's process groups; None is the main server.
    fn record(&self, group: Option<usize>, level: Level, message: &Message);

    /// A line that a daemon wrote to its standard output or error.
    fn output(&self, group: usize, pid: i32, line: &[u8]);
}
