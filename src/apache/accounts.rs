//! The system's user database, and the user that httpd's children run as.
//!
//! Runs in the httpd parent while it reads its configuration and starts its processes, in its children for
//! `.htaccess` files, and in the supervisor just after its fork.

#![allow(unsafe_code)]

use super::server::httpd_ids;
use super::table::bytes;
use crate::config::options::{Account, Accounts};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

pub struct SystemAccounts;

impl Accounts for SystemAccounts {
    fn user(&self, name: &str) -> Option<Account> {
        if let Some(number) = name.strip_prefix('#') {
            return id(number).map(user_by_id);
        }
        let name = CString::new(name).ok()?;
        // SAFETY: the name is a C string; configuration is read by one thread, so no other asks
        // the database while the result is copied.
        account(unsafe { libc::getpwnam(name.as_ptr()) })
    }

    fn group(&self, name: &str) -> Option<u32> {
        if let Some(number) = name.strip_prefix('#') {
            return id(number);
        }
        let name = CString::new(name).ok()?;
        // SAFETY: as in `user`.
        let entry = unsafe { libc::getgrnam(name.as_ptr()) };
        // SAFETY: an entry that was found stays valid until the next question.
        (!entry.is_null()).then(|| unsafe { (*entry).gr_gid })
    }

    fn running_as_root(&self) -> bool {
        effective_ids().0 == 0
    }

    fn httpd_user(&self) -> Account {
        if !self.running_as_root() {
            return user_by_id(effective_ids().0);
        }
        let (uid, gid) = httpd_ids();
        Account { gid, ..user_by_id(uid) }
    }
}

/// A uid or gid. The highest number is none: system calls take it as "leave it as it is".
fn id(digits: &str) -> Option<u32> {
    digits.parse().ok().filter(|id| *id != u32::MAX)
}

pub fn effective_ids() -> (u32, u32) {
    // SAFETY: take nothing, cannot fail.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// An account that may have no entry: then it has a number only.
fn user_by_id(uid: u32) -> Account {
    // SAFETY: as in `user`.
    let entry = account(unsafe { libc::getpwuid(uid) });
    entry.unwrap_or_else(|| Account { uid, gid: uid, name: String::new(), home: PathBuf::from("/") })
}

fn account(entry: *const libc::passwd) -> Option<Account> {
    if entry.is_null() {
        return None;
    }
    // SAFETY: an entry that was found stays valid until the next question.
    let entry = unsafe { &*entry };
    Some(Account {
        uid: entry.pw_uid,
        gid: entry.pw_gid,
        name: String::from_utf8_lossy(bytes(entry, entry.pw_name)?).into_owned(),
        home: PathBuf::from(OsStr::from_bytes(bytes(entry, entry.pw_dir)?)),
    })
}
