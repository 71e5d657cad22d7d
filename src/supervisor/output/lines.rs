//! Bytes of one stream in, lines for the log out, within bounds; what is over them is counted and said.
//!
//! Part of `supervisor::output`, in the supervisor. What is dropped costs it next to nothing: such bytes are
//! counted, and not cut into lines.

use super::budget::{Budget, OF_PROCESS};
use super::last::Last;
use crate::log::{Code, Level, Message, unmark};
use std::time::{Duration, Instant};

/// More of a line is dropped.
pub const LONGEST_LINE: usize = 64 * 1024;

/// About what httpd puts in front of a record, and how much of a line makes one.
const FRAME: usize = 100;
const RECORD: usize = 7 * 1024;

/// What was dropped is said when nothing more was for so long, and while it goes on, so often.
const QUIET: Duration = Duration::from_secs(1);
const OFTEN: Duration = Duration::from_secs(30);

/// For the error log, at this level.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub level: Level,
    pub text: Vec<u8>,
}

/// Which stream it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// What the processes write that an application starts.
    Output,
    /// That of Python too, and the lines of this module with levels of their own.
    Error,
}

impl StreamKind {
    fn level(self) -> Level {
        match self {
            StreamKind::Output => Level::Info,
            StreamKind::Error => Level::Error,
        }
    }

    fn read(self, line: &[u8]) -> Line {
        let (level, text) = match self {
            StreamKind::Output => (Level::Info, line),
            StreamKind::Error => unmark(line),
        };
        Line { level, text: text.to_vec() }
    }
}

/// Since what is below was last said.
struct DroppedLines {
    first: Instant,
    last: Instant,
    bytes: usize,
    /// Those of which a part was dropped, or all.
    lines: usize,
}

pub struct Lines {
    kind: StreamKind,
    budget: Budget,
    partial: Vec<u8>,
    /// Read, and not cut into lines yet: a turn takes some of it only.
    backlog: Vec<u8>,
    /// What comes before the next line end belongs to a line that is dropped.
    skips: bool,
    dropped: Option<DroppedLines>,
}

impl Lines {
    pub fn new(kind: StreamKind) -> Lines {
        let (partial, backlog) = (Vec::new(), Vec::new());
        Lines { kind, budget: Budget::of_process(), partial, backlog, skips: false, dropped: None }
    }

    /// Whether bytes wait for the next turn.
    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// The lines that these bytes complete, without their ends, as far as both budgets allow and there is room for
    /// them in this turn.
    pub fn push(
        &mut self,
        bytes: &[u8],
        group: &mut Budget,
        room: &mut usize,
        last: &mut Last,
        now: Instant,
    ) -> Vec<Line> {
        self.budget.count(now);
        group.count(now);
        let mut waited = std::mem::take(&mut self.backlog);
        let mut rest = if waited.is_empty() {
            bytes
        } else {
            waited.extend_from_slice(bytes);
            &waited
        };
        let mut lines = Vec::new();
        while !rest.is_empty() {
            if self.budget.is_used_up() || group.is_used_up() {
                last.note_end_of(rest);
                self.drop_all(rest, now);
                break;
            }
            if *room == 0 {
                self.backlog = rest.to_vec();
                break;
            }
            *room -= 1;
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (piece, others) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            rest = others;
            if let Some(line) = self.piece(piece, now) {
                last.note(&line.text);
                let cost = cost(&line.text);
                self.budget.take(cost);
                group.take(cost);
                lines.extend(Some(line).filter(|line| !line.text.is_empty()));
            }
        }
        lines
    }

    /// A line, or a part of one, with its end if that has come.
    fn piece(&mut self, piece: &[u8], now: Instant) -> Option<Line> {
        let ended = piece.ends_with(b"\n");
        if self.skips {
            self.skips = !ended;
            self.drop(piece.len(), 0, now);
            return None;
        }
        let body = piece.strip_suffix(b"\n").map_or(piece, |body| body.strip_suffix(b"\r").unwrap_or(body));
        let room = body.len().min(LONGEST_LINE - self.partial.len());
        self.partial.extend_from_slice(&body[..room]);
        if room < body.len() {
            self.drop(body.len() - room, 1, now);
            self.skips = !ended;
        } else if !ended {
            return None;
        } else if body.is_empty() && self.partial.ends_with(b"\r") {
            self.partial.pop();
        }
        Some(self.kind.read(&std::mem::take(&mut self.partial)))
    }

    fn drop_all(&mut self, bytes: &[u8], now: Instant) {
        let unfinished = usize::from(!bytes.ends_with(b"\n"));
        let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
        let begun = ends + unfinished - usize::from(self.skips);
        let partial = std::mem::take(&mut self.partial);
        self.drop(bytes.len() + partial.len(), begun, now);
        self.skips = unfinished > 0;
    }

    fn drop(&mut self, bytes: usize, lines: usize, now: Instant) {
        let dropped = self.dropped.get_or_insert(DroppedLines { first: now, last: now, bytes: 0, lines: 0 });
        dropped.last = now;
        dropped.bytes += bytes;
        dropped.lines += lines;
    }

    /// The end of what waits may be the reason for the end of its process.
    pub fn note_backlog(&self, last: &mut Last) {
        last.note_end_of(&self.backlog);
    }

    /// What was written after the last line end.
    pub fn finish(&mut self, last: &mut Last) -> Option<Line> {
        let partial = Some(std::mem::take(&mut self.partial)).filter(|partial| !partial.is_empty())?;
        let line = self.kind.read(&partial);
        last.note(&line.text);
        Some(line)
    }

    /// When there is something to say about what was dropped.
    pub fn due(&self) -> Option<Instant> {
        self.dropped.as_ref().map(|dropped| (dropped.last + QUIET).min(dropped.first + OFTEN))
    }

    /// What was dropped, if it is time to say that. No level hides it that shows what else there is of the
    /// stream.
    pub fn report(&mut self, now: Instant, at_end: bool) -> Option<Line> {
        let is_due = self.due().is_some_and(|due| at_end || due <= now);
        let DroppedLines { bytes, lines, .. } = self.dropped.take_if(|_| is_due)?;
        let name = if self.kind == StreamKind::Output { "output" } else { "error" };
        let (rate, burst, line) = (OF_PROCESS.0 >> 10, OF_PROCESS.1 >> 20, LONGEST_LINE >> 10);
        let text = format!(
            "of the standard {name} of this process and of those it has started, {bytes} bytes of {lines} line(s) were \
             dropped: {burst} MB are logged at once and {rate} KB a second, four times that of the whole group, and \
             {line} KB of a line; let what writes so much write to a file, or to subprocess.DEVNULL"
        );
        let message = Message::new(Code::OutputDropped, text).at(self.kind.level());
        Some(Line { level: message.level, text: message.to_string().into_bytes() })
    }
}

/// What a line takes in the log, where httpd writes other bytes than plain text with a backslash.
fn cost(text: &[u8]) -> usize {
    let escaped = |byte: &u8| match byte {
        0 => 5,
        b'\\' => 2,
        b' '..=b'~' => 1,
        _ => 4,
    };
    let written: usize = text.iter().map(escaped).sum();
    if text.is_empty() { 1 } else { written + FRAME * written.div_ceil(RECORD) }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
