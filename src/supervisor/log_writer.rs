//! The process that writes the supervisor's part of the error log.
//!
//! A piped log program may stand still, and so may a file system with a log on it. The supervisor hands its
//! messages, and what daemons have written, to a process of its own through a pipe, and waits for neither. What
//! that process does not take in time is dropped, counted and said. `LogWriter` is the supervisor's end; `write`
//! runs in the other process, which ends with the supervisor.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::log::{Code, Journal, Level, Message};
use crate::os;

/// Bytes that wait for the log: of daemons' output, and of everything.
const MOST_OUTPUT: usize = 512 << 10;
const MOST: usize = 1 << 20;

/// How long the log may take for the rest when the supervisor ends.
const AT_THE_END: Duration = Duration::from_millis(800);

const TITLE: &str = "(wsgi:supervisor) error log";

#[derive(Serialize, Deserialize)]
enum Entry {
    /// Group, number and level of the message, and its text.
    Message(Option<usize>, u16, u8, String),
    /// Group, pid and level of a line, and the line.
    Line(usize, i32, u8, Vec<u8>),
}

pub struct LogWriter<'a> {
    journal: &'a dyn Journal,
    /// None where the process could not be started: then the supervisor writes itself.
    writer: Option<Writer>,
    queue: RefCell<Queue>,
}

/// The process, and the supervisor's end of its pipe.
struct Writer {
    pid: i32,
    pipe: File,
}

#[derive(Default)]
struct Queue {
    /// Entries with their lengths; the first may have been sent in part.
    waiting: Vec<u8>,
    /// Entries for which there was no room, and since when.
    dropped: usize,
    since: Option<Instant>,
    /// The process has gone.
    broken: bool,
}

impl<'a> LogWriter<'a> {
    /// Starts the process. To be called before there is a daemon, of whose descriptors it is to have no copies.
    pub fn start(journal: &'a dyn Journal) -> LogWriter<'a> {
        LogWriter { journal, writer: started(journal).ok(), queue: RefCell::default() }
    }

    /// What to wait for, while something waits for the log.
    pub fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        let waits = !self.queue.borrow().waiting.is_empty();
        self.writer.as_ref().filter(|_| waits).map(|writer| writer.pipe.as_fd())
    }

    /// Hands over what there is room for.
    pub fn flush(&self) {
        let Some(writer) = &self.writer else { return };
        let mut queue = self.queue.borrow_mut();
        queue.flush(&writer.pipe);
        if let Some(message) = queue.said_of_dropped() {
            queue.push(&entry_of(None, &message), MOST);
            queue.flush(&writer.pipe);
        }
    }

    fn push(&self, entry: &Entry, most: usize) {
        let mut queue = self.queue.borrow_mut();
        if self.writer.is_some() && !queue.broken {
            queue.push(entry, most);
        } else {
            write_entry(self.journal, entry);
        }
    }
}

impl Journal for LogWriter<'_> {
    fn record(&self, group: Option<usize>, message: &Message) {
        self.push(&entry_of(group, message), MOST);
        self.flush();
    }

    fn output(&self, group: usize, pid: i32, level: Level, line: &[u8]) {
        self.push(&Entry::Line(group, pid, level as u8, line.to_vec()), MOST_OUTPUT);
    }
}

impl Drop for LogWriter<'_> {
    /// The last words of the supervisor are written before it ends, if the log takes them.
    fn drop(&mut self) {
        let deadline = Instant::now() + AT_THE_END;
        let left = || deadline.saturating_duration_since(Instant::now());
        while let Some(pipe) = self.waits_for()
            && os::writable(pipe, Some(left())).unwrap_or(false)
        {
            self.flush();
        }
        let Some(Writer { pid, pipe }) = self.writer.take() else { return };
        drop(pipe);
        while !os::has_ended(pid) && !left().is_zero() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Queue {
    fn push(&mut self, entry: &Entry, most: usize) {
        let Ok(bytes) = postcard::to_allocvec(entry) else { return };
        if self.waiting.len() + bytes.len() > most {
            self.dropped += 1;
            self.since.get_or_insert_with(Instant::now);
            return;
        }
        self.waiting.extend_from_slice(&(bytes.len() as u32).to_ne_bytes());
        self.waiting.extend_from_slice(&bytes);
    }

    fn flush(&mut self, mut pipe: &File) {
        while !self.waiting.is_empty() {
            match pipe.write(&self.waiting) {
                Ok(size) => drop(self.waiting.drain(..size)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.broken = true;
                    self.waiting.clear();
                }
            }
        }
    }

    /// Once the log takes records again.
    fn said_of_dropped(&mut self) -> Option<Message> {
        let since = self.since.take_if(|_| self.waiting.is_empty())?;
        let (dropped, seconds) = (std::mem::take(&mut self.dropped), since.elapsed().as_secs_f64());
        let text = format!(
            "the error log stood still for {seconds:.1} s; of what daemons wrote and the supervisor said, {dropped} \
             record(s) were dropped meanwhile: look at the programs and file systems behind ErrorLog"
        );
        Some(Message::new(Code::LogStoodStill, text))
    }
}

fn entry_of(group: Option<usize>, message: &Message) -> Entry {
    Entry::Message(group, message.code.number(), message.level as u8, message.text.clone())
}

fn started(journal: &dyn Journal) -> io::Result<Writer> {
    let (reader, writer) = os::pipe()?;
    os::set_nonblocking(writer.as_fd(), true)?;
    let (supervisor, mut writer) = (std::process::id() as i32, Some(writer));
    let pid = os::fork_process(|| {
        drop(writer.take());
        // It ends when the pipe does, or with the supervisor.
        os::ignore_signal(libc::SIGTERM);
        let _ = os::set_title(TITLE);
        if os::die_with_parent(libc::SIGKILL).is_ok() && os::parent_pid() == supervisor {
            write(BufReader::new(reader.into()), journal);
        }
    })?;
    let pipe = writer.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Ok(Writer { pid, pipe: pipe.into() })
}

/// In the other process.
fn write(mut pipe: BufReader<File>, journal: &dyn Journal) {
    let mut length = [0; 4];
    while pipe.read_exact(&mut length).is_ok() {
        let mut bytes = vec![0; u32::from_ne_bytes(length) as usize];
        if pipe.read_exact(&mut bytes).is_err() {
            return;
        }
        if let Ok(entry) = postcard::from_bytes(&bytes) {
            write_entry(journal, &entry);
        }
    }
}

fn write_entry(journal: &dyn Journal, entry: &Entry) {
    match entry {
        Entry::Message(group, code, level, text) => {
            let known = Code::from_number((*code).into()).zip(Level::from_number(*level));
            if let Some((code, level)) = known {
                journal.record(*group, &Message { code, level, text: text.clone() });
            }
        }
        Entry::Line(group, pid, level, line) => {
            let level = Level::from_number(*level).unwrap_or(Level::Error);
            journal.output(*group, *pid, level, line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::os::fork_for_test;

    /// A log that takes one record for each byte in a pipe.
    struct Slow {
        allowed: File,
        written: File,
        count: Cell<usize>,
    }

    impl Slow {
        fn write(&self, text: &[u8]) {
            (&self.allowed).read_exact(&mut [0; 1]).unwrap();
            self.count.set(self.count.get() + 1);
            (&self.written).write_all(&[&text[..text.len().min(100)], b"\n"].concat()).unwrap();
        }
    }

    impl Journal for Slow {
        fn record(&self, _group: Option<usize>, message: &Message) {
            self.write(message.to_string().as_bytes());
        }

        fn output(&self, _group: usize, _pid: i32, _level: Level, line: &[u8]) {
            self.write(line);
        }
    }

    #[test]
    fn a_log_that_stands_still_keeps_no_one_and_what_it_missed_is_said() {
        let ((allowed, allow), (mut read, written)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let slow = |allowed: io::PipeReader, written: io::PipeWriter| Slow {
            allowed: File::from(std::os::fd::OwnedFd::from(allowed)),
            written: File::from(std::os::fd::OwnedFd::from(written)),
            count: Cell::new(0),
        };
        let mut ends = Some((allowed, written, allow));
        let supervisor = fork_for_test(|| {
            let (allowed, written, mut allow) = ends.take().unwrap();
            let journal = slow(allowed, written);
            let log = LogWriter::start(&journal);
            // Would it wait, it waited without end.
            for _ in 0..40 {
                log.output(0, 4711, Level::Info, &[b'x'; 60_000]);
                log.flush();
            }
            log.record(Some(0), &Message::new(Code::GenerationEnded, "heard"));
            let dropped = log.queue.borrow().dropped;
            assert!((20..40).contains(&dropped), "{dropped}");
            allow.write_all(&[b'.'; 50]).unwrap();
            while log.waits_for().is_some() {
                os::writable(log.waits_for().unwrap(), None).unwrap();
                log.flush();
            }
        });
        drop(ends);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(os::wait_for_test(supervisor), os::Exit::Status(0));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().any(|line| line.contains("heard")), "{text}");
        assert!(lines.last().unwrap().contains("stood still"), "{text}");
    }
}
