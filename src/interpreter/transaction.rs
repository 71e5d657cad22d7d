//! One request while its application runs: its body and its reply, shared by the request's Python objects.
//!
//! Runs where applications run. `daemon::worker` and `embedded` make one for each request and lend it the two
//! directions; the Python objects of that request hold it. At the end of the request both directions are
//! taken back; an object that still holds the transaction finds it closed.
//!
//! Each direction has a lock of its own, so that one thread may write while another waits for the body. No
//! thread waits for these locks while attached to Python, attaches while holding one, or holds both.

use super::events::Record;
use super::sent_later::{Waiting, send_later};
use crate::log::{Level, Message, wording};
use crate::python::lent::{Lendable, Lent, Turn};
use crate::python::object::Result as PythonResult;
use crate::python::{Attached, Kept, Object, attach};
use crate::request::{Body, BodyError, BodyLength, Outcome, Pushed, Reply};
use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

pub struct Transaction {
    /// For `sent_later`.
    own: Weak<Transaction>,
    /// It is among those of `sent_later`.
    later: AtomicBool,
    incoming: Lent<Bodies>,
    reply: Lent<Replies>,
    pub body: BodyLength,
    /// Why the body could not be read to its end.
    body_error: Mutex<Option<BodyError>>,
    forks: u32,
    partial: Mutex<Vec<(Level, Vec<u8>)>>,
    /// Since when its thread waits for Python, where that is of interest.
    waits: Option<Instant>,
    waited: OnceCell<Duration>,
    /// Where it is watched.
    record: OnceCell<Box<Record>>,
    /// What `mod_wsgi.request_data()` returns, once that is wanted.
    data: OnceCell<Mutex<Option<Kept>>>,
}

struct Bodies;

impl Lendable for Bodies {
    type Of<'v> = &'v mut (dyn Body + 'v);
}

struct Replies;

impl Lendable for Replies {
    type Of<'v> = &'v mut (dyn Reply + 'v);
}

impl Transaction {
    /// Lends the two directions to a transaction while `work` runs, which ends it (`finish`). Called
    /// detached; `waits` is the time where the wait for Python is to be measured.
    pub fn conduct<R>(
        body: &mut dyn Body,
        reply: &mut dyn Reply,
        length: BodyLength,
        waits: Option<Instant>,
        work: impl FnOnce(&Arc<Transaction>) -> R,
    ) -> R {
        let transaction = Arc::new_cyclic(|own| Transaction {
            own: own.clone(),
            later: AtomicBool::new(false),
            incoming: Lent::new(),
            reply: Lent::new(),
            body: length,
            body_error: Mutex::new(None),
            forks: attach::forks(),
            partial: Mutex::new(Vec::new()),
            waits,
            waited: OnceCell::new(),
            record: OnceCell::new(),
            data: OnceCell::new(),
        });
        transaction.incoming.lend(body, || {
            // After a panic too the body comes back only when no thread waits for it.
            let worked =
                catch_unwind(AssertUnwindSafe(|| transaction.reply.lend(reply, || work(&transaction))));
            if transaction.incoming.try_lock().is_none() {
                reply.hang_up();
            }
            worked.unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// The thread is attached to Python: it does not wait any more.
    pub fn attached(&self) {
        if let Some(since) = self.waits {
            // Once a request.
            let _ = self.waited.set(since.elapsed());
        }
    }

    /// From now on the request is watched.
    pub fn watch(&self, record: Record) {
        self.waited.get().inspect(|time| record.tally.waited(**time));
        // Once a request.
        let _ = self.record.set(Box::new(record));
    }

    /// Where the request is watched.
    pub fn record(&self) -> Option<&Record> {
        self.record.get().map(|record| &**record)
    }

    /// The dictionary that the application and its subscribers share for this request.
    pub fn data(&self, py: Attached<'_>) -> PythonResult {
        let made =
            self.data.get_or_try_init(|| Object::dict(py).map(|data| Mutex::new(Some(data.keep()))))?;
        // A request that is over has one no more.
        let known = made.lock().as_ref().map(|data| data.clone_ref(py));
        known.map_or_else(|| Object::dict(py), Ok)
    }

    /// Runs work detached; where the request is watched, the wait for Python after it counts.
    fn detached<R>(&self, py: Attached<'_>, work: impl FnOnce() -> R + Send) -> R {
        let Some(record) = self.record() else { return py.detached(work) };
        let (result, since) = py.detached(|| (work(), Instant::now()));
        record.tally.waited(since.elapsed());
        result
    }

    /// Whether this is the copy in a process that the application has forked: the connection is the
    /// original's, and nothing may be sent or read twice.
    fn is_copy(&self) -> bool {
        attach::forks() != self.forks
    }

    /// Runs work that does not wait. None when the request is over.
    pub fn with<R>(&self, py: Attached<'_>, work: impl FnOnce(&mut dyn Reply) -> R + Send) -> Option<R> {
        if self.is_copy() {
            return None;
        }
        if let Some(mut turn) = self.reply.try_lock() {
            return turn.with(|reply| work(*reply));
        }
        self.with_detached(py, work)
    }

    /// Runs work that may wait, detached from Python. None when the request is over.
    pub fn with_detached<R>(
        &self,
        py: Attached<'_>,
        work: impl FnOnce(&mut dyn Reply) -> R + Send,
    ) -> Option<R> {
        if self.is_copy() {
            return None;
        }
        self.detached(py, || self.reply.lock().with(|reply| work(*reply)))
    }

    /// Reads from the body; `most` bytes at the most, none at its end. None when the request is over. One
    /// thread at a time: `wsgi.input` sees to that.
    pub fn read_body(
        &self,
        py: Attached<'_>,
        most: usize,
        into: &mut Vec<u8>,
    ) -> Option<Result<usize, BodyError>> {
        if self.is_copy() {
            return None;
        }
        loop {
            let ready = self.incoming.lock().with(|body| body.read_ready(most, into))?;
            if let Some(count) = ready {
                return Some(Ok(count));
            }
            let received = self.with_detached(py, |reply| reply.ask(most))?.map_err(|error| BodyError {
                status: 0,
                reason: format!("the connection to httpd failed: {}", wording(&error)),
            });
            let received = match received {
                Ok(()) => self.detached(py, || self.incoming.lock().with(|body| body.receive()))?,
                failed => failed,
            };
            if let Err(error) = received {
                *self.body_error.lock() = Some(error.clone());
                return Some(Err(error));
            }
        }
    }

    /// Why the body broke off, if it did.
    pub fn body_error(&self) -> Option<BodyError> {
        self.body_error.lock().clone()
    }

    /// Sends the queue without waiting; waits only when too much has piled up.
    pub fn push(&self, py: Attached<'_>) -> io::Result<()> {
        match self.with(py, |reply| reply.push()).transpose()? {
            Some(Pushed::Later) if self.leaves_later() => Ok(()),
            Some(Pushed::Part | Pushed::Later) => {
                self.with_detached(py, |reply| reply.flush(&[])).unwrap_or(Ok(()))
            }
            Some(Pushed::All) | None => Ok(()),
        }
    }

    /// Sees to it that what waits is sent. False if that is not possible.
    fn leaves_later(&self) -> bool {
        if !self.later.swap(true, Ordering::Relaxed) {
            let leaves = self.own.upgrade().is_some_and(|own| send_later(&own));
            if !leaves {
                self.later.store(false, Ordering::Relaxed);
            }
            return leaves;
        }
        true
    }

    /// Whether the request is still running.
    pub fn is_open(&self, py: Attached<'_>) -> bool {
        self.with(py, |_| ()).is_some()
    }

    /// Adds text to the line being written at this level; whole lines go to the log. False when the
    /// request is over.
    pub fn log_text(&self, py: Attached<'_>, level: Level, text: &[u8]) -> bool {
        if !self.is_open(py) {
            return false;
        }
        let lines = {
            let mut partial = self.partial.lock();
            if !partial.iter().any(|(at, _)| *at == level) {
                partial.push((level, Vec::new()));
            }
            let (_, line) = partial.iter_mut().find(|(at, _)| *at == level).expect("just added");
            line.extend_from_slice(text);
            take_whole_lines(line)
        };
        if !lines.is_empty() {
            self.log_lines(py, level, &lines);
        }
        true
    }

    /// Logs each line of `text` as a record of its own and sends them on their way.
    pub fn log_lines(&self, py: Attached<'_>, level: Level, text: &[u8]) {
        self.with(py, |reply| {
            for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                reply.log(level, line);
            }
        });
        // The next sender of data notices a peer that is gone.
        let _ = self.push(py);
    }

    /// Queues a message of our own for the log; it leaves with the next data.
    pub fn log_message(&self, py: Attached<'_>, message: &Message) {
        self.with(py, |reply| reply.log(message.level, message.to_string().as_bytes()));
    }

    /// Ends the request: unfinished lines are logged, and both directions go back. From then on an object
    /// that still holds the transaction finds it closed. The body does not go back yet where a thread of the
    /// application still waits for it (see `conduct`).
    pub fn finish(&self, py: Attached<'_>, outcome: Outcome) {
        if self.is_copy() {
            attach::leave_forked_process();
        }
        match self.reply.try_lock() {
            Some(turn) => self.end(turn, outcome),
            None => py.detached(|| self.end(self.reply.lock(), outcome)),
        }
        if let Some(mut turn) = self.incoming.try_lock() {
            turn.take_back();
        }
        if let Some(data) = self.data.get().and_then(|data| data.lock().take()) {
            data.release(py);
        }
    }

    fn end(&self, mut turn: Turn<'_, Replies>, outcome: Outcome) {
        turn.with(|reply| {
            for (level, line) in std::mem::take(&mut *self.partial.lock()) {
                if !line.is_empty() {
                    reply.log(level, &line);
                }
            }
            reply.end(outcome);
        });
        turn.take_back();
    }
}

impl Waiting for Transaction {
    fn send_what_waits(&self) -> bool {
        let Some(mut turn) = self.reply.try_lock() else { return false };
        let sent = turn.with(|reply| reply.send_what_waits()).unwrap_or(true);
        // Under the reply's lock, so what comes after this is told of anew.
        self.later.store(!sent, Ordering::Relaxed);
        sent
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
    struct Reset(Option<Arc<Transaction>>);
    impl Drop for Reset {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    // In an httpd child one request may run inside another, as where mod_include asks for it.
    let _reset = Reset(CURRENT.replace(Some(Arc::clone(transaction))));
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
