//! httpd's regular expressions (PCRE), for `WSGIScriptAliasMatch`.
//!
//! Compiled in the httpd parent while it reads its configuration, executed in its children.

#![allow(unsafe_code)]

use super::table::api;
use crate::sys::httpd::{AP_REG_EXTENDED, ap_regex_t, ap_regmatch_t, apr_pool_t};
use std::ffi::CString;

/// Whole match and nine groups.
const GROUPS: usize = 10;

pub type Captures = [Option<(usize, usize)>; GROUPS];

/// A compiled expression; lives as long as the configuration it belongs to.
#[derive(Clone, Copy)]
pub struct Regex(*const ap_regex_t);

// SAFETY: a compiled expression is only read; PCRE matches it from any thread.
unsafe impl Send for Regex {}
// SAFETY: as above.
unsafe impl Sync for Regex {}

impl Regex {
    /// None when the pattern is wrong.
    pub(super) fn compile(pool: *mut apr_pool_t, pattern: &str) -> Option<Regex> {
        let pattern = CString::new(pattern).ok()?;
        // SAFETY: the pool is alive and keeps the result; the pattern is read during the call.
        let regex = unsafe { api().ap_pregcomp(pool, pattern.as_ptr(), AP_REG_EXTENDED) };
        (!regex.is_null()).then_some(Regex(regex))
    }

    /// Offsets of the match and its groups.
    pub fn captures(&self, text: &[u8]) -> Option<Captures> {
        let text = CString::new(text).ok()?;
        let mut matches = [ap_regmatch_t { rm_so: -1, rm_eo: -1 }; GROUPS];
        // SAFETY: the expression is alive; there is room for as many groups as are asked for.
        let status = unsafe { api().ap_regexec(self.0, text.as_ptr(), GROUPS, matches.as_mut_ptr(), 0) };
        let offset = |value: i32| usize::try_from(value).ok();
        (status == 0).then(|| matches.map(|group| offset(group.rm_so).zip(offset(group.rm_eo))))
    }
}
