//! What a daemon writes to its standard output and error, as lines for httpd's error log.
//!
//! Used by the supervisor, at the reading ends of two pipes into which the daemon's reader (`spawn::reader`)
//! copies what comes through its descriptors 1 and 2, and those of the processes it starts. However much a site
//! writes, a bounded part of it is read, and a smaller one logged; one turn of the supervisor takes a small part,
//! the next one goes on. The last lines are kept for the message when a daemon cannot start; lines can be held
//! back until it is known whether they repeat what an earlier attempt wrote.

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

pub use budget::{Allowance, Turn};
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
    /// What was read is more than a turn takes.
    waits_since: Option<Instant>,
}

impl Output {
    /// The pipes are non-blocking.
    pub fn new(pipes: Pipes) -> Self {
        let stream = |pipe: OwnedFd, kind| Stream { pipe: Some(pipe.into()), lines: Lines::new(kind) };
        let streams = [stream(pipes.output, StreamKind::Output), stream(pipes.error, StreamKind::Error)];
        Output { streams, last: Last::default(), held: VecDeque::new(), paused: None, waits_since: None }
    }

    /// What to poll.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let streams =
            self.streams.iter().filter(|stream| self.paused.is_none() && !stream.lines.has_backlog());
        streams.filter_map(|stream| Some(stream.pipe.as_ref()?.as_fd()))
    }

    /// Whether more can come.
    pub fn is_open(&self) -> bool {
        self.streams.iter().any(|stream| stream.pipe.is_some() || stream.lines.has_backlog())
    }

    /// When to read again, whatever the pipes have.
    pub fn deadline(&self) -> Option<Instant> {
        let due = self.streams.iter().map(|stream| stream.lines.due());
        due.chain([self.paused, self.waits_since]).flatten().min()
    }

    /// Reads what has come, and returns the lines to show; with `hold` they are kept back.
    pub fn read(&mut self, hold: bool, group: &mut Allowance, now: Instant) -> Vec<Line> {
        let mut turn = OneTurn { lines: Vec::new(), last: &mut self.last, hold, now };
        if self.paused.is_none_or(|until| until <= now) {
            self.paused = None;
            let mut buffer = [0; AT_ONCE];
            for (index, stream) in self.streams.iter_mut().enumerate() {
                stream.go_on(group, index, &mut turn);
                group.read.count(now);
                if group.read.is_used_up() {
                    self.paused = Some(group.read.again_at(now));
                    break;
                }
                if !stream.lines.has_backlog() && group.turn.bytes > 0 {
                    stream.read(&mut buffer, group, index, &mut turn);
                }
            }
        }
        let lines = turn.lines;
        self.tell(lines, hold, now)
    }

    /// Of a process that has ended: all that it wrote, whatever the others of its group did. What is too much for
    /// one turn waits, and `is_open` says so.
    pub fn read_rest(&mut self, hold: bool, group: &mut Allowance, now: Instant) -> Vec<Line> {
        let mut turn = OneTurn { lines: Vec::new(), last: &mut self.last, hold, now };
        let mut buffer = [0; AT_ONCE];
        for (index, stream) in self.streams.iter_mut().enumerate() {
            stream.go_on(group, index, &mut turn);
            // What the pipe holds, and the end of it.
            for _ in 0..2 {
                stream.read(&mut buffer, group, index, &mut turn);
            }
            stream.lines.note_backlog(turn.last);
        }
        let lines = turn.lines;
        self.tell(lines, hold, now)
    }

    fn tell(&mut self, mut lines: Vec<Line>, hold: bool, now: Instant) -> Vec<Line> {
        for Stream { pipe, lines: of_stream } in &mut self.streams {
            lines.extend(of_stream.report(now, pipe.is_none()));
        }
        let waits = self.paused.is_none() && self.streams.iter().any(|stream| stream.lines.has_backlog());
        self.waits_since = waits.then_some(now);
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

/// What one read of an output adds to.
struct OneTurn<'a> {
    lines: Vec<Line>,
    last: &'a mut Last,
    hold: bool,
    now: Instant,
}

impl Stream {
    /// Reads once, as much as the buffer takes.
    fn read(&mut self, buffer: &mut [u8], group: &mut Allowance, index: usize, turn: &mut OneTurn<'_>) {
        match self.pipe.as_mut().map(|pipe| pipe.read(buffer)) {
            Some(Ok(size)) if size > 0 => {
                group.read.take(size);
                group.turn.bytes = group.turn.bytes.saturating_sub(size);
                self.push(&buffer[..size], group, index, turn);
            }
            Some(Err(error)) if is_temporary(&error) => {}
            None => {}
            Some(_) => {
                self.pipe = None;
                self.finish(turn);
            }
        }
    }

    /// Takes up what an earlier turn has left.
    fn go_on(&mut self, group: &mut Allowance, index: usize, turn: &mut OneTurn<'_>) {
        if self.lines.has_backlog() {
            self.push(&[], group, index, turn);
            self.finish(turn);
        }
    }

    /// Lines that are held back are few, and cost nothing yet.
    fn push(&mut self, bytes: &[u8], group: &mut Allowance, index: usize, turn: &mut OneTurn<'_>) {
        let Allowance { logged, turn: of_group, .. } = group;
        let mut unbounded = usize::MAX;
        let room = if turn.hold { &mut unbounded } else { &mut of_group.lines };
        turn.lines.extend(self.lines.push(bytes, &mut logged[index], room, turn.last, turn.now));
    }

    fn finish(&mut self, turn: &mut OneTurn<'_>) {
        if self.pipe.is_none() && !self.lines.has_backlog() {
            turn.lines.extend(self.lines.finish(turn.last));
        }
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
