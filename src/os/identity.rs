//! Who a process is, and what it may use: user, groups, limits, priority.
//!
//! `spawn::privileges` calls the setters in the forked child, between fork and exec, where there is one
//! thread only, and verifies that they had their effect. The httpd parent uses the limits for itself
//! (`hooks::descriptors`). Users and groups are set through the C library, since the kernel's own calls
//! change one thread only. `FileRights` are each thread's own; the process that takes them has one thread.

use std::ffi::CString;
use std::io;

use nix::sys::resource::{self, getrlimit, setrlimit};
use nix::unistd::{self, Gid, Uid};

use super::fault::gate;
use super::process::die_with_parent;

/// Real, effective and saved ids of the calling process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    pub users: [u32; 3],
    pub groups: [u32; 3],
}

impl Ids {
    pub fn current() -> io::Result<Ids> {
        let (users, groups) = (unistd::getresuid()?, unistd::getresgid()?);
        Ok(Ids {
            users: [users.real, users.effective, users.saved].map(Uid::as_raw),
            groups: [groups.real, groups.effective, groups.saved].map(Gid::as_raw),
        })
    }
}

/// All groups that the user database puts this user into, `gid` among them.
pub fn groups_of_user(user_name: &str, gid: u32) -> io::Result<Vec<u32>> {
    let groups = unistd::getgrouplist(&CString::new(user_name)?, Gid::from_raw(gid))
        .map_err(|_| io::Error::other("the user's groups cannot be read"))?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

/// Gives the calling process these supplementary groups, and no others.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    gate("setgroups")?;
    Ok(unistd::setgroups(&groups)?)
}

/// The supplementary groups that the calling process has, in no order.
pub fn current_groups() -> io::Result<Vec<u32>> {
    Ok(unistd::getgroups()?.into_iter().map(Gid::as_raw).collect())
}

/// Sets the real, effective and saved group.
pub fn set_gids(gid: u32) -> io::Result<()> {
    gate("setresgid")?;
    let gid = Gid::from_raw(gid);
    Ok(unistd::setresgid(gid, gid, gid)?)
}

/// Sets the real, effective and saved user: after this there is no way back.
pub fn set_uids(uid: u32) -> io::Result<()> {
    gate("setresuid")?;
    let uid = Uid::from_raw(uid);
    Ok(unistd::setresuid(uid, uid, uid)?)
}

/// Whose rights count when a process looks at files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRights {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

impl FileRights {
    /// From now on the calling process looks at files with these rights. Root's other powers are kept, so that
    /// there is a way back. The process ends with its parent, which a change of rights cancels.
    pub fn take(&self) -> io::Result<()> {
        set_groups(&self.groups)?;
        let (user, group) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        // They answer with what was before, and so the second call says whether the first had its effect.
        unistd::setfsgid(group);
        unistd::setfsuid(user);
        if (unistd::setfsuid(user), unistd::setfsgid(group)) == (user, group) {
            return die_with_parent(libc::SIGKILL);
        }
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// What the kernel can be told to limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// In bytes.
    Data,
    /// In bytes.
    AddressSpace,
    /// The highest number of a descriptor, plus one.
    Descriptors,
    /// In seconds.
    CpuTime,
    /// Processes and threads of the real user.
    Processes,
}

/// Sets both limits of the calling process.
pub fn limit_resource(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    gate("setrlimit")?;
    Ok(setrlimit(limited(resource), soft, hard)?)
}

/// The limits in force, soft and hard; `u64::MAX` is no limit.
pub fn resource_limit(resource: Resource) -> io::Result<(u64, u64)> {
    gate("getrlimit")?;
    Ok(getrlimit(limited(resource))?)
}

fn limited(resource: Resource) -> resource::Resource {
    match resource {
        Resource::Data => resource::Resource::RLIMIT_DATA,
        Resource::AddressSpace => resource::Resource::RLIMIT_AS,
        Resource::Descriptors => resource::Resource::RLIMIT_NOFILE,
        Resource::CpuTime => resource::Resource::RLIMIT_CPU,
        Resource::Processes => resource::Resource::RLIMIT_NPROC,
    }
}

/// Sets the nice value of the calling process, within -20 and 19.
pub fn set_priority(nice: i32) -> io::Result<()> {
    gate("setpriority")?;
    Ok(rustix::process::setpriority_process(None, nice)?)
}

/// The nice value of the calling process.
pub fn priority() -> io::Result<i32> {
    Ok(rustix::process::getpriority_process(None)?)
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
    fn rights_to_files_come_and_go() {
        let groups = current_groups().unwrap();
        let Ids { users, groups: [_, gid, _] } = Ids::current().unwrap();
        if users[1] != 0 {
            return;
        }
        let file = std::env::temp_dir().join(format!("wsgi-rights-{}", std::process::id()));
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let pid = crate::os::fork_for_test(|| {
            FileRights { uid: 65534, gid: 65534, groups: vec![65534] }.take().unwrap();
            let denied = std::fs::File::open(&file).unwrap_err();
            assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
            FileRights { uid: 0, gid, groups: groups.clone() }.take().unwrap();
            std::fs::File::open(&file).unwrap();
            assert_eq!(current_groups().unwrap(), groups);
        });
        assert_eq!(crate::os::wait_for_test(pid), crate::os::Exit::Status(0));
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn ids_limits_and_priority_can_be_read() {
        let ids = Ids::current().unwrap();
        assert_eq!(ids.users[0], ids.users[2]);
        assert!(resource_limit(Resource::Data).unwrap().0 > 0);
        assert!((-20..20).contains(&priority().unwrap()));
        assert!(current_groups().is_ok());
    }
}
