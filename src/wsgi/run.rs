//! Running the application for one request: PEP 3333's server side, top to bottom.
//!
//! Runs in a daemon's worker thread or a thread of an httpd child, attached to the interpreter of the
//! request's application group. Called by `daemon::worker` or `embedded` with the request and its
//! transaction.

use super::call::Call;
use super::environ;
use super::events;
use super::input::Input;
use super::iterable::send_all;
use super::protocol::Wsgi;
use super::send::{Incomplete, finish};
use super::start_response::StartResponse;
use crate::interpreter::interpreters::{Interpreter, callable};
use crate::interpreter::log_stream::LogStream;
use crate::interpreter::running;
use crate::interpreter::script::Change;
use crate::interpreter::transaction::Transaction;
use crate::interpreter::world::World;
use crate::log::{Code, Message};
use crate::python::error::Exc;
use crate::python::object::Result;
use crate::python::{Attached, Exception, Object, Raised};
use crate::request::{Outcome, Request};
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
    let served = running::guarded(py, transaction, || {
        serve(py, interpreter, request, thread_id, &call, &mut script_changed)
    });
    let result = served.unwrap_or(Err(Incomplete::Logged(500)));
    let outcome = match result {
        Ok(()) => Outcome::Complete,
        Err(Incomplete::Raised(Raised)) => Outcome::Failed(unhandled(py, interpreter, &call, request)),
        Err(Incomplete::Logged(status)) => Outcome::Failed(status),
        Err(Incomplete::Disconnected) => Outcome::Failed(500),
    };
    if events::finish(py, &call, outcome).is_err() {
        log_exception(py, &interpreter.world, transaction, request);
    }
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
    if events::exception(py, transaction, &exception).is_err() {
        drop(Exception::fetch(py));
    }
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
    running::add_record(py, world, &environ, request)?;
    let application = events::begin(py, world, transaction, application, &environ, request, thread_id)?;
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
    let module = running::module(py, interpreter, request, transaction, script_changed);
    let module = module.ok_or(Incomplete::Logged(500))?;
    callable(py, &interpreter.world, &module, request.script, request.callable).map_err(|message| {
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

/// Logs the exception that is set, and tells the subscribers of the application.
fn log_exception(py: Attached<'_>, world: &World, transaction: &Arc<Transaction>, request: &Request<'_>) {
    let exception = running::log_exception(py, world, transaction, request);
    if events::exception(py, transaction, &exception).is_err() {
        // Only the exception of a request that takes too long comes through.
        drop(Exception::fetch(py));
    }
}
