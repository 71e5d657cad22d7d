//! Our entries of httpd's configuration vectors. Their two types are named here and nowhere else, beside what
//! makes the entries and what reads them.
//!
//! Runs in the httpd parent while it reads its configuration, in its children for `.htaccess` files, and
//! wherever a hook asks for the configuration of a server or a request.

#![allow(unsafe_code)]

use super::index::index;
use super::table::keep;
use crate::config::global::ServerConfig;
use crate::config::settings::Settings;
use crate::sys::httpd::*;
use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a server has for itself.
type OfServer = ServerConfig;

/// What a section, a `.htaccess` file or a server outside of any section has.
type OfDirectory = Settings;

pub(super) unsafe extern "C" fn create_directory(pool: *mut apr_pool_t, _: *mut c_char) -> *mut c_void {
    kept::<OfDirectory>(pool, Settings::default)
}

pub(super) unsafe extern "C" fn merge_directory(
    pool: *mut apr_pool_t,
    base: *mut c_void,
    add: *mut c_void,
) -> *mut c_void {
    // SAFETY: httpd hands back what `create_directory` or this function made.
    let (base, add) = unsafe { (&*base.cast::<OfDirectory>(), &*add.cast::<OfDirectory>()) };
    kept::<OfDirectory>(pool, || Settings::merge(base, add))
}

/// For `create_server_config` of the module record.
pub(super) fn create_server(pool: *mut apr_pool_t, make: impl FnOnce() -> OfServer) -> *mut c_void {
    kept::<OfServer>(pool, make)
}

pub(super) unsafe extern "C" fn merge_server(
    pool: *mut apr_pool_t,
    base: *mut c_void,
    add: *mut c_void,
) -> *mut c_void {
    // SAFETY: httpd hands back what `create_server` made.
    let (base, add) = unsafe { (&*base.cast::<OfServer>(), &*add.cast::<OfServer>()) };
    kept::<OfServer>(pool, || ServerConfig::merge(base, add))
}

/// An entry of ours.
trait Entry: 'static {
    /// In place of one whose making has panicked.
    fn broken() -> Self;
}

impl Entry for OfDirectory {
    fn broken() -> Self {
        Settings { broken: true, ..Settings::default() }
    }
}

impl Entry for OfServer {
    fn broken() -> Self {
        ServerConfig { broken: true, ..ServerConfig::default() }
    }
}

/// A panic does not unwind into httpd. httpd cannot be told of it here: the configuration is refused when it
/// is checked, and a request whose sections are merged gets 500.
fn kept<T: Entry>(pool: *mut apr_pool_t, make: impl FnOnce() -> T) -> *mut c_void {
    keep(pool, catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| T::broken())).cast()
}

/// The configuration that a directive changes outside of `.htaccess` files.
pub(super) fn being_read(server: &mut server_rec) -> &mut OfServer {
    // SAFETY: the entry is what `create_server` made; one thread reads the configuration.
    unsafe { &mut *entry(server.module_config, index()).cast() }
}

/// The settings of the section that a directive stands in.
///
/// # Safety
///
/// httpd has called a directive of ours with this entry.
pub(super) unsafe fn section(entry: &mut *mut c_void) -> &mut OfDirectory {
    // SAFETY: `create_directory` made it, and it is ours alone while the section is read.
    unsafe { &mut *entry.cast() }
}

pub(super) fn of_server(server: &server_rec) -> &OfServer {
    // SAFETY: the entry is what `create_server` or `merge_server` made, and lives as long as the record.
    unsafe { &*entry(server.module_config, index()).cast() }
}

/// Outside of any section.
pub(super) fn defaults(server: &server_rec) -> &OfDirectory {
    // SAFETY: the entry is what `create_directory` or `merge_directory` made, and lives as long as the
    // record.
    unsafe { &*entry(server.lookup_defaults, index()).cast() }
}

/// All sections merged.
pub(super) fn of_request(request: &request_rec) -> &OfDirectory {
    // SAFETY: as in `defaults`.
    unsafe { &*entry(request.per_dir_config, index()).cast() }
}

/// What httpd's core has for the request.
pub(super) fn core_of_request(request: &request_rec) -> &core_dir_config {
    // SAFETY: the core module's entry of a directory configuration is always of this type.
    unsafe { &*entry(request.per_dir_config, AP_CORE_MODULE_INDEX).cast() }
}

/// The entry of the module with this index.
fn entry(vector: *mut ap_conf_vector_t, index: i32) -> *mut c_void {
    let index = usize::try_from(index).expect("httpd numbers modules from zero");
    // SAFETY: a configuration vector is an array of pointers with an entry for each module.
    unsafe { *vector.cast::<*mut c_void>().add(index) }
}
