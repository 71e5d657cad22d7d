//! The generated tables of httpd's and CPython's functions, and the shim for APR's macros.
//!
//! Raw material in every process: only `apache`, `python` and the two doors (`module`) name it.

#![allow(unsafe_code)]

/// httpd and APR, found in the running httpd by `apache::table`.
#[allow(non_camel_case_types, non_snake_case, non_upper_case_globals, dead_code, unnecessary_transmutes)]
#[allow(unsafe_op_in_unsafe_fn, unused_imports)]
#[allow(clippy::all, clippy::too_many_lines, clippy::undocumented_unsafe_blocks)]
pub mod httpd {
    include!(concat!(env!("OUT_DIR"), "/httpd_table.rs"));
}

/// CPython's limited API, found in the running interpreter by `python::table`.
#[allow(non_camel_case_types, non_snake_case, non_upper_case_globals, dead_code, unnecessary_transmutes)]
#[allow(unsafe_op_in_unsafe_fn, unused_imports)]
#[allow(clippy::all, clippy::too_many_lines, clippy::undocumented_unsafe_blocks)]
pub mod python {
    include!(concat!(env!("OUT_DIR"), "/python_table.rs"));
}

pub mod shim {
    //! Declarations of `shim.c`.
    use super::httpd::{apr_bucket, apr_bucket_brigade, apr_size_t, apr_status_t};
    use std::os::raw::{c_char, c_int};

    unsafe extern "C" {
        pub fn wsgi_brigade_insert_tail(brigade: *mut apr_bucket_brigade, bucket: *mut apr_bucket);
        pub fn wsgi_brigade_first(brigade: *mut apr_bucket_brigade) -> *mut apr_bucket;
        pub fn wsgi_bucket_delete(bucket: *mut apr_bucket);
        pub fn wsgi_bucket_is_metadata(bucket: *const apr_bucket) -> c_int;
        pub fn wsgi_bucket_read(
            bucket: *mut apr_bucket,
            data: *mut *const c_char,
            length: *mut apr_size_t,
        ) -> apr_status_t;
    }
}
