//! httpd's levels, and how a line of a daemon's output says which one it has.
//!
//! Used in all processes. A daemon marks what it writes to its standard error, and the supervisor reads the
//! mark when it hands the line to httpd's error log.

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
