//! Everything that goes beyond Python's limited API, with the reason why it can be relied on.
//!
//! Used by `extension` and `attach`. The list:
//!
//! * A `PyModuleDef`, an instance of a heap type and a `PyType_Spec` begin with, or count, an object header.
//!   Its size is asked for at run time (`object.__basicsize__`, in `class`): 16 bytes, 32 in free-threaded builds.
//! * What follows the header in a `PyModuleDef` (`ModuleDefinition`) is part of the stable ABI as it was written
//!   into every extension module since 3.5; only the limited *API* hides the fields.
//! * The numbers of two module slots that are newer than the oldest Python served here.
//! * `Py_NewInterpreterFromConfig` (3.12+) and its `PyInterpreterConfig` are public, not limited. The structure has
//!   had these seven numbers since it was made; a Python without the function is served without it.

#![allow(unsafe_code)]

use crate::sys::python::{PyMethodDef, PyModuleDef_Slot, PyThreadState};
use libloading::os::unix::Library;
use std::ffi::c_void;
use std::os::raw::{c_char, c_int};
use std::ptr;

/// Slots that newer Pythons know; older ones refuse them.
pub const MOD_MULTIPLE_INTERPRETERS: c_int = 3;
pub const MOD_GIL: c_int = 4;
pub const SUPPORTED: usize = 1;
pub const GIL_NOT_USED: usize = 1;

/// Behind the object header of a PyModuleDef.
#[repr(C)]
pub struct ModuleDefinition {
    pub init: *mut c_void,
    pub index: isize,
    pub copy: *mut c_void,
    pub name: *const c_char,
    pub doc: *const c_char,
    pub size: isize,
    pub methods: *mut PyMethodDef,
    pub slots: *mut PyModuleDef_Slot,
    pub traverse: *mut c_void,
    pub clear: *mut c_void,
    pub free: *mut c_void,
}

/// `PyInterpreterConfig` of cpython/pylifecycle.h (initconfig.h in 3.12).
#[repr(C)]
struct InterpreterConfig {
    use_main_obmalloc: c_int,
    allow_fork: c_int,
    allow_exec: c_int,
    allow_threads: c_int,
    allow_daemon_threads: c_int,
    check_multi_interp_extensions: c_int,
    gil: c_int,
}

/// `PyInterpreterConfig_OWN_GIL`.
const OWN_GIL: c_int = 2;

/// `PyStatus`; returned by value.
#[repr(C)]
struct Status {
    kind: c_int,
    function: *const c_char,
    message: *const c_char,
    exit_code: c_int,
}

type NewInterpreter = unsafe extern "C" fn(*mut *mut PyThreadState, *const InterpreterConfig) -> Status;

/// Makes an interpreter that has a GIL of its own, and attaches the thread to it. NULL where this Python
/// cannot; the thread is then attached as before.
///
/// # Safety
///
/// The thread is attached to the main interpreter.
pub unsafe fn new_interpreter_with_own_gil() -> *mut PyThreadState {
    let name = b"Py_NewInterpreterFromConfig\0";
    // SAFETY: a Python that has the function has it with this signature.
    let Ok(make) = (unsafe { Library::this().get::<NewInterpreter>(name) }) else { return ptr::null_mut() };
    let config = InterpreterConfig {
        use_main_obmalloc: 0,
        allow_fork: 1,
        allow_exec: 1,
        allow_threads: 1,
        allow_daemon_threads: 1,
        check_multi_interp_extensions: 1,
        gil: OWN_GIL,
    };
    let mut state = ptr::null_mut();
    // SAFETY: attached; both structures are valid for the length of the call.
    let status = unsafe { make(&mut state, &config) };
    if status.kind == 0 { state } else { ptr::null_mut() }
}
