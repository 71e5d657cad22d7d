//! Who a process is, and what it may use: user, groups, limits, priority.
//!
//! Called by `supervisor::privileges` in the forked child, between fork and exec, where there is one
//! thread only. The setters do one call each; that they had their effect is verified by the caller.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::ptr;

use super::call::check;

/// Real, effective and saved ids of the calling process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    pub users: [u32; 3],
    pub groups: [u32; 3],
}

impl Ids {
    pub fn current() -> io::Result<Ids> {
        let (mut users, mut groups) = ([0; 3], [0; 3]);
        let [real, effective, saved] = &mut users;
        // SAFETY: three writable integers.
        check(unsafe { libc::getresuid(&raw mut *real, &raw mut *effective, &raw mut *saved) })?;
        let [real, effective, saved] = &mut groups;
        // SAFETY: three writable integers.
        check(unsafe { libc::getresgid(&raw mut *real, &raw mut *effective, &raw mut *saved) })?;
        Ok(Ids { users, groups })
    }
}

/// All groups that the user database puts this user into, `gid` among them.
pub fn groups_of_user(user_name: &str, gid: u32) -> io::Result<Vec<u32>> {
    let name = CString::new(user_name)?;
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let mut count = groups.len() as libc::c_int;
        let start = groups.as_mut_ptr();
        // SAFETY: `groups` has room for `count` ids, and the name is a C string.
        let found = unsafe { libc::getgrouplist(name.as_ptr(), gid, start, &raw mut count) };
        if found >= 0 {
            groups.truncate(count as usize);
            return Ok(groups);
        }
        if count as usize <= groups.len() || count > 65_536 {
            return Err(io::Error::other("the user's groups cannot be read"));
        }
        groups.resize(count as usize, 0);
    }
}

/// The supplementary groups of the calling process.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the slice has as many ids as the call is told.
    check(unsafe { libc::setgroups(groups.len() as _, groups.as_ptr()) })?;
    Ok(())
}

pub fn current_groups() -> io::Result<Vec<u32>> {
    // SAFETY: asked for the number only, the call writes nothing.
    let count = check(unsafe { libc::getgroups(0, ptr::null_mut()) })?;
    let mut groups: Vec<libc::gid_t> = vec![0; count as usize];
    // SAFETY: there is room for `count` ids.
    let count = check(unsafe { libc::getgroups(count, groups.as_mut_ptr()) })?;
    groups.truncate(count as usize);
    Ok(groups)
}

/// Real, effective and saved group.
pub fn set_gids(gid: u32) -> io::Result<()> {
    // SAFETY: takes three integers.
    check(unsafe { libc::setresgid(gid, gid, gid) })?;
    Ok(())
}

/// Real, effective and saved user: after this there is no way back.
pub fn set_uids(uid: u32) -> io::Result<()> {
    // SAFETY: takes three integers.
    check(unsafe { libc::setresuid(uid, uid, uid) })?;
    Ok(())
}

/// What the kernel can be told to limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Data,
    AddressSpace,
    Descriptors,
    /// In seconds.
    CpuTime,
}

pub fn limit_resource(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the limits are read during the call only.
    check(unsafe { libc::setrlimit(number(resource), &raw const limit) })?;
    Ok(())
}

/// The limits in force, soft and hard.
pub fn resource_limit(resource: Resource) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limits are writable and outlive the call.
    check(unsafe { libc::getrlimit(number(resource), &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

fn number(resource: Resource) -> libc::__rlimit_resource_t {
    match resource {
        Resource::Data => libc::RLIMIT_DATA,
        Resource::AddressSpace => libc::RLIMIT_AS,
        Resource::Descriptors => libc::RLIMIT_NOFILE,
        Resource::CpuTime => libc::RLIMIT_CPU,
    }
}

/// The nice value of the calling process.
pub fn set_priority(nice: i32) -> io::Result<()> {
    // SAFETY: takes three integers; 0 is the calling process.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })?;
    Ok(())
}

pub fn priority() -> i32 {
    // SAFETY: takes two integers; 0 is the calling process, for which it cannot fail.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_in_his_own_group() {
        assert!(groups_of_user("root", 4711).unwrap().contains(&4711));
        assert!(groups_of_user("with\0nul", 1).is_err());
    }

    #[test]
    fn ids_limits_and_priority_can_be_read() {
        let ids = Ids::current().unwrap();
        assert_eq!(ids.users[0], ids.users[2]);
        assert!(resource_limit(Resource::Data).unwrap().0 > 0);
        assert!((-20..20).contains(&priority()));
        assert!(current_groups().is_ok());
    }
}
