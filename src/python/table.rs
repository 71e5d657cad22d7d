//! The table of CPython's functions, filled once from the running process.
//!
//! Used by the rest of `python` only. `extension` loads it before anything else of this border runs.

#![allow(unsafe_code)]

use crate::sys::python::Python;
use libloading::os::unix::Library;
use once_cell::sync::OnceCell;

struct Functions(Python);

// SAFETY: the table is written once and holds addresses of functions and of CPython's static
// objects, all of which live as long as the process.
unsafe impl Send for Functions {}
// SAFETY: as above; nothing in it changes after it was filled.
unsafe impl Sync for Functions {}

static TABLE: OnceCell<Functions> = OnceCell::new();

/// Looks every function up; the error names the first that this Python does not have.
pub(super) fn load() -> Result<(), libloading::Error> {
    let library = libloading::Library::from(Library::this());
    // SAFETY: the process is a Python executable, so each name is CPython's function of the stable
    // ABI, whose signature the generated field carries.
    TABLE.get_or_try_init(|| unsafe { Python::from_library(library) }.map(Functions)).map(|_| ())
}

#[inline]
pub(super) fn api() -> &'static Python {
    &TABLE.get().expect("python::extension loads the table before anything else").0
}
