//! The system's user database, and the user that httpd's children run as.
//!
//! Runs in the httpd parent while it reads its configuration and starts its processes, in its children for
//! `.htaccess` files, and in the supervisor just after its fork.

use super::server::httpd_ids;
use crate::config::options::{Account, Accounts};
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use std::ffi::CString;
use std::path::PathBuf;

pub struct SystemAccounts;

impl Accounts for SystemAccounts {
    fn user(&self, name: &str) -> Option<Account> {
        if let Some(number) = name.strip_prefix('#') {
            return id(number).map(user_by_id);
        }
        User::from_name(name).ok().flatten().map(account)
    }

    fn group(&self, name: &str) -> Option<u32> {
        if let Some(number) = name.strip_prefix('#') {
            return id(number);
        }
        Some(Group::from_name(name).ok()??.gid.as_raw())
    }

    fn groups_of(&self, user_name: &str, gid: u32) -> Vec<u32> {
        let gid = Gid::from_raw(gid);
        let groups = CString::new(user_name).ok().filter(|name| !name.is_empty());
        let groups = groups.and_then(|name| getgrouplist(&name, gid).ok());
        groups.unwrap_or_else(|| vec![gid]).into_iter().map(Gid::as_raw).collect()
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
    (Uid::effective().as_raw(), Gid::effective().as_raw())
}

/// An account that may have no entry: then it has a number only.
fn user_by_id(uid: u32) -> Account {
    let entry = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(account);
    entry.unwrap_or_else(|| Account { uid, gid: uid, name: String::new(), home: PathBuf::from("/") })
}

fn account(entry: User) -> Account {
    Account { uid: entry.uid.as_raw(), gid: entry.gid.as_raw(), name: entry.name, home: entry.dir }
}
