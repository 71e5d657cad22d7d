//! `wsgi.input`: the request's body as a readable stream of bytes.
//!
//! Runs where applications run; each request has one instance. Reads wait detached from Python.

use crate::interpreter::transaction::Transaction;
use crate::python::class::{Arguments, Class, Native, PyMethodDef, methods};
use crate::python::error::{Exc, raise};
use crate::python::object::Result;
use crate::python::{Attached, Kept, Object, Raised};
use crate::request::{BodyError, BodyLength};
use parking_lot::Mutex;
use std::ffi::CStr;
use std::sync::Arc;

/// How much is asked for at a time when the end of a line is looked for, or all is read.
const PIECE: usize = 64 * 1024;

/// Functions for an application's own buffers: a writable view of one's bytes, and copying into it.
pub struct Buffers {
    pub view: Kept,
    pub fill: Kept,
}

pub struct Input {
    transaction: Arc<Transaction>,
    buffers: Arc<Buffers>,
    state: Mutex<ReadBuffer>,
}

#[derive(Default)]
struct ReadBuffer {
    /// Received, not yet read by the application.
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
    /// A body that broke off stays broken.
    failed: Option<BodyError>,
}

impl ReadBuffer {
    fn pending(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn take(&mut self, count: usize) -> &[u8] {
        let taken = self.start..self.start + count;
        self.start = taken.end;
        &self.buffer[taken]
    }

    /// Makes room for more by dropping what was taken, and gives back what one large read needed.
    fn compact(&mut self) {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > 4 * PIECE {
            self.buffer = Vec::new();
        }
    }
}

impl Native for Input {
    const NAME: &'static CStr = c"mod_wsgi.Input";
    const ITERATOR: bool = true;

    fn methods() -> Vec<PyMethodDef> {
        methods!(Input {
            c"read" => read,
            c"readline" => readline,
            c"readlines" => readlines,
            c"readinto" => readinto,
            c"close" => close,
            c"readable" => yes,
            c"writable" => no,
            c"seekable" => no,
        })
    }

    fn next(&self, py: Attached<'_>) -> Result<Option<Object>> {
        let mut state = self.lock(py);
        let length = self.find_line(py, &mut state, usize::MAX)?;
        if length == 0 { Ok(None) } else { Object::bytes(py, self.take(&mut state, length)).map(Some) }
    }
}

/// Defines the type with the attribute that `io.BufferedReader` asks for.
pub fn define(py: Attached<'_>) -> Result<Class<Input>> {
    let class = Class::define(py)?;
    class.set_attribute(py, c"closed", &Object::bool(py, false)?)?;
    Ok(class)
}

impl Input {
    pub fn new(transaction: Arc<Transaction>, buffers: Arc<Buffers>) -> Input {
        Input { transaction, buffers, state: Mutex::default() }
    }

    fn read(&self, py: Attached<'_>, arguments: &Arguments<'_>) -> Result {
        arguments.expect(py, 0, 1)?;
        let wanted = size_argument(py, arguments)?;
        let mut state = self.lock(py);
        while state.pending().len() < wanted && !state.ended {
            let missing = wanted - state.pending().len();
            self.fill(py, &mut state, missing)?;
        }
        let count = wanted.min(state.pending().len());
        let data = Object::bytes(py, self.take(&mut state, count));
        state.compact();
        data
    }

    fn readline(&self, py: Attached<'_>, arguments: &Arguments<'_>) -> Result {
        arguments.expect(py, 0, 1)?;
        let most = size_argument(py, arguments)?;
        let mut state = self.lock(py);
        let length = self.find_line(py, &mut state, most)?;
        Object::bytes(py, self.take(&mut state, length))
    }

    /// As `io.IOBase.readlines`: stops after the line with which `hint` bytes have been read.
    fn readlines(&self, py: Attached<'_>, arguments: &Arguments<'_>) -> Result {
        arguments.expect(py, 0, 1)?;
        let hint = match size_argument(py, arguments)? {
            0 => usize::MAX,
            hint => hint,
        };
        let mut state = self.lock(py);
        let (mut lines, mut total) = (Vec::new(), 0);
        while total < hint {
            let length = self.find_line(py, &mut state, usize::MAX)?;
            if length == 0 {
                break;
            }
            total += length;
            lines.push(Object::bytes(py, self.take(&mut state, length))?);
        }
        Object::list(py, &lines)
    }

    /// As a raw stream reads: waits for at least a byte, and gives no more than is here then. It is what
    /// `io.BufferedReader` builds on.
    fn readinto(&self, py: Attached<'_>, arguments: &Arguments<'_>) -> Result {
        arguments.expect(py, 1, 1)?;
        let buffer = arguments.get(py, 0).ok_or(Raised)?;
        let view = self.buffers.view.call(py, [buffer])?;
        let room = view.length(py)?;
        let mut state = self.lock(py);
        if state.pending().is_empty() && room > 0 && !state.ended {
            self.fill(py, &mut state, room)?;
        }
        let count = room.min(state.pending().len());
        let data = Object::bytes(py, self.take(&mut state, count))?;
        drop(state);
        self.buffers.fill.call(py, [view, data])
    }

    fn yes(&self, py: Attached<'_>, _arguments: &Arguments<'_>) -> Result {
        Object::bool(py, true)
    }

    fn no(&self, py: Attached<'_>, _arguments: &Arguments<'_>) -> Result {
        Object::bool(py, false)
    }

    /// The server closes the stream; for the application there is nothing to do.
    fn close(&self, py: Attached<'_>, arguments: &Arguments<'_>) -> Result {
        arguments.expect(py, 0, 0)?;
        Ok(Object::none(py))
    }

    /// Length of the next line with its newline, at most `most`; 0 at the end of the body.
    fn find_line(&self, py: Attached<'_>, state: &mut ReadBuffer, most: usize) -> Result<usize> {
        let mut searched = 0;
        loop {
            let pending = state.pending();
            let scope = &pending[..pending.len().min(most)];
            if let Some(end) = scope[searched..].iter().position(|byte| *byte == b'\n') {
                return Ok(searched + end + 1);
            }
            if scope.len() == most || state.ended {
                return Ok(scope.len());
            }
            searched = scope.len();
            self.fill(py, state, PIECE)?;
        }
    }

    /// Reads on: at least a byte, or `ended` is set.
    fn fill(&self, py: Attached<'_>, state: &mut ReadBuffer, wanted: usize) -> Result<()> {
        if let Some(error) = &state.failed {
            return Err(read_error(py, error));
        }
        if self.transaction.body == BodyLength::Known(0) {
            state.ended = true;
            return Ok(());
        }
        state.compact();
        let most = wanted.clamp(PIECE, 4 * PIECE);
        let reading = self.transaction.record().map(|record| record.tally.reading());
        let read = self.transaction.read_body(py, most, &mut state.buffer);
        drop(reading);
        match read {
            Some(Ok(count)) => state.ended = count == 0,
            Some(Err(error)) => {
                let raised = read_error(py, &error);
                // From now on every read fails, even one that the bytes here would have satisfied.
                state.failed = Some(error);
                state.buffer.clear();
                return Err(raised);
            }
            None => {
                let text = "wsgi.input was read after its request had ended";
                return Err(raise(py, Exc::Runtime, text));
            }
        }
        Ok(())
    }

    /// Data for the application.
    fn take<'s>(&self, state: &'s mut ReadBuffer, count: usize) -> &'s [u8] {
        if let Some(record) = self.transaction.record() {
            record.tally.has_read(count);
        }
        state.take(count)
    }

    /// For a read. Another thread of the application may be reading; waiting for it is done detached.
    fn lock(&self, py: Attached<'_>) -> parking_lot::MutexGuard<'_, ReadBuffer> {
        if let Some(record) = self.transaction.record() {
            record.tally.reads();
        }
        loop {
            if let Some(state) = self.state.try_lock() {
                return state;
            }
            py.detached(|| drop(self.state.lock()));
        }
    }
}

/// A size argument as all file objects take it: left out, None and negative mean "all".
fn size_argument(py: Attached<'_>, arguments: &Arguments<'_>) -> Result<usize> {
    match arguments.given(py, 0) {
        Some(size) => Ok(usize::try_from(size.to_index(py)?).unwrap_or(usize::MAX)),
        None => Ok(usize::MAX),
    }
}

fn read_error(py: Attached<'_>, error: &BodyError) -> Raised {
    raise(py, Exc::Os, &format!("mod_wsgi request data read error: {}", error.reason))
}
