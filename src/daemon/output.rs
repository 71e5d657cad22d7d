//! What a daemon writes to its standard output and error, cut into lines for httpd's error log.
//!
//! Used by the supervisor, at the reading end of the pipe that is a daemon's descriptor 1 and 2. It keeps
//! the last lines, for the message when a daemon cannot start, and can hold lines back until it is known
//! whether they repeat what an earlier attempt wrote.

use crate::log::unmark;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A longer line is logged in parts.
const LONGEST_LINE: usize = 64 * 1024;

/// Lines and bytes of a line that are kept for the message about a failed start.
const LAST_LINES: usize = 4;
const LAST_LINE: usize = 300;

/// Lines held back at most; older ones are then forgotten.
const HELD_LINES: usize = 1000;

/// Read at one go, so that a daemon which never stops writing does not keep the supervisor.
const AT_ONCE: usize = 64 * 1024;

/// Bytes in, whole lines out.
#[derive(Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// The lines that these bytes complete, without their ends.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if self.partial.ends_with(b"\n") {
                self.partial.pop();
                if self.partial.ends_with(b"\r") {
                    self.partial.pop();
                }
                lines.extend(in_parts(&std::mem::take(&mut self.partial)));
            }
        }
        while self.partial.len() > LONGEST_LINE {
            let rest = self.partial.split_off(LONGEST_LINE);
            lines.push(std::mem::replace(&mut self.partial, rest));
        }
        lines
    }

    /// What was written after the last line end.
    pub fn finish(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.partial)).filter(|partial| !partial.is_empty())
    }
}

fn in_parts(line: &[u8]) -> Vec<Vec<u8>> {
    if line.is_empty() {
        return vec![Vec::new()];
    }
    line.chunks(LONGEST_LINE).map(<[u8]>::to_vec).collect()
}

/// The supervisor's end of one daemon's output.
pub struct Output {
    pipe: Option<File>,
    lines: Lines,
    last: VecDeque<String>,
    held: VecDeque<Vec<u8>>,
}

impl Output {
    /// The pipe is non-blocking.
    pub fn new(pipe: OwnedFd) -> Self {
        let pipe = Some(File::from(pipe));
        Output { pipe, lines: Lines::default(), last: VecDeque::new(), held: VecDeque::new() }
    }

    /// What to poll; None once everybody who could write has closed it.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(File::as_fd)
    }

    /// Reads what has come, and returns the lines to show; with `hold` they are kept back.
    pub fn read(&mut self, hold: bool) -> Vec<Vec<u8>> {
        let mut buffer = vec![0; AT_ONCE];
        let mut lines = match self.pipe.as_mut().map(|pipe| pipe.read(&mut buffer)) {
            Some(Ok(size)) if size > 0 => self.lines.push(&buffer[..size]),
            Some(Err(error)) if is_temporary(&error) => Vec::new(),
            None => Vec::new(),
            Some(_) => {
                self.pipe = None;
                self.lines.finish().into_iter().collect()
            }
        };
        for line in &lines {
            if self.last.len() == LAST_LINES {
                self.last.pop_front();
            }
            let (_, text) = unmark(line);
            self.last.push_back(String::from_utf8_lossy(&text[..text.len().min(LAST_LINE)]).into_owned());
        }
        if hold {
            self.held.extend(lines.drain(..));
            while self.held.len() > HELD_LINES {
                self.held.pop_front();
            }
        }
        lines
    }

    /// What was held back; from now on it is the caller's to show or to forget.
    pub fn release(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.held).into()
    }

    /// The end of what was written.
    pub fn last_lines(&self) -> String {
        self.last.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n")
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::daemon::os;

    fn lines(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut all: Vec<Vec<u8>> = pieces.iter().flat_map(|piece| lines.push(piece)).collect();
        all.extend(lines.finish());
        all
    }

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let expected: Vec<Vec<u8>> = vec![b"one".into(), b"two".into(), b"".into(), b"three".into()];
        assert_eq!(lines(&[b"one\ntwo\r\n\nthree"]), expected);
        assert_eq!(lines(&[b"o", b"ne\ntw", b"o\r", b"\n", b"\nthr", b"ee"]), expected);
        assert_eq!(lines(&[b"", b"\n"]), vec![b"".to_vec()]);
    }

    #[test]
    fn a_line_without_end_comes_in_parts() {
        let long = vec![b'x'; LONGEST_LINE + 1];
        let lengths = |pieces: &[&[u8]]| lines(pieces).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(&[&long, b"y\n"]), [LONGEST_LINE, 2]);
        assert_eq!(lengths(&[&long, b"\n"]), [LONGEST_LINE, 1]);
    }

    #[test]
    fn output_is_shown_or_held_back_and_its_end_kept() {
        let (reader, writer) = os::pipe().unwrap();
        os::set_nonblocking(reader.as_fd(), true).unwrap();
        let (mut output, mut writer) = (Output::new(reader), File::from(writer));
        writer.write_all(b"1\n2\n3\n").unwrap();
        assert_eq!(output.read(false).len(), 3);
        writer.write_all(b"4\n5\n6").unwrap();
        assert!(output.read(true).is_empty() && output.fd().is_some());
        assert_eq!(output.release(), [b"4", b"5"]);
        drop(writer);
        assert_eq!(output.read(false), [b"6"]);
        assert!(output.fd().is_none() && output.read(false).is_empty());
        assert_eq!(output.last_lines(), "3\n4\n5\n6");
    }
}
