//! Asking a script: its function is called, and what it says becomes a verdict.
//!
//! Runs in a daemon's worker thread or a thread of an httpd child, attached to the interpreter of the
//! question's application group. Called by `daemon::worker` or `embedded` with the request and its
//! transaction. Whatever goes wrong ends as 500 without a verdict: never as access.

use super::environ;
use crate::interpreter::interpreters::Interpreter;
use crate::interpreter::log_stream::LogStream;
use crate::interpreter::running::{self, log_exception};
use crate::interpreter::script::Change;
use crate::interpreter::transaction::Transaction;
use crate::log::{Code, Message};
use crate::python::object::Result as PythonResult;
use crate::python::{Attached, Object};
use crate::question::Verdict;
use crate::request::{Outcome, Request};
use std::sync::Arc;

/// Returns whether the script is to be loaded anew, by a process that replaces this one.
pub fn run(
    py: Attached<'_>,
    interpreter: &Interpreter,
    request: &Request<'_>,
    transaction: &Arc<Transaction>,
) -> Option<Change> {
    let mut script_changed = None;
    let verdict = running::guarded(py, transaction, || {
        let module = running::module(py, interpreter, request, transaction, &mut script_changed)?;
        said(py, interpreter, &module, request, transaction)
    });
    let verdict = verdict.flatten();
    if let Some(verdict) = &verdict {
        transaction.with(py, |reply| reply.verdict(verdict));
    }
    let outcome = if verdict.is_some() { Outcome::Complete } else { Outcome::Failed(500) };
    transaction.finish(py, outcome);
    script_changed
}

/// The verdict; None when there is none, for a reason that is in the log then.
fn said(
    py: Attached<'_>,
    interpreter: &Interpreter,
    module: &Object,
    request: &Request<'_>,
    transaction: &Arc<Transaction>,
) -> Option<Verdict> {
    let asked = ask(py, interpreter, module, request, transaction);
    let words = asked.and_then(|list| words(py, &list));
    let Ok(words) = words else {
        drop(log_exception(py, &interpreter.world, transaction, request));
        return None;
    };
    let verdict = match (words[0].as_deref().unwrap_or_default(), &words[1..]) {
        (b"undecided", _) => Verdict::Undecided,
        (b"refused", _) => Verdict::Refused,
        (b"granted", _) => Verdict::Granted,
        (b"text", [Some(text)]) => Verdict::Text(text.clone()),
        (b"names", names) => Verdict::Names(names.iter().flatten().cloned().collect()),
        (b"target", [process, application, callable]) => {
            Verdict::Target([process.clone(), application.clone(), callable.clone()])
        }
        (kind, details) => {
            transaction.log_message(py, &unusable(kind, details, request));
            return None;
        }
    };
    Some(verdict)
}

fn ask(
    py: Attached<'_>,
    interpreter: &Interpreter,
    module: &Object,
    request: &Request<'_>,
    transaction: &Arc<Transaction>,
) -> PythonResult {
    let world = &interpreter.world;
    let (environ, ssl) = environ::build(py, world, request.environ)?;
    let errors = world.errors.instance(py, LogStream::of_request(Arc::clone(transaction)))?;
    environ.dict_set(py, &world.name(py, b"wsgi.errors")?, &errors)?;
    running::add_record(py, world, &environ, request)?;
    let function = request.purpose.function();
    let function = function.map_or_else(|| Ok(Object::none(py)), |name| Object::text(py, name))?;
    let arguments = request.purpose.arguments();
    let arguments: PythonResult<Vec<_>> = arguments.iter().map(|text| Object::bytes(py, text)).collect();
    let arguments = Object::list(py, &arguments?)?;
    world.ask.call(py, [module.clone_ref(py), function, environ, ssl, arguments])
}

/// The items of the list that `questions.py` makes; None for Python's None.
fn words(py: Attached<'_>, list: &Object) -> PythonResult<Vec<Option<Vec<u8>>>> {
    let items = (0..list.length(py)?).map(|index| {
        let item = list.sequence_item(py, index)?;
        if item.is_none(py) { Ok(None) } else { Ok(Some(item.as_bytes(py)?.to_vec())) }
    });
    items.collect()
}

/// Why what the script has, or has said, is no verdict.
fn unusable(kind: &[u8], details: &[Option<Vec<u8>>], request: &Request<'_>) -> Message {
    let (script, function) =
        (String::from_utf8_lossy(request.script), request.purpose.function().unwrap_or_default());
    let directive = match function {
        "allow_access" => "WSGIAccessScript",
        "groups_for_user" => "WSGIAuthGroupScript",
        _ => "WSGIAuthUserScript",
    };
    if kind == b"missing" {
        let text = format!(
            "the script '{script}' has no function {function}(), which {directive} calls: define it, or name another script there"
        );
        return Message::new(Code::QuestionFunctionMissing, text);
    }
    let class = details.last().cloned().flatten().unwrap_or_default();
    let may = match function {
        "allow_access" => "True, False or None",
        "check_password" => "True, False, None or a user's name",
        "get_realm_hash" => {
            "the hash of user:realm:password (32 digits as of hexdigest(), str or bytes) or None"
        }
        _ => "a list of names (str or bytes)",
    };
    let text = format!(
        "{function}() of the script '{script}' of {directive} returned a value of type {} that is no answer; access is refused with \
         500: it must return {may}",
        String::from_utf8_lossy(&class)
    );
    Message::new(Code::VerdictUnusable, text)
}
