//! The interface of the running httpd: its module magic number, whose minor part grows with each addition.
//!
//! One build of the module runs under every httpd of 2.4 from the oldest that `NEEDED` allows. httpd's
//! structures have grown at their ends since then. So none of them is copied as a whole, and a field that is
//! younger than the oldest httpd is read only where `has` says so. `apache::module` checks the number when
//! httpd loads the module.

#![allow(unsafe_code)]

use super::table::api;

/// What this border uses of httpd that came after 2.4.0, with the minor number that it came with (ap_mmn.h).
const NEEDED: [(i32, &str); 4] = [
    (44, "CGIPassAuth"),
    (46, "ap_map_http_request_error()"),
    (52, "the master of a connection of HTTP/2"),
    (56, "ap_get_useragent_host()"),
];

/// The field `client64` of `worker_score`. Without it there is `client`.
pub const CLIENT64: i32 = 83;

/// Whether the running httpd has what came with this minor number.
pub fn has(minor: i32) -> bool {
    running() >= minor
}

/// What httpd's own core was compiled with.
fn running() -> i32 {
    // SAFETY: the record is httpd's, and stays as long as the process.
    unsafe { (*api().core_module).minor_version }
}

/// Why the module cannot work in the running httpd.
pub fn check() -> Result<(), String> {
    check_minor(running())
}

fn check_minor(running: i32) -> Result<(), String> {
    let Some((minor, what)) = NEEDED.into_iter().find(|(minor, _)| *minor > running) else { return Ok(()) };
    Err(format!(
        "this httpd is too old: its module magic number is 20120211:{running}, and the module needs {what}, which \
         came with 20120211:{minor}. Use httpd 2.4.19 or newer"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_httpd_has_all_that_is_needed() {
        assert_eq!(check_minor(56), Ok(()));
        assert_eq!(check_minor(142), Ok(()));
        let said = check_minor(51).unwrap_err();
        assert!(said.contains("20120211:51") && said.contains("HTTP/2"), "{said}");
    }
}
