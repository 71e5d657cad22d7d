//! One request while its application runs: the carrier, shared by the Python objects of the request.
//!
//! Runs in daemons; made by `run`, held by `wsgi.input`, `wsgi.errors` and `start_response`. When the
//! request is over the carrier is taken back, and whatever still holds the transaction finds it closed.
//!
//! Lock order: `response` before `carrier`. Nobody waits for either lock while attached to Python,
//! and nobody attaches while holding one.

use super::response::Response;
use crate::log::{Level, Message};
use crate::python::{Attached, attach};
use crate::request::{Body, BodyError, BodyLength, Outcome, Reply};
use parking_lot::Mutex;
use std::any::Any;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Both directions of one request, as a value that can be handed back to its owner.
pub trait Carrier: Body + Reply + Send {
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

pub struct Transaction {
    carrier: Mutex<Option<Box<dyn Carrier>>>,
    pub response: Mutex<Response>,
    pub body: BodyLength,
    /// Why the body could not be read to its end.
    body_error: Mutex<Option<BodyError>>,
    forks: u32,
    /// The client took no more of the answer.
    pub disconnected: AtomicBool,
    partial: Mutex<Vec<(Level, Vec<u8>)>>,
}

impl Transaction {
    pub fn new(carrier: Box<dyn Carrier>, head: bool, body: BodyLength) -> Arc<Transaction> {
        Arc::new(Transaction {
            carrier: Mutex::new(Some(carrier)),
            response: Mutex::new(Response::new(head)),
            body,
            body_error: Mutex::new(None),
            forks: attach::forks(),
            disconnected: AtomicBool::new(false),
            partial: Mutex::new(Vec::new()),
        })
    }

    /// Whether this is the copy in a process that the application has forked: the connection is the
    /// original's, and nothing may be sent or read twice.
    fn is_copy(&self) -> bool {
        attach::forks() != self.forks
    }

    /// Runs work that does not wait. None when the request is over.
    pub fn with<R>(&self, py: Attached<'_>, work: impl FnOnce(&mut dyn Carrier) -> R) -> Option<R> {
        if self.is_copy() {
            return None;
        }
        if let Some(mut carrier) = self.carrier.try_lock() {
            return carrier.as_mut().map(|carrier| work(carrier.as_mut()));
        }
        self.with_detached(py, work)
    }

    /// Runs work that may wait, detached from Python. None when the request is over.
    pub fn with_detached<R>(&self, py: Attached<'_>, work: impl FnOnce(&mut dyn Carrier) -> R) -> Option<R> {
        if self.is_copy() {
            return None;
        }
        py.detached(|| self.carrier.lock().as_mut().map(|carrier| work(carrier.as_mut())))
    }

    /// Reads from the body; `most` bytes at the most, none at its end.
    pub fn read_body(
        &self,
        py: Attached<'_>,
        most: usize,
        into: &mut Vec<u8>,
    ) -> Option<Result<usize, BodyError>> {
        let ready = self.with(py, |carrier| carrier.read_ready(most, into))?;
        let read = match ready {
            Some(count) => Some(Ok(count)),
            None => self.with_detached(py, |carrier| carrier.read(most, into)),
        };
        if let Some(Err(error)) = &read {
            *self.body_error.lock() = Some(error.clone());
        }
        read
    }

    /// Why the body broke off, if it did.
    pub fn body_error(&self) -> Option<BodyError> {
        self.body_error.lock().clone()
    }

    /// Sends what is queued without waiting; waits only when too much has piled up.
    pub fn push(&self, py: Attached<'_>) -> io::Result<()> {
        match self.with(py, |carrier| carrier.push()) {
            Some(Ok(false)) => self.with_detached(py, |carrier| carrier.flush(&[])).unwrap_or(Ok(())),
            Some(Err(error)) => Err(error),
            Some(Ok(true)) | None => Ok(()),
        }
    }

    /// Whether the request is still running.
    pub fn is_open(&self, py: Attached<'_>) -> bool {
        self.with(py, |_| ()).is_some()
    }

    /// Adds text to the line being written at this level; whole lines go to the log. False when the
    /// request is over.
    pub fn log_text(&self, py: Attached<'_>, level: Level, text: &str) -> bool {
        if !self.is_open(py) {
            return false;
        }
        let lines = {
            let mut partial = self.partial.lock();
            if !partial.iter().any(|(at, _)| *at == level) {
                partial.push((level, Vec::new()));
            }
            let (_, line) = partial.iter_mut().find(|(at, _)| *at == level).expect("just added");
            line.extend_from_slice(text.as_bytes());
            take_whole_lines(line)
        };
        if !lines.is_empty() {
            self.log_lines(py, level, &lines);
        }
        true
    }

    /// Logs each line of `text` as a record of its own and sends them on their way.
    pub fn log_lines(&self, py: Attached<'_>, level: Level, text: &[u8]) {
        self.with(py, |carrier| {
            for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                carrier.log(level, line);
            }
        });
        // A peer that is gone is noticed by whoever sends data next.
        let _ = self.push(py);
    }

    /// Queues a message of our own for the log; it leaves with what is sent next.
    pub fn log_message(&self, py: Attached<'_>, level: Level, message: &Message) {
        self.with(py, |carrier| carrier.log(level, message.to_string().as_bytes()));
    }

    /// Ends the request: what is left of unfinished lines is logged, and the carrier comes back. From
    /// its first step on, whoever still holds the transaction finds it closed.
    pub fn finish(&self, py: Attached<'_>, outcome: Outcome) -> Box<dyn Carrier> {
        if self.is_copy() {
            attach::leave_forked_process();
        }
        let taken = match self.carrier.try_lock() {
            Some(mut carrier) => carrier.take(),
            None => py.detached(|| self.carrier.lock().take()),
        };
        let mut carrier = taken.expect("only `finish` takes the carrier, and it is called once");
        for (level, line) in std::mem::take(&mut *self.partial.lock()) {
            if !line.is_empty() {
                carrier.log(level, &line);
            }
        }
        carrier.end(outcome);
        carrier
    }
}

/// A line that has not ended by this size is logged in parts.
const LONGEST_LINE: usize = 256 * 1024;

/// Takes everything up to the last newline out of `line`, and all of a line that is too long to wait for.
pub fn take_whole_lines(line: &mut Vec<u8>) -> Vec<u8> {
    if line.len() > LONGEST_LINE {
        return std::mem::take(line);
    }
    match line.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => line.drain(..=end).collect(),
        None => Vec::new(),
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Transaction>>> = const { RefCell::new(None) };
}

/// The transaction that this thread is running, for what an application prints.
pub fn current() -> Option<Arc<Transaction>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Makes `transaction` the thread's current one while `work` runs.
pub fn with_current<R>(transaction: &Arc<Transaction>, work: impl FnOnce() -> R) -> R {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            CURRENT.set(None);
        }
    }
    CURRENT.set(Some(Arc::clone(transaction)));
    let _reset = Reset;
    work()
}

#[cfg(test)]
mod tests {
    use super::take_whole_lines;

    #[test]
    fn only_whole_lines_are_taken() {
        let mut line = b"one\ntwo\nthr".to_vec();
        assert_eq!(take_whole_lines(&mut line), b"one\ntwo\n");
        assert_eq!(line, b"thr");
        assert_eq!(take_whole_lines(&mut line), b"");
    }
}
