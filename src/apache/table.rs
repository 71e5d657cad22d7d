//! The table of httpd's and APR's functions, filled once from the running httpd.
//!
//! Used by the rest of `apache` only; `module` loads it before anything else of this border runs.

#![allow(unsafe_code)]

use crate::sys::httpd::*;
use libloading::os::unix::Library;
use once_cell::sync::OnceCell;
use std::ffi::CStr;
use std::os::raw::{c_char, c_void};

struct Functions(Httpd);

// SAFETY: the table is written once and holds addresses of functions and variables of httpd, which
// live as long as the process.
unsafe impl Send for Functions {}
// SAFETY: as above; nothing in it changes after it was filled.
unsafe impl Sync for Functions {}

static TABLE: OnceCell<Functions> = OnceCell::new();

/// Looks every function up; the error names the first that this httpd does not have.
pub(super) fn load() -> Result<(), libloading::Error> {
    let library = libloading::Library::from(Library::this());
    // SAFETY: the process is httpd, so each name is httpd's or APR's function, whose signature the
    // generated field carries.
    TABLE.get_or_try_init(|| unsafe { Httpd::from_library(library) }.map(Functions)).map(|_| ())
}

#[inline]
pub(super) fn api() -> &'static Httpd {
    &TABLE.get().expect("apache::module loads the table before anything else").0
}

/// A structure whose strings live as long as it does: those that its fields point to, and those that a
/// function has put in its pool.
pub(super) trait Record {}

impl Record for request_rec {}
impl Record for conn_rec {}
impl Record for server_rec {}
impl Record for process_rec {}
impl Record for cmd_parms {}
impl Record for command_rec {}
impl Record for ap_directive_t {}
impl Record for libc::passwd {}
impl Record for libc::Dl_info {}

/// The bytes of a record's C string; None for NULL.
pub(super) fn bytes<R: Record>(_record: &R, string: *const c_char) -> Option<&[u8]> {
    // SAFETY: the strings of these records are NUL-terminated, and live as long as the record.
    (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) }.to_bytes())
}

/// A copy in a pool, with a NUL behind it. NULs inside end the string for httpd, as in C.
pub(super) fn copy(pool: *mut apr_pool_t, text: &[u8]) -> *mut c_char {
    // SAFETY: the pool is alive; pointer and length describe `text`.
    unsafe { api().apr_pstrmemdup(pool, text.as_ptr().cast(), text.len()) }
}

/// Gives a value to a pool, which drops it when it is cleared.
pub(super) fn keep<T: 'static>(pool: *mut apr_pool_t, value: T) -> *mut T {
    unsafe extern "C" fn release<T>(value: *mut c_void) -> i32 {
        // SAFETY: `keep` made the box, and APR runs each cleanup once.
        drop(unsafe { Box::from_raw(value.cast::<T>()) });
        0
    }
    let value = Box::into_raw(Box::new(value));
    let nothing = api().apr_pool_cleanup_null;
    // SAFETY: the pool is alive and runs the cleanup when it is cleared; a forked child that clears
    // nothing needs none.
    unsafe { api().apr_pool_cleanup_register(pool, value.cast(), Some(release::<T>), Some(nothing)) };
    value
}
