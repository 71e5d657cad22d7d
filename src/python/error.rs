//! Python's exceptions as Rust errors.
//!
//! Used where applications run. `Raised` says that the error indicator is set; an `Exception` was taken from
//! it.

#![allow(unsafe_code)]

use super::attach::Attached;
use super::object::Object;
use super::raised::Raised;
use super::table::api;
use crate::sys::python::PyObject;
use std::ptr;

/// The exception classes that our own code raises or tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exc {
    Assertion,
    Os,
    Runtime,
    SystemExit,
    Type,
    Value,
}

impl Exc {
    /// The exception class.
    pub fn object(self, py: Attached<'_>) -> Object {
        Object::from_borrowed(py, self.class()).expect("CPython has all of these")
    }

    fn class(self) -> *mut PyObject {
        let variable = match self {
            Exc::Assertion => api().PyExc_AssertionError,
            Exc::Os => api().PyExc_OSError,
            Exc::Runtime => api().PyExc_RuntimeError,
            Exc::SystemExit => api().PyExc_SystemExit,
            Exc::Type => api().PyExc_TypeError,
            Exc::Value => api().PyExc_ValueError,
        };
        // SAFETY: CPython sets these variables before it runs any code and never again.
        unsafe { *variable }
    }
}

/// Sets the error indicator.
pub fn raise(py: Attached<'_>, kind: Exc, text: &str) -> Raised {
    if let Ok(message) = Object::text(py, text) {
        // SAFETY: attached; both are live objects.
        unsafe { api().PyErr_SetObject(kind.class(), message.as_ptr()) };
    }
    Raised
}

/// Has the thread raise an exception of this class when it next runs Python code; it must work in the
/// interpreter that the caller is attached to.
pub fn raise_in_thread(_py: Attached<'_>, ident: u64, class: &Object) {
    // SAFETY: attached. The class is a live object, of which CPython takes a reference of its own; a thread
    // that is not there makes the call do nothing.
    unsafe { api().PyThreadState_SetAsyncExc(ident, class.as_ptr()) };
}

/// An exception that was raised: its class, value and traceback (None where Python gave none).
pub struct Exception {
    pub class: Object,
    pub value: Object,
    pub traceback: Object,
}

impl Exception {
    /// Takes the exception that `Raised` speaks of, normalized, and clears the indicator.
    pub fn fetch(py: Attached<'_>) -> Exception {
        let mut class = ptr::null_mut();
        let mut value = ptr::null_mut();
        let mut traceback = ptr::null_mut();
        // SAFETY: attached; each variable receives an owned reference or NULL.
        unsafe { api().PyErr_Fetch(&mut class, &mut value, &mut traceback) };
        // SAFETY: the three belong together; they stay owned by us.
        unsafe { api().PyErr_NormalizeException(&mut class, &mut value, &mut traceback) };
        let own = |pointer| Object::from_owned(py, pointer).unwrap_or_else(|Raised| Object::none(py));
        Exception { class: own(class), value: own(value), traceback: own(traceback) }
    }

    pub fn is(&self, _py: Attached<'_>, kind: Exc) -> bool {
        // SAFETY: attached; both are live objects.
        unsafe { api().PyErr_GivenExceptionMatches(self.class.as_ptr(), kind.class()) != 0 }
    }

    /// Sets the error indicator again.
    pub fn restore(self, py: Attached<'_>) -> Raised {
        let null_if_none =
            |object: Object| if object.is_none(py) { ptr::null_mut() } else { object.into_ptr() };
        let (class, value) = (null_if_none(self.class), null_if_none(self.value));
        let traceback = null_if_none(self.traceback);
        // SAFETY: attached; the call takes over the three references.
        unsafe { api().PyErr_Restore(class, value, traceback) };
        Raised
    }
}
