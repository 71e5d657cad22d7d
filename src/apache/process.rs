//! The life of a configuration and the processes that belong to it, as httpd sees them.
//!
//! Used in the httpd parent by `hooks::lifecycle`.

#![allow(unsafe_code)]

use super::table::{api, keep};
use crate::sys::httpd::*;
use std::os::raw::{c_int, c_void};

/// The configuration that httpd has just read: from now until it is cleared by a restart or the end.
pub struct Configuration(*mut apr_pool_t);

impl Configuration {
    pub(super) fn new(pool: *mut apr_pool_t) -> Configuration {
        Configuration(pool)
    }

    /// Runs `work` when the configuration ends: httpd restarts or stops.
    pub fn at_end(&self, work: impl FnOnce() + 'static) {
        struct AtEnd<F: FnOnce()>(Option<F>);
        impl<F: FnOnce()> Drop for AtEnd<F> {
            fn drop(&mut self) {
                if let Some(work) = self.0.take() {
                    work();
                }
            }
        }
        keep(self.0, AtEnd(Some(work)));
    }
}

/// Has httpd watch a process that it forked: `lost` runs in the parent when the process ends.
pub fn watch(pid: i32, lost: fn(i32)) {
    let process = Box::leak(Box::new(apr_proc_t {
        pid,
        in_: std::ptr::null_mut(),
        out: std::ptr::null_mut(),
        err: std::ptr::null_mut(),
    }));
    // SAFETY: the main server's process record and its pool live as long as httpd.
    let pool = unsafe { (*(*super::server::main_server().as_ptr()).process).pool };
    // SAFETY: the record was leaked for APR to keep; `maintain` has the signature APR calls; the
    // data is a function pointer.
    unsafe { api().apr_proc_other_child_register(process, Some(maintain), lost as *mut c_void, std::ptr::null_mut(), pool) };
}

unsafe extern "C" fn maintain(reason: c_int, data: *mut c_void, _status: c_int) {
    if reason == APR_OC_REASON_DEATH as c_int || reason == APR_OC_REASON_LOST as c_int {
        // SAFETY: `watch` registered a function of this type.
        let lost = unsafe { std::mem::transmute::<*mut c_void, fn(i32)>(data) };
        // SAFETY: APR found the record by this data and lets it be taken out during the call.
        unsafe { api().apr_proc_other_child_unregister(data) };
        let _ = std::panic::catch_unwind(|| lost(0));
    }
}

/// Closes the copies of httpd's listening sockets in a process that was forked and does not serve.
pub fn close_listeners() {
    // SAFETY: the list of listeners is this process's own copy.
    unsafe { api().ap_close_listeners() }
}
