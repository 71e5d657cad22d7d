//! httpd's servers: the main one and the virtual hosts, and what their directives say.
//!
//! Used in the httpd parent (`hooks::parent`) and its children.

#![allow(unsafe_code)]

use super::table::{api, bytes};
use super::vector;
use crate::config::global::ServerConfig;
use crate::config::server_facts::ServerFacts;
use crate::config::settings::Settings;
use crate::sys::httpd::{AP_MPMQ_MAX_DAEMONS, AP_MPMQ_MAX_THREADS, apr_pool_t, process_rec, server_rec};
use std::time::Duration;

/// A server record; lives as long as the configuration it belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Server(*mut server_rec);

// SAFETY: the record does not change once the configuration was read, and only reads are offered.
unsafe impl Send for Server {}
// SAFETY: as above.
unsafe impl Sync for Server {}

pub fn main_server() -> Server {
    // SAFETY: the variable is set before any module is loaded.
    Server(unsafe { *api().ap_server_conf })
}

/// The main server, then its virtual hosts in the order of the configuration.
pub fn servers() -> impl Iterator<Item = Server> {
    std::iter::successors(Some(main_server()), |server| {
        let next = server.record().next;
        (!next.is_null()).then_some(Server(next))
    })
}

impl Server {
    pub(super) fn new(record: *mut server_rec) -> Server {
        Server(record)
    }

    pub(super) fn as_ptr(self) -> *mut server_rec {
        self.0
    }

    fn record(&self) -> &server_rec {
        // SAFETY: made from httpd's own pointers, which live as long as the configuration.
        unsafe { &*self.0 }
    }

    pub fn is_virtual(self) -> bool {
        self.record().is_virtual != 0
    }

    /// The port of `ServerName`, or 0.
    pub fn port(self) -> u16 {
        self.record().port
    }

    /// `ServerName` without the port.
    pub fn name(self) -> String {
        String::from_utf8_lossy(bytes(self.record(), self.record().server_hostname).unwrap_or_default())
            .into_owned()
    }

    pub fn admin(&self) -> &[u8] {
        bytes(self.record(), self.record().server_admin).unwrap_or_default()
    }

    /// `Timeout`.
    pub fn timeout(self) -> Duration {
        Duration::from_micros(u64::try_from(self.record().timeout).unwrap_or(0))
    }

    /// Our configuration of this server.
    pub fn config(&self) -> &ServerConfig {
        vector::of_server(self.record())
    }

    /// Our settings outside of any section.
    pub fn defaults(&self) -> &Settings {
        vector::defaults(self.record())
    }
}

/// A path made absolute below `ServerRoot`.
pub fn below_server_root(path: &str) -> String {
    resolve(path, api().ap_server_root_relative)
}

/// A path made absolute below httpd's runtime directory.
pub fn below_runtime_directory(path: &str) -> String {
    resolve(path, api().ap_runtime_dir_relative)
}

fn process() -> &'static process_rec {
    // SAFETY: the process record lives as long as httpd.
    unsafe { &*main_server().record().process }
}

/// The pool of one reading of the configuration.
pub(super) fn configuration_pool() -> *mut apr_pool_t {
    process().pconf
}

type Resolve = unsafe extern "C" fn(
    *mut crate::sys::httpd::apr_pool_t,
    *const std::os::raw::c_char,
) -> *mut std::os::raw::c_char;

fn resolve(path: &str, function: Resolve) -> String {
    let Ok(c_path) = std::ffi::CString::new(path) else { return path.to_string() };
    let process = process();
    // SAFETY: the pool lives as long as the record, and holds the result.
    let resolved = unsafe { function(process.pconf, c_path.as_ptr()) };
    bytes(process, resolved)
        .map_or_else(|| path.to_string(), |text| String::from_utf8_lossy(text).into_owned())
}

/// Who httpd's children run as: `User` and `Group`.
pub fn httpd_ids() -> (u32, u32) {
    // SAFETY: the variable is filled while httpd reads its configuration, by one thread.
    let config = unsafe { &*api().ap_unixd_config };
    (config.user_id, config.group_id)
}

/// How many processes and how many threads in each the MPM may have at once.
pub fn capacity() -> (u32, u32) {
    let ask = |what: i32| {
        let mut answer = 0;
        // SAFETY: writes a number.
        unsafe { api().ap_mpm_query(what, &mut answer) };
        u32::try_from(answer).unwrap_or(1).max(1)
    };
    (ask(AP_MPMQ_MAX_DAEMONS), ask(AP_MPMQ_MAX_THREADS))
}

/// What the running httpd says about itself.
pub fn facts() -> ServerFacts {
    let server = main_server();
    let text = |string| {
        bytes(server.record(), string)
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .unwrap_or_default()
    };
    let (processes, threads) = capacity();
    ServerFacts {
        version: version(),
        // SAFETY: takes nothing; the string lives as long as the configuration, as the record does.
        description: text(unsafe { api().ap_get_server_description() }),
        // SAFETY: as above.
        mpm_name: text(unsafe { api().ap_show_mpm() }),
        // SAFETY: as above; the string is a constant.
        build_date: text(unsafe { api().ap_get_server_built() }),
        processes,
        threads,
    }
}

pub fn version() -> [u32; 3] {
    let mut version =
        crate::sys::httpd::ap_version_t { major: 0, minor: 0, patch: 0, add_string: std::ptr::null() };
    // SAFETY: fills the structure during the call.
    unsafe { api().ap_get_server_revision(&mut version) };
    [version.major, version.minor, version.patch].map(|number| u32::try_from(number).unwrap_or(0))
}
