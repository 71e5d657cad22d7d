//! Where this module stands in httpd's tables of modules.
//!
//! Used in the httpd parent and its children, wherever httpd asks which module speaks.

#![allow(unsafe_code)]

use std::ffi::c_int;

use crate::sys::httpd::module;

unsafe extern "C" {
    /// Our own record, defined in `module.rs`; httpd sets its index when it loads the module.
    static wsgi_module: module;
}

/// Index of our module in httpd's configuration vectors.
pub(super) fn index() -> c_int {
    // SAFETY: httpd writes the index while it loads the module, before it calls any of us.
    unsafe { wsgi_module.module_index }
}
