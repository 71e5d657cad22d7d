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

impl Level {
    const ALL: [Level; 6] =
        [Level::Critical, Level::Error, Level::Warning, Level::Notice, Level::Info, Level::Debug];

    pub fn from_number(number: u8) -> Option<Level> {
        Level::ALL.get(usize::from(number)).copied()
    }
}

/// Begins a line of a daemon's output whose level is known; the level's number follows it.
const MARK: u8 = 0x1e;

/// Lines for a daemon's standard error, each with its level.
pub fn mark(level: Level, lines: &[u8]) -> Vec<u8> {
    let mut marked = Vec::with_capacity(lines.len() + 16);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        marked.extend_from_slice(&[MARK, b'0' + level as u8]);
        marked.extend_from_slice(line);
    }
    marked
}

/// The level of a line of a daemon's output; what says none, such as Python's own, is an error.
pub fn unmark(line: &[u8]) -> (Level, &[u8]) {
    if let [MARK, number, rest @ ..] = line
        && let Some(level) = number.checked_sub(b'0').and_then(Level::from_number)
    {
        return (level, rest);
    }
    (Level::Error, line)
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
    fn output(&self, group: usize, pid: i32, level: Level, line: &[u8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_level_and_others_are_errors() {
        let marked = mark(Level::Info, b"one\ntwo\n");
        let lines: Vec<_> = marked.split(|byte| *byte == b'\n').map(unmark).collect();
        assert_eq!(lines[..2], [(Level::Info, &b"one"[..]), (Level::Info, b"two")]);
        assert_eq!(unmark(b"Fatal Python error"), (Level::Error, &b"Fatal Python error"[..]));
        assert_eq!(unmark(b"\x1e9x"), (Level::Error, &b"\x1e9x"[..]));
    }
}
