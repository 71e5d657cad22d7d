//! What mod_ssl tells of a request's connection, where mod_ssl is loaded.
//!
//! Used in httpd children by `exchange`. mod_ssl offers its functions by name.

#![allow(unsafe_code)]

use super::request::RequestRec;
use super::table::api;
use crate::sys::httpd::{apr_pool_t, conn_rec, request_rec, server_rec};
use std::ffi::CStr;
use std::os::raw::{c_char, c_int};

type IsHttps = unsafe extern "C" fn(*mut conn_rec) -> c_int;
type VarLookup = unsafe extern "C" fn(
    *mut apr_pool_t,
    *mut server_rec,
    *mut conn_rec,
    *mut request_rec,
    *mut c_char,
) -> *mut c_char;

impl RequestRec<'_> {
    /// Whether mod_ssl says that the connection is encrypted.
    pub fn is_https(&self) -> bool {
        // SAFETY: the name is a C string; the result is NULL or mod_ssl's function.
        let Some(function) = (unsafe { api().apr_dynamic_fn_retrieve(c"ssl_is_https".as_ptr()) }) else {
            return false;
        };
        // SAFETY: mod_ssl declares `ssl_is_https` with this signature (mod_ssl.h).
        let function = unsafe { std::mem::transmute::<unsafe extern "C" fn(), IsHttps>(function) };
        // SAFETY: the connection is alive.
        unsafe { function(self.record().connection) != 0 }
    }

    /// A variable of mod_ssl, as `SSLRequire` and `SSLOptions +StdEnvVars` know them.
    pub fn ssl_variable(&self, name: &CStr) -> Option<&[u8]> {
        // SAFETY: the name is a C string; the result is NULL or mod_ssl's function.
        let function = unsafe { api().apr_dynamic_fn_retrieve(c"ssl_var_lookup".as_ptr()) }?;
        // SAFETY: mod_ssl declares `ssl_var_lookup` with this signature (mod_ssl.h).
        let function = unsafe { std::mem::transmute::<unsafe extern "C" fn(), VarLookup>(function) };
        let record = self.record();
        // SAFETY: all of it is the request's and alive; the name is only read. The result is in the pool.
        let value = unsafe {
            function(record.pool, record.server, record.connection, self.as_ptr(), name.as_ptr().cast_mut())
        };
        self.text(value)
    }
}
