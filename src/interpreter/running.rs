//! The parts of running a request that every purpose shares: the script's module, and how a panic or an
//! exception ends up in the request's log.
//!
//! Runs where applications run, attached to the interpreter of the request's application group.

use super::interpreters::Interpreter;
use super::script::{Change, Failure};
use super::transaction::{self, Transaction};
use super::world::World;
use crate::log::{Code, Level, Message};
use crate::python::error::Exc;
use crate::python::object::Result as PythonResult;
use crate::python::{Attached, Exception, Object};
use crate::question::Purpose;
use crate::request::Request;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Runs work that belongs to the transaction. None after a panic, which is in the log then.
pub fn guarded<R>(py: Attached<'_>, transaction: &Arc<Transaction>, work: impl FnOnce() -> R) -> Option<R> {
    let worked = catch_unwind(AssertUnwindSafe(|| transaction::with_current(transaction, work)));
    worked.inspect_err(|_| {
        drop(Exception::fetch(py));
        let text =
            "mod_wsgi_rs panicked while it ran a request (the place is logged above); the process goes on";
        transaction.log_message(py, &Message::new(Code::ApplicationPanicked, text));
    })
    .ok()
}

/// The module of the request's script, which is loaded now if it was not before. None when it cannot be: the
/// reason is in the log.
pub fn module(
    py: Attached<'_>,
    interpreter: &Interpreter,
    request: &Request<'_>,
    transaction: &Transaction,
    script_changed: &mut Option<Change>,
) -> Option<Object> {
    let log = |failure: &Failure| {
        if let Some(traceback) = &failure.traceback {
            transaction.log_lines(py, Level::Error, traceback.as_bytes());
        }
        transaction.log_message(py, &failure.message);
    };
    let loaded = interpreter.scripts.get(py, &interpreter.world, request.script, request.modified);
    let loaded = loaded.inspect_err(log).ok()?;
    loaded.failure.as_ref().inspect(|failure| log(failure));
    *script_changed = loaded.change;
    Some(loaded.module)
}

/// `apache.request_rec`, for extensions in C, where `WSGIPassApacheRequest` has httpd's record handed over.
pub fn add_record(
    py: Attached<'_>,
    world: &World,
    environ: &Object,
    request: &Request<'_>,
) -> PythonResult<()> {
    let Some(record) = request.record else { return Ok(()) };
    let capsule = Object::capsule(py, record, c"apache.request_rec")?;
    environ.dict_set(py, &world.name(py, b"apache.request_rec")?, &capsule)
}

/// Logs the exception that is set, with its traceback, and clears it.
pub fn log_exception(
    py: Attached<'_>,
    world: &World,
    transaction: &Transaction,
    request: &Request<'_>,
) -> Exception {
    let exception = Exception::fetch(py);
    let script = String::from_utf8_lossy(request.script);
    let what = if exception.is(py, Exc::SystemExit) { "SystemExit" } else { "an exception" };
    let value = |wanted: &[u8]| {
        let found = request.environ.into_iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    let python = world.hints.about_import(py, &exception);
    let text = match (request.purpose, request.purpose.function()) {
        (Purpose::Application, _) => {
            let id = value(b"mod_wsgi.request_id");
            format!("{what} was raised while the application '{script}' handled the request {id}{python}")
        }
        (_, function) => {
            let function = function.map(|name| format!("{name}() of ")).unwrap_or_default();
            let (method, uri) = (value(b"REQUEST_METHOD"), value(b"REQUEST_URI"));
            let path = uri.split('?').next().unwrap_or_default();
            format!(
                "{what} was raised by {function}the script '{script}', asked about the request {method} {path}{python}"
            )
        }
    };
    transaction.log_message(py, &Message::new(Code::ApplicationRaised, text));
    let traceback = world.describe(py, &exception);
    transaction.log_lines(py, Level::Error, traceback.as_bytes());
    exception
}
