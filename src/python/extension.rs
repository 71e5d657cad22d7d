//! The library as a Python extension module: what `PyInit_mod_wsgi_rs` returns.
//!
//! Called by the site's own Python in a daemon, or by the one in an httpd child, through `module.rs`, which
//! names the module's functions. Its `PyModuleDef` begins with an object header whose size depends on the
//! Python, so it is laid out at run time.

#![allow(unsafe_code)]

use super::attach::Attached;
use super::beyond::{GIL_NOT_USED, MOD_GIL, MOD_MULTIPLE_INTERPRETERS, ModuleDefinition, SUPPORTED};
use super::class::{enter, header_size};
use super::object::{self, Object};
use super::table::{self, api};
use crate::sys::python::{METH_NOARGS, PyMethodDef, PyModuleDef, PyModuleDef_Slot, PyObject};
use std::ffi::{CStr, c_void};
use std::{mem, ptr};

/// A function of the extension module.
pub type Entry = unsafe extern "C" fn(*mut PyObject, *mut PyObject) -> *mut PyObject;

/// The result of a PyInit function: NULL, without an exception set, when this is no usable Python.
///
/// # Safety
///
/// CPython has called that function.
pub unsafe fn initialize(functions: &[(&'static CStr, Entry)]) -> *mut PyObject {
    if table::load().is_err() {
        return ptr::null_mut();
    }
    enter(|py| definition(py, functions).map(Some))
}

/// Runs `work` for a function of the extension module.
///
/// # Safety
///
/// CPython has called that function.
pub unsafe fn enter_function(work: impl FnOnce(Attached<'_>) -> object::Result) -> *mut PyObject {
    enter(|py| work(py).map(Some))
}

/// Version of the running Python.
pub fn version(py: Attached<'_>) -> (u32, u32) {
    let [major, minor, _] = full_version(py);
    (major.into(), minor.into())
}

/// With its third number.
pub fn full_version(_py: Attached<'_>) -> [u8; 3] {
    // SAFETY: the function returns a static C string.
    let text = unsafe { CStr::from_ptr(api().Py_GetVersion()) }.to_string_lossy();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}

fn definition(py: Attached<'_>, functions: &[(&'static CStr, Entry)]) -> object::Result {
    // SAFETY: a PyMethodDef of zeros is the end of the table.
    let mut methods = vec![unsafe { mem::zeroed::<PyMethodDef>() }; functions.len() + 1];
    for (method, (name, entry)) in methods.iter_mut().zip(functions) {
        method.ml_name = name.as_ptr();
        method.ml_meth = Some(*entry);
        method.ml_flags = METH_NOARGS;
    }

    let body = ModuleDefinition {
        init: ptr::null_mut(),
        index: 0,
        copy: ptr::null_mut(),
        name: c"mod_wsgi_rs".as_ptr(),
        doc: ptr::null(),
        size: 0,
        methods: Box::leak(methods.into_boxed_slice()).as_mut_ptr(),
        slots: Box::leak(slots(version(py)).into_boxed_slice()).as_mut_ptr(),
        traverse: ptr::null_mut(),
        clear: ptr::null_mut(),
        free: ptr::null_mut(),
    };
    let header = header_size(py)?;
    let words = (header + mem::size_of::<ModuleDefinition>()).div_ceil(mem::size_of::<u64>());
    let memory: &'static mut [u64] = Box::leak(vec![0u64; words].into_boxed_slice());
    let start = memory.as_mut_ptr().cast::<u8>();
    // SAFETY: the memory holds a header and the body; headers are a multiple of eight bytes.
    unsafe { start.add(header).cast::<ModuleDefinition>().write(body) };
    // SAFETY: attached; the definition is complete, stays for ever, and CPython fills its header.
    Object::from_owned(py, unsafe { api().PyModuleDef_Init(start.cast::<PyModuleDef>()) })
}

fn slots(version: (u32, u32)) -> Vec<PyModuleDef_Slot> {
    let mut slots = Vec::new();
    if version >= (3, 12) {
        slots.push(PyModuleDef_Slot { slot: MOD_MULTIPLE_INTERPRETERS, value: SUPPORTED as *mut c_void });
    }
    if version >= (3, 13) {
        slots.push(PyModuleDef_Slot { slot: MOD_GIL, value: GIL_NOT_USED as *mut c_void });
    }
    slots.push(PyModuleDef_Slot { slot: 0, value: ptr::null_mut() });
    slots
}
