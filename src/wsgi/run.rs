//! Running the application for one request: PEP 3333's server side, top to bottom.
//!
//! Runs in a daemon's worker thread or a thread of an httpd child, attached to the interpreter of the
//! request's application group. Called by `daemon::worker` or `embedded` with the request and its
//! transaction.

use super::call::Call;
use super::environ;
use super::input::Input;
use super::iterable::send_all;
use super::protocol::Wsgi;
use super::send::{Incomplete, finish};
use super::start_response::StartResponse;
use crate::interpreter::interpreters::{Interpreter, callable};
use crate::interpreter::log_stream::LogStream;
use crate::interpreter::script::{Change, Failure};
use crate::interpreter::transaction::{self, Transaction};
use crate::interpreter::world::World;
use crate::log::{Code, Level, Message};
use crate::python::error::Exc;
use crate::python::object::Result;
use crate::python::{Attached, Exception, Object, Raised};
use crate::request::{Outcome, Request};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Returns whether the script is to be loaded anew, by a process that replaces this one.
pub fn run(
    py: Attached<'_>,
    interpreter: &Interpreter,
    request: &Request<'_>,
    thread_id: u32,
    transaction: &Arc<Transaction>,
) -> Option<Change> {
    let call = Call::new(Arc::clone(transaction), request.head);
    let mut script_changed = None;
    let serving = AssertUnwindSafe(|| {
        transaction::with_current(transaction, || {
            serve(py, interpreter, request, thread_id, &call, &mut script_changed)
        })
    });
    let result = catch_unwind(serving).unwrap_or_else(|_| {
        drop(Exception::fetch(py));
        let text =
            "mod_wsgi_rs panicked while it ran a request (the place is logged above); the process goes on";
        transaction.log_message(py, &Message::new(Code::ApplicationPanicked, text));
        Err(Incomplete::Logged(500))
    });
    let outcome = match result {
        Ok(()) => Outcome::Complete,
        Err(Incomplete::Raised(Raised)) => Outcome::Failed(unhandled(py, interpreter, &call, request)),
        Err(Incomplete::Logged(status)) => Outcome::Failed(status),
        Err(Incomplete::Disconnected) => Outcome::Failed(500),
    };
    transaction.finish(py, outcome);
    script_changed
}

/// An exception that left the application: its fault, and 500 (504 for `mod_wsgi.RequestTimeout`), unless it
/// is our own about a body that the client did not send to its end.
fn unhandled(py: Attached<'_>, interpreter: &Interpreter, call: &Call, request: &Request<'_>) -> u16 {
    let (exception, transaction) = (Exception::fetch(py), &call.transaction);
    if exception.is(py, Exc::Os) && call.disconnected.load(Ordering::Relaxed) {
        // The child has logged that the client is gone; the answer has no receiver.
        return 500;
    }
    let broken = transaction.body_error().filter(|_| exception.is(py, Exc::Os));
    let Some(error) = broken else {
        let late = exception.value.is_of(py, &interpreter.world.request_timeout);
        exception.restore(py);
        log_exception(py, &interpreter.world, transaction, request);
        return if late { 504 } else { 500 };
    };
    let text = format!("the application did not handle that the request's body broke off: {error}");
    transaction.log_message(py, &Message::new(Code::BodyErrorUnhandled, text));
    if error.status == 0 { 400 } else { error.status }
}

fn serve(
    py: Attached<'_>,
    interpreter: &Interpreter,
    request: &Request<'_>,
    thread_id: u32,
    call: &Arc<Call>,
    script_changed: &mut Option<Change>,
) -> std::result::Result<(), Incomplete> {
    #[cfg(feature = "fault-injection")]
    inject_fault(request);
    let (world, transaction) = (&interpreter.world, &call.transaction);
    let wsgi: &Wsgi = world.protocol();
    let application = application(py, interpreter, request, transaction, script_changed)?;
    let environ = environ::build(py, world, wsgi, request.environ)?;
    let input = wsgi.input.instance(py, Input::new(Arc::clone(transaction), Arc::clone(&wsgi.buffers)))?;
    let errors = world.errors.instance(py, LogStream::of_request(Arc::clone(transaction)))?;
    environ.dict_set(py, &wsgi.key_input, &input)?;
    environ.dict_set(py, &wsgi.key_errors, &errors)?;
    environ.dict_set(py, &wsgi.key_thread_id, &Object::int(py, thread_id.into())?)?;
    if let Some(record) = request.record {
        let capsule = Object::capsule(py, record, c"apache.request_rec")?;
        environ.dict_set(py, &world.name(py, b"apache.request_rec")?, &capsule)?;
    }
    let start_response = StartResponse { call: Arc::clone(call), write: Arc::clone(&wsgi.write) };
    let start_response = wsgi.start_response.instance(py, start_response)?;
    let iterable = application.call(py, [environ, start_response]);
    let iterable =
        iterable.inspect_err(|_| tell_if_asynchronous(py, world, call, request, &application, None))?;
    let sent = send_all(py, wsgi, call, &iterable);
    tell_what_was_dropped(py, wsgi, call, request);
    if matches!(sent, Err(Incomplete::Raised(_))) {
        tell_if_asynchronous(py, world, call, request, &application, Some(&iterable));
    }
    // The exception of an iteration that failed must survive a close() that runs Python code.
    let pending = matches!(sent, Err(Incomplete::Raised(_))).then(|| Exception::fetch(py));
    let closed = close(py, wsgi, &iterable);
    if let Some(exception) = pending {
        if closed.is_err() {
            log_exception(py, world, transaction, request);
        }
        return Err(Incomplete::Raised(exception.restore(py)));
    }
    if closed.is_err() {
        log_exception(py, world, transaction, request);
    }
    sent?;
    finish(py, call, request)
}

/// What the exception that is set comes from, if the application is one that WSGI cannot call.
fn tell_if_asynchronous(
    py: Attached<'_>,
    world: &World,
    call: &Call,
    request: &Request<'_>,
    application: &Object,
    result: Option<&Object>,
) {
    let exception = Exception::fetch(py);
    if exception.is(py, Exc::Type)
        && let Some(message) = world.hints.asynchronous(py, application, result, request.script)
    {
        call.transaction.log_message(py, &message);
    }
    exception.restore(py);
}

/// Headers of the answer that were left out.
fn tell_what_was_dropped(py: Attached<'_>, wsgi: &Wsgi, call: &Call, request: &Request<'_>) {
    let dropped = call.response.lock().dropped();
    if dropped.is_empty() {
        return;
    }
    for message in wsgi.told.messages(request.script, dropped) {
        call.transaction.log_message(py, &message);
    }
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
    script_changed: &mut Option<Change>,
) -> std::result::Result<Object, Incomplete> {
    let world = &interpreter.world;
    let loaded = interpreter.scripts.get(py, world, request.script, request.modified);
    let log = |failure: &Failure| {
        if let Some(traceback) = &failure.traceback {
            transaction.log_lines(py, Level::Error, traceback.as_bytes());
        }
        transaction.log_message(py, &failure.message);
    };
    let loaded = loaded.map_err(|failure| {
        log(&failure);
        Incomplete::Logged(500)
    })?;
    if let Some(failure) = &loaded.failure {
        log(failure);
    }
    *script_changed = loaded.change;
    callable(py, world, &loaded.module, request.script, request.callable).map_err(|message| {
        transaction.log_message(py, &message);
        Incomplete::Logged(500)
    })
}

/// `close()` of the iterable, if it has one: PEP 3333 wants it called even after an error.
fn close(py: Attached<'_>, wsgi: &Wsgi, iterable: &Object) -> Result<()> {
    match iterable.optional_attribute(py, &wsgi.name_close) {
        Some(close) => close.call(py, []).map(drop),
        None => Ok(()),
    }
}

/// Logs the exception that is set, with its traceback, and clears it.
fn log_exception(py: Attached<'_>, world: &World, transaction: &Transaction, request: &Request<'_>) {
    let exception = Exception::fetch(py);
    let script = String::from_utf8_lossy(request.script);
    let what = if exception.is(py, Exc::SystemExit) { "SystemExit" } else { "an exception" };
    let id = request.environ.into_iter().find(|(name, _)| *name == b"mod_wsgi.request_id");
    let id = id.map(|(_, id)| String::from_utf8_lossy(id)).unwrap_or_default();
    let python = world.hints.about_import(py, &exception);
    let text = format!("{what} was raised while the application '{script}' handled the request {id}{python}");
    transaction.log_message(py, &Message::new(Code::ApplicationRaised, text));
    let traceback = world.describe(py, &exception);
    transaction.log_lines(py, Level::Error, traceback.as_bytes());
}
