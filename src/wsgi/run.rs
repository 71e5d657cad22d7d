//! Running the application for one request: PEP 3333's server side, top to bottom.
//!
//! Runs in a daemon's worker thread, attached to the interpreter of the request's application
//! group. Called by `daemon::worker` with the request and its carrier, which it gives back.

use super::input::Input;
use super::interpreters::{Interpreter, callable};
use super::log_stream::LogStream;
use super::start_response::StartResponse;
use super::transaction::{self, Carrier, Transaction};
use super::{environ, world::World};
use crate::log::{Level, Message};
use crate::python::error::{Kind, raise};
use crate::python::object::Result;
use crate::python::{Attached, Exception, Object, Raised};
use crate::request::{FilePart, Outcome, Request};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// Data from this size on is sent from where it lies, detached, instead of being copied.
const LARGE: usize = 32 * 1024;

/// What the worker wants to know beside the carrier.
pub struct Ran {
    pub carrier: Box<dyn Carrier>,
    /// The script's file has changed since it was loaded: its new time of modification.
    pub script_changed: Option<SystemTime>,
}

/// Why a request has no complete answer.
enum Failed {
    /// Python raised; not logged yet.
    Raised(Raised),
    /// Logged already; the status is for a client that has not got a head yet.
    Logged(u16),
    /// The client is gone: nobody to answer.
    Disconnected,
}

impl From<Raised> for Failed {
    fn from(raised: Raised) -> Failed {
        Failed::Raised(raised)
    }
}

pub fn run(
    py: Attached<'_>,
    interpreter: &Interpreter,
    request: &Request<'_>,
    thread_id: u32,
    carrier: Box<dyn Carrier>,
) -> Ran {
    let transaction = Transaction::new(carrier, request.head, request.body);
    let mut script_changed = None;
    let serving = AssertUnwindSafe(|| {
        transaction::with_current(&transaction, || {
            serve(py, interpreter, request, thread_id, &transaction, &mut script_changed)
        })
    });
    let result = catch_unwind(serving).unwrap_or_else(|_| {
        drop(Exception::fetch(py));
        let text =
            "mod_wsgi_rs panicked while it ran a request (the place is logged above); the process goes on";
        log(py, &transaction, &Message::new(409, text));
        Err(Failed::Logged(500))
    });
    let outcome = match result {
        Ok(()) => Outcome::Complete,
        Err(Failed::Raised(Raised)) => Outcome::Failed(unhandled(py, interpreter, &transaction, request)),
        Err(Failed::Logged(status)) => Outcome::Failed(status),
        Err(Failed::Disconnected) => Outcome::Failed(500),
    };
    Ran { carrier: transaction.finish(py, outcome), script_changed }
}

/// An exception that left the application: its fault, and 500, unless it is our own about a body that
/// the client did not send to its end.
fn unhandled(
    py: Attached<'_>,
    interpreter: &Interpreter,
    transaction: &Transaction,
    request: &Request<'_>,
) -> u16 {
    let exception = Exception::fetch(py);
    if exception.is(py, Kind::Os) && transaction.disconnected.load(Ordering::Relaxed) {
        // The child has logged that the client is gone; there is nobody to answer.
        return 500;
    }
    let broken = transaction.body_error().filter(|_| exception.is(py, Kind::Os));
    let Some(error) = broken else {
        exception.restore(py);
        log_exception(py, &interpreter.world, transaction, request);
        return 500;
    };
    let text = format!("the application did not handle that the request's body broke off: {error}");
    let line = Message::new(410, text).to_string();
    transaction.with(py, |carrier| carrier.log(Level::Info, line.as_bytes()));
    if error.status == 0 { 400 } else { error.status }
}

fn serve(
    py: Attached<'_>,
    interpreter: &Interpreter,
    request: &Request<'_>,
    thread_id: u32,
    transaction: &Arc<Transaction>,
    script_changed: &mut Option<SystemTime>,
) -> std::result::Result<(), Failed> {
    #[cfg(feature = "fault-injection")]
    inject_fault(request);
    let world = &interpreter.world;
    let application = application(py, interpreter, request, transaction, script_changed)?;
    let environ = environ::build(py, world, request.environ)?;
    let input = world.input.instance(py, Input::new(Arc::clone(transaction), Arc::clone(world)))?;
    let errors = world.errors.instance(py, LogStream::of_request(Arc::clone(transaction)))?;
    environ.dict_set(py, &world.key_input, &input)?;
    environ.dict_set(py, &world.key_errors, &errors)?;
    environ.dict_set(py, &world.key_thread_id, &Object::int(py, thread_id.into())?)?;
    let start_response = StartResponse { transaction: Arc::clone(transaction), world: Arc::clone(world) };
    let start_response = world.start_response.instance(py, start_response)?;
    let iterable = application.call(py, [environ, start_response])?;
    let sent = send_all(py, world, transaction, &iterable);
    // The exception of an iteration that failed must survive a close() that runs Python code.
    let pending = matches!(sent, Err(Failed::Raised(_))).then(|| Exception::fetch(py));
    let closed = close(py, world, &iterable);
    if let Some(exception) = pending {
        if closed.is_err() {
            log_exception(py, world, transaction, request);
        }
        return Err(Failed::Raised(exception.restore(py)));
    }
    if closed.is_err() {
        log_exception(py, world, transaction, request);
    }
    sent?;
    finish(py, transaction, request)
}

/// Shows that a panic costs one request.
#[cfg(feature = "fault-injection")]
fn inject_fault(request: &Request<'_>) {
    if request.environ.into_iter().any(|variable| variable == (b"HTTP_X_FAULT", b"daemon")) {
        panic!("asked for by the header X-Fault");
    }
}

/// The callable, from a script that is loaded now if it was not before.
fn application(
    py: Attached<'_>,
    interpreter: &Interpreter,
    request: &Request<'_>,
    transaction: &Transaction,
    script_changed: &mut Option<SystemTime>,
) -> std::result::Result<Object, Failed> {
    let world = &interpreter.world;
    let loaded = interpreter.scripts.get(py, world, request.script, request.modified);
    let loaded = loaded.map_err(|failure| {
        if let Some(traceback) = failure.traceback {
            transaction.log_lines(py, Level::Error, traceback.as_bytes());
        }
        log(py, transaction, &failure.message);
        Failed::Logged(500)
    })?;
    *script_changed = loaded.changed;
    callable(py, world, &loaded.module, request.callable).ok_or_else(|| {
        let text = format!(
            "the script '{}' has no callable '{}'. Define it, or name another one with WSGICallableObject",
            String::from_utf8_lossy(request.script),
            String::from_utf8_lossy(request.callable)
        );
        log(py, transaction, &Message::new(405, text));
        Failed::Logged(500)
    })
}

fn send_all(
    py: Attached<'_>,
    world: &World,
    transaction: &Transaction,
    iterable: &Object,
) -> std::result::Result<(), Failed> {
    if iterable.is_plain_sequence(py) {
        return send_sequence(py, transaction, iterable);
    }
    if iterable.is_of(py, &world.file_wrapper)
        && let Some(part) = file_part(py, world, iterable)
    {
        return send_file(py, transaction, part);
    }
    let iterator = iterable.iter(py).inspect_err(|_| refuse_non_iterable(py, world, iterable))?;
    while let Some(data) = iterator.next(py)? {
        queue(py, transaction, &data)?;
        push(py, transaction)?;
    }
    Ok(())
}

/// What `wsgi.file_wrapper` holds, from where it stands to its end, if that is a regular file. A file
/// object that refuses a question is iterated instead.
fn file_part(py: Attached<'_>, world: &World, wrapper: &Object) -> Option<FilePart> {
    let answer = world.file_position.call(py, [wrapper.clone_ref(py)]);
    let answer = answer.unwrap_or_else(|Raised| {
        drop(Exception::fetch(py));
        Object::none(py)
    });
    if answer.is_none(py) {
        return None;
    }
    let number = |index| answer.sequence_item(py, index).and_then(|item| item.to_i64(py)).ok();
    let descriptor = i32::try_from(number(0)?).ok()?;
    let (offset, size) = (u64::try_from(number(1)?).ok()?, u64::try_from(number(2)?).ok()?);
    Some(FilePart { descriptor, offset, length: size.saturating_sub(offset) })
}

/// The file goes to httpd as a descriptor: no byte of it passes through this process.
fn send_file(
    py: Attached<'_>,
    transaction: &Transaction,
    mut part: FilePart,
) -> std::result::Result<(), Failed> {
    let piece = {
        let mut response = transaction.response.lock();
        response.derive_content_length(usize::try_from(part.length).unwrap_or(usize::MAX));
        response.piece(usize::try_from(part.length).unwrap_or(usize::MAX))
    };
    let Some(piece) = piece else {
        return Err(raise(py, Kind::Assertion, "data was returned before start_response() was called").into());
    };
    part.length = piece.length as u64;
    let sent = transaction.with_detached(py, |carrier| {
        if let Some(head) = &piece.head {
            carrier.head(head);
        }
        if part.length == 0 { Ok(()) } else { carrier.file(&part) }
    });
    sent.unwrap_or(Ok(())).map_err(|_| Failed::Disconnected)
}

/// The items of a list are all there: they share a write, and a single one gives Content-Length.
fn send_sequence(
    py: Attached<'_>,
    transaction: &Transaction,
    sequence: &Object,
) -> std::result::Result<(), Failed> {
    if sequence.length(py)? == 1 {
        let data = sequence.sequence_item(py, 0)?;
        if data.is_bytes(py) {
            transaction.response.lock().derive_content_length(data.as_bytes(py)?.len());
        }
    }
    let mut index = 0;
    while index < sequence.length(py)? {
        queue(py, transaction, &sequence.sequence_item(py, index)?)?;
        index += 1;
    }
    Ok(())
}

/// Says it in PEP 3333's words where an object is no iterable; what its own `__iter__` raises stays.
fn refuse_non_iterable(py: Attached<'_>, world: &World, iterable: &Object) {
    let exception = Exception::fetch(py);
    let has = |name| iterable.optional_attribute(py, name).is_some();
    if has(&world.name_iter) || has(&world.name_getitem) {
        exception.restore(py);
        return;
    }
    let what = match iterable.is_none(py) {
        true => "None".to_string(),
        false => format!("an object of class {}", iterable.class_name(py)),
    };
    let text = format!("the application returned {what}; it must return an iterable of bytes (PEP 3333)");
    raise(py, Kind::Type, &text);
}

/// For `write()`: the data is on its way when this returns.
pub fn send(py: Attached<'_>, transaction: &Transaction, data: &Object) -> Result<()> {
    let sent = queue(py, transaction, data).and_then(|()| push(py, transaction));
    sent.map_err(|failed| match failed {
        Failed::Raised(raised) => raised,
        Failed::Logged(_) | Failed::Disconnected => {
            transaction.disconnected.store(true, Ordering::Relaxed);
            raise(py, Kind::Os, "the client has gone; the response cannot be written")
        }
    })
}

/// Queues a piece of the body, after the head if this is the first; large pieces are sent at once.
fn queue(py: Attached<'_>, transaction: &Transaction, data: &Object) -> std::result::Result<(), Failed> {
    if !data.is_bytes(py) {
        let text = format!("the response must consist of bytes objects, got {}", data.class_name(py));
        return Err(raise(py, Kind::Type, &text).into());
    }
    let bytes = data.as_bytes(py)?;
    if bytes.is_empty() {
        return Ok(());
    }
    let piece = transaction.response.lock().piece(bytes.len());
    let Some(piece) = piece else {
        return Err(raise(py, Kind::Assertion, "data was returned before start_response() was called").into());
    };
    if piece.excess {
        let text = "the application returned more data than its Content-Length says; the rest is left out";
        transaction.with(py, |carrier| carrier.log(Level::Warning, record(406, text).as_bytes()));
    }
    let bytes = &bytes[..piece.length];
    let queued = transaction.with(py, |carrier| {
        if let Some(head) = &piece.head {
            carrier.head(head);
        }
        if bytes.len() < LARGE {
            carrier.data(bytes);
        }
    });
    if queued.is_none() {
        return Err(raise(py, Kind::Runtime, "write() was called after its request had ended").into());
    }
    if bytes.len() >= LARGE {
        let flushed = transaction.with_detached(py, |carrier| carrier.flush(bytes));
        return flushed.unwrap_or(Ok(())).map_err(|_| Failed::Disconnected);
    }
    Ok(())
}

fn push(py: Attached<'_>, transaction: &Transaction) -> std::result::Result<(), Failed> {
    transaction.push(py).map_err(|_| Failed::Disconnected)
}

/// `close()` of the iterable, if it has one: PEP 3333 wants it called whatever happened.
fn close(py: Attached<'_>, world: &World, iterable: &Object) -> Result<()> {
    match iterable.optional_attribute(py, &world.name_close) {
        Some(close) => close.call(py, []).map(drop),
        None => Ok(()),
    }
}

/// After the last item: the head, if no data carried it, and whether the body is as long as announced.
fn finish(
    py: Attached<'_>,
    transaction: &Transaction,
    request: &Request<'_>,
) -> std::result::Result<(), Failed> {
    let (started, head, missing) = {
        let mut response = transaction.response.lock();
        (response.started(), response.take_head(), response.missing())
    };
    if !started {
        return Err(raise(py, Kind::Assertion, "the application did not call start_response()").into());
    }
    if let Some((missing, announced)) = missing {
        let text = format!(
            "the application '{}' announced Content-Length {announced} and returned {missing} bytes less; \
             the connection is closed so that the client can tell",
            String::from_utf8_lossy(request.script)
        );
        log(py, transaction, &Message::new(407, text));
        return Err(Failed::Logged(500));
    }
    if let Some(head) = &head {
        transaction.with(py, |carrier| carrier.head(head));
    }
    Ok(())
}

/// Logs the exception that is set, with its traceback, and clears it.
fn log_exception(py: Attached<'_>, world: &World, transaction: &Transaction, request: &Request<'_>) {
    let exception = Exception::fetch(py);
    let script = String::from_utf8_lossy(request.script);
    let what = if exception.is(py, Kind::SystemExit) { "SystemExit" } else { "an exception" };
    let id = request.environ.into_iter().find(|(name, _)| *name == b"mod_wsgi.request_id");
    let id = id.map(|(_, id)| String::from_utf8_lossy(id)).unwrap_or_default();
    let text = format!("{what} was raised while the application '{script}' handled the request {id}");
    log(py, transaction, &Message::new(408, text));
    let traceback = world.describe(py, &exception);
    transaction.log_lines(py, Level::Error, traceback.as_bytes());
}

fn log(py: Attached<'_>, transaction: &Transaction, message: &Message) {
    transaction.with(py, |carrier| carrier.log(Level::Error, message.to_string().as_bytes()));
}

fn record(code: u16, text: &str) -> String {
    Message::new(code, text).to_string()
}
