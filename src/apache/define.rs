//! What httpd's command line asks for by `-D`, and its standard output for the answer.
//!
//! Runs in the httpd parent while it only tests its configuration.

#![allow(unsafe_code)]

use super::server::configuration_pool;
use super::table::api;
use std::ffi::CStr;
use std::ptr;

/// Whether there was `-D name`.
pub fn is_defined(name: &CStr) -> bool {
    // SAFETY: reads a string that ends with NUL.
    unsafe { api().ap_exists_config_define(name.as_ptr()) != 0 }
}

/// Writes to standard output in httpd's own way, in the order of what other modules write there.
pub fn print(text: &str) {
    let mut output = ptr::null_mut();
    // SAFETY: the pool lives as long as httpd; APR writes the file to the variable.
    if unsafe { api().apr_file_open_stdout(&mut output, configuration_pool()) } != 0 {
        return;
    }
    // SAFETY: the file was just opened; pointer and length describe `text`.
    unsafe { api().apr_file_write_full(output, text.as_ptr().cast(), text.len(), ptr::null_mut()) };
}
