//! Signal handlers that an application sets in vain (`WSGIRestrictSignal`, which is on by default): it is
//! told once.
//!
//! Runs in daemons and httpd children, called by the function that `support.py` puts in the place of
//! `signal.signal`. Without the message, the application would find out late, by an alarm that does not
//! come.

use super::process_log::write_message;
use super::transaction;
use crate::log::{Code, Message};
use crate::python::class::{Class, Native};
use crate::python::object::Result;
use crate::python::{Attached, Object, attach};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Signals that this process has logged, for any of its interpreters: signal n is bit n-1.
static SAID: AtomicU64 = AtomicU64::new(0);

/// Called with a signal's number and name, says whether a handler is refused: in a process that the
/// application has forked, signals are its own.
pub struct SignalRefusal;

pub fn refusal(py: Attached<'_>) -> Result {
    Class::define(py)?.instance(py, SignalRefusal)
}

impl Native for SignalRefusal {
    const NAME: &'static CStr = c"mod_wsgi.SignalRefusal";
    const CALLABLE: bool = true;

    fn call(&self, py: Attached<'_>, arguments: &Object, _named: Option<&Object>) -> Result {
        if attach::forks() > 0 {
            return Object::bool(py, false);
        }
        let number = arguments.sequence_item(py, 0)?.to_i64(py)?;
        let bit = u32::try_from(number - 1).ok().and_then(|place| 1u64.checked_shl(place)).unwrap_or(0);
        if SAID.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            say(py, &arguments.sequence_item(py, 1)?.display(py)?);
        }
        Object::bool(py, true)
    }
}

fn say(py: Attached<'_>, name: &str) {
    let text = format!(
        "a handler that an application sets for {name} (signal.signal) is never called: signals are the server's. In \
         the place of an alarm use threading.Timer or the option request-timeout=; WSGIRestrictSignal Off lets \
         handlers be set, and Python calls them in a process's main thread only, which runs no requests"
    );
    let message = Message::new(Code::SignalHandlerRefused, text);
    let running = transaction::current().filter(|transaction| transaction.is_open(py));
    match running {
        Some(transaction) => transaction.log_message(py, &message),
        None => py.detached(|| write_message(&message)),
    }
}
