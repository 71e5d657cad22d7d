//! The last lines that a process wrote, for the message about a start that failed.
//!
//! Part of `supervisor::output`, in the supervisor.

use crate::log::unmark;
use std::collections::VecDeque;

/// Lines, and bytes of a line, that are kept.
const LINES: usize = 4;
const BYTES: usize = 300;

#[derive(Default)]
pub struct Last(VecDeque<String>);

impl Last {
    pub fn note(&mut self, line: &[u8]) {
        if self.0.len() == LINES {
            self.0.pop_front();
        }
        self.0.push_back(String::from_utf8_lossy(&line[..line.len().min(BYTES)]).into_owned());
    }

    /// Of bytes that are not logged: they end with what may be the reason.
    pub fn note_end_of(&mut self, bytes: &[u8]) {
        let lines = bytes.rsplit(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(LINES);
        let lines: Vec<&[u8]> = lines.collect();
        lines.into_iter().rev().for_each(|line| self.note(unmark(line).1));
    }

    pub fn text(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}
