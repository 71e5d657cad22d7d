//! What a daemon writes to its standard output and error, as lines for httpd's error log.
//!
//! Used by the supervisor, at the reading ends of the two pipes that are a daemon's descriptors 1 and 2, and
//! those of the processes it starts. However much a site writes, a bounded part of it is read, and a smaller
//! one logged. The last lines are kept for the message when a daemon cannot start; lines can be held back
//! until it is known whether they repeat what an earlier attempt wrote.

mod lines;

mod budget;
mod last;

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use crate::control::channel::Pipes;

pub use budget::Allowance;
use budget::Budget;
use last::Last;
pub use lines::Line;
use lines::{Lines, StreamKind};

/// Lines held back at most; older ones are then forgotten.
const HELD_LINES: usize = 1000;

/// Read at one go, so that a daemon which never stops writing does not keep the supervisor. It is what a pipe
/// holds.
const AT_ONCE: usize = 64 * 1024;

struct Stream {
    /// None once all that could write have closed it.
    pipe: Option<File>,
    lines: Lines,
}

/// The supervisor's end of one daemon's output.
pub struct Output {
    streams: [Stream; 2],
    last: Last,
    held: VecDeque<Line>,
    /// Until when nothing is read, because its group has written too much.
    paused: Option<Instant>,
}

impl Output {
    /// The pipes are non-blocking.
    pub fn new(pipes: Pipes) -> Self {
        let stream = |pipe: OwnedFd, kind| Stream { pipe: Some(pipe.into()), lines: Lines::new(kind) };
        let streams = [stream(pipes.output, StreamKind::Output), stream(pipes.error, StreamKind::Error)];
        Output { streams, last: Last::default(), held: VecDeque::new(), paused: None }
    }

    /// What to poll.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let open = self.streams.iter().filter_map(|stream| Some(stream.pipe.as_ref()?.as_fd()));
        open.filter(|_| self.paused.is_none())
    }

    /// Whether more can come.
    pub fn is_open(&self) -> bool {
        self.streams.iter().any(|stream| stream.pipe.is_some())
    }

    /// When to read again, whatever the pipes have.
    pub fn deadline(&self) -> Option<Instant> {
        self.streams.iter().map(|stream| stream.lines.due()).chain([self.paused]).flatten().min()
    }

    /// Reads what has come, and returns the lines to show; with `hold` they are kept back.
    pub fn read(&mut self, hold: bool, group: &mut Allowance, now: Instant) -> Vec<Line> {
        let mut lines = Vec::new();
        if self.paused.is_none_or(|until| until <= now) {
            self.paused = None;
            let mut buffer = [0; AT_ONCE];
            for (stream, logged) in self.streams.iter_mut().zip(&mut group.logged) {
                group.read.count(now);
                if group.read.is_used_up() {
                    self.paused = Some(group.read.again_at(now));
                    break;
                }
                let size = stream.read(&mut buffer, logged, &mut self.last, now, &mut lines);
                group.read.take(size);
            }
        }
        self.tell(lines, hold, now)
    }

    /// Of a process that has ended: all that it wrote, whatever the others of its group did.
    pub fn read_rest(&mut self, hold: bool, group: &mut Allowance, now: Instant) -> Vec<Line> {
        let (mut lines, mut buffer) = (Vec::new(), [0; AT_ONCE]);
        for (stream, logged) in self.streams.iter_mut().zip(&mut group.logged) {
            // What the pipe holds, and the end of it.
            for _ in 0..2 {
                stream.read(&mut buffer, logged, &mut self.last, now, &mut lines);
            }
        }
        self.tell(lines, hold, now)
    }

    fn tell(&mut self, mut lines: Vec<Line>, hold: bool, now: Instant) -> Vec<Line> {
        for Stream { pipe, lines: of_stream } in &mut self.streams {
            lines.extend(of_stream.report(now, pipe.is_none()));
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
    pub fn release(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.held).into()
    }

    /// The end of what was written.
    pub fn last_lines(&self) -> String {
        self.last.text()
    }
}

impl Stream {
    /// Returns how many bytes were read.
    fn read(
        &mut self,
        buffer: &mut [u8],
        logged: &mut Budget,
        last: &mut Last,
        now: Instant,
        lines: &mut Vec<Line>,
    ) -> usize {
        match self.pipe.as_mut().map(|pipe| pipe.read(buffer)) {
            Some(Ok(size)) if size > 0 => {
                lines.extend(self.lines.push(&buffer[..size], logged, last, now));
                return size;
            }
            Some(Err(error)) if is_temporary(&error) => {}
            None => {}
            Some(_) => {
                self.pipe = None;
                lines.extend(self.lines.finish(last));
            }
        }
        0
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
