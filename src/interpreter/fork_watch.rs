//! The watch over `os.fork` in a process with several interpreters, where Python may hang in the copy.
//!
//! Runs in daemons and httpd children, called by the at-fork functions that `support.py` registers.

use crate::log::{Code, Message, mark};
use crate::os;
use crate::python::class::{Class, Native};
use crate::python::object::Result;
use crate::python::{Attached, Object};
use std::ffi::CStr;

/// Called with True before a fork, and with False in the copy once Python is through with it.
pub struct ForkWatch;

/// `in_httpd` is for its own processes, whose standard error is the error log.
pub fn watch(py: Attached<'_>, in_httpd: bool) -> Result {
    os::watch_forks(|| {
        let text = "a process that an application has forked did not come back from the fork in 10 s, and is ended: \
                    Python hangs in the copy of a process that has several interpreters. Let all scripts of the process \
                    have application-group=%{GLOBAL}, or start processes by subprocess";
        let message = Message::new(Code::ForkHangs, text);
        let line = format!("{message}\n").into_bytes();
        if in_httpd { line } else { mark(message.level, &line) }
    });
    Class::define(py)?.instance(py, ForkWatch)
}

impl Native for ForkWatch {
    const NAME: &'static CStr = c"mod_wsgi.ForkWatch";
    const CALLABLE: bool = true;

    fn call(&self, py: Attached<'_>, arguments: &Object, _named: Option<&Object>) -> Result {
        match arguments.sequence_item(py, 0)?.is_true(py)? {
            true => os::fork_begins(),
            false => os::fork_has_returned(),
        }
        Ok(Object::none(py))
    }
}
