//! A process's own way to the error log, for lines that belong to no request.
//!
//! A daemon writes them to its standard error, and the supervisor reads them at the other end. In an httpd
//! child they go where `send_to` says.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use once_cell::sync::OnceCell;

use crate::log::{Level, Message, mark};
use crate::python::attach;

/// Where whole lines go that belong to no request.
type Sink = fn(Level, &[u8]);

static SINK: OnceCell<Sink> = OnceCell::new();

/// In a process that has no supervisor at the other end of its standard error.
pub fn send_to(sink: Sink) {
    // Said twice where a start failed and is tried again.
    let _ = SINK.set(sink);
}

/// A message of the process itself, which belongs to no request.
pub fn write_message(message: &Message) {
    write_process_output(message.level, format!("{message}\n").as_bytes());
}

/// Whole lines that belong to no request: to the pipe that the supervisor reads, or where `send_to` says.
pub fn write_process_output(level: Level, lines: &[u8]) {
    match SINK.get() {
        Some(sink) => sink(level, lines),
        // When the supervisor is gone no process reads it.
        None if attach::forks() == 0 => drop(io::stderr().write_all(&mark(level, lines))),
        // At the moment of the fork another thread may have had the lock of `stderr`, which is never given
        // back here.
        None => drop(write_unlocked(&mark(level, lines))),
    }
}

fn write_unlocked(lines: &[u8]) -> io::Result<()> {
    File::from(io::stderr().as_fd().try_clone_to_owned()?).write_all(lines)
}
