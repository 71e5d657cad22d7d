//! Hints for those who read the log: what a failure of a site's code most likely comes from.
//!
//! Runs where applications run, after a failure. `hints.py` finds them; each interpreter has its own. A hint that
//! cannot be found is none, and never hides the failure.

use crate::log::{Code, Message};
use crate::python::object::Result;
use crate::python::{Attached, Exception, Kept, Object};
use std::ffi::CStr;

pub struct Hints {
    about_import: Kept,
    missing_module: Kept,
    asynchronous: Kept,
    other_callable: Kept,
}

impl Hints {
    /// `function` finds the functions of `hints.py`.
    pub fn new(function: &dyn Fn(&CStr) -> Object) -> Hints {
        Hints {
            about_import: function(c"about_import").keep(),
            missing_module: function(c"missing_module").keep(),
            asynchronous: function(c"asynchronous").keep(),
            other_callable: function(c"other_callable").keep(),
        }
    }

    /// ` (Python 3.11.4 in /srv/venv)` for an ImportError.
    pub fn about_import(&self, py: Attached<'_>, exception: &Exception) -> String {
        text(py, self.about_import.call(py, [exception.value.clone_ref(py)]))
    }

    /// A sentence with the cure, for a module that was not found: the path to add, or where to install it.
    pub fn missing_module(&self, py: Attached<'_>, exception: &Exception, script: &[u8]) -> String {
        let found = Object::filesystem(py, script)
            .and_then(|script| self.missing_module.call(py, [exception.value.clone_ref(py), script]));
        text(py, found)
    }

    /// For an application that WSGI cannot call. `result` is what it returned, if it was not it that raised.
    pub fn asynchronous(
        &self,
        py: Attached<'_>,
        application: &Object,
        result: Option<&Object>,
        script: &[u8],
    ) -> Option<Message> {
        let result = result.map_or_else(|| Object::none(py), |result| result.clone_ref(py));
        let found = Object::filesystem(py, script)
            .and_then(|script| self.asynchronous.call(py, [application.clone_ref(py), result, script]));
        let what = text(py, found);
        let text = format!(
            "the application of '{}' is {what}, and this server runs WSGI applications: use the WSGI application of \
             its framework (Django: get_wsgi_application()), wrap it (application = \
             a2wsgi.ASGIMiddleware(application), of the package a2wsgi), or run it by uvicorn behind mod_proxy",
            String::from_utf8_lossy(script)
        );
        (!what.is_empty()).then(|| Message::new(Code::NotWsgi, text))
    }

    /// Another name under which the script has a callable.
    pub fn other_callable(&self, py: Attached<'_>, module: &Object, name: &[u8]) -> Option<String> {
        let found = Object::filesystem(py, name)
            .and_then(|name| self.other_callable.call(py, [module.clone_ref(py), name]));
        Some(text(py, found)).filter(|name| !name.is_empty())
    }
}

fn text(py: Attached<'_>, found: Result) -> String {
    found.and_then(|text| text.to_text(py)).unwrap_or_else(|_raised| {
        drop(Exception::fetch(py));
        String::new()
    })
}
