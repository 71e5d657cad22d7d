//! How a forked process becomes what its group may be: limits, root directory, groups, user.
//!
//! Runs in the forked child of the supervisor, between fork and exec, called by `spawn`. The
//! order matters: what only root may do comes first, the user last, and what a change of the user cancels
//! comes after it. Each step is looked at again after it was taken; the first that fails ends the child.

use std::env;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{MetadataExt, chroot};
use std::path::Path;

use crate::config::process_group::{Identity, ProcessGroup};
use crate::log::{Code, Message, wording};
use crate::os::{self, FileRights, Ids, Resource};
use crate::site::environment::Rights;

const ROOT: &str = "httpd must be started by root, with CAP_SETUID and CAP_SETGID, for user= and group=";

/// Takes all steps. `httpd_uid` is the user of httpd's children, `supervisor` the parent's pid, `walls` the
/// namespace of mounts that the group has (`control::walls`).
pub fn take_on(
    group: &ProcessGroup,
    httpd_uid: u32,
    supervisor: i32,
    walls: Option<BorrowedFd<'_>>,
) -> Result<(), Message> {
    limits(group)?;
    if let Some(mask) = group.umask {
        os::set_umask(mask);
        step("umask=", "", verify(os::set_umask(mask) == mask))?;
    }
    // The user database is outside the new root.
    let groups = group.identity.as_ref().map(supplementary_groups).transpose()?;
    enter_walls(group, walls)?;
    if let Some(root) = &group.chroot {
        let cure = "the directory must exist, and httpd must be started by root";
        let new = Place::of(root);
        step("chroot=", cure, chroot(root).and_then(|()| env::set_current_dir("/")))?;
        step("chroot=", cure, new.and_then(|new| verify(Place::of(Path::new("/"))? == new)))?;
    }
    // Before the user is changed: it counts as root's, whose quota no site can use up. Where the kernel or a
    // container has no keys, httpd's is out of reach too.
    let _ = os::new_session_keyring();
    if let (Some(identity), Some(groups)) = (&group.identity, groups) {
        become_user(identity, &groups)?;
    }
    if group.no_new_privileges {
        let forbidden = os::forbid_new_privileges().and_then(|()| verify(os::forbids_new_privileges()));
        step("no-new-privileges=", "", forbidden)?;
    }
    // After the change of the user, which cancels it; and the supervisor may have ended before.
    step("parent-death signal", "", os::die_with_parent(libc::SIGKILL))?;
    step("parent-death signal", "", verify(os::parent_pid() == supervisor))?;
    working_directory(group, httpd_uid)
}

/// Only what was built for the group lets it start.
fn enter_walls(group: &ProcessGroup, walls: Option<BorrowedFd<'_>>) -> Result<(), Message> {
    if group.walls.any() {
        let walls = walls.ok_or_else(|| io::ErrorKind::NotFound.into());
        let entered = walls.and_then(|walls| {
            os::enter_mount_namespace(walls)?;
            verify(os::is_in_mount_namespace(walls)?)
        });
        step(group.walls.options(), "httpd must be started by root with CAP_SYS_ADMIN", entered)?;
    }
    Ok(())
}

/// The soft limit of descriptors that httpd was started with. The last step: the supervisor's copies, which
/// end with exec, may have higher numbers, and nothing could be opened beside them any more.
pub fn limit_descriptors(soft: u64) -> Result<(), Message> {
    let set = os::resource_limit(Resource::Descriptors)
        .and_then(|(_, hard)| limit(Resource::Descriptors, soft.min(hard), hard));
    step("limit of descriptors", "", set)
}

fn limits(group: &ProcessGroup) -> Result<(), Message> {
    let cure = "choose a value within the limits of the service that starts httpd";
    if let Some(bytes) = group.memory_limit {
        step("memory-limit=", cure, limit(Resource::Data, bytes, bytes))?;
    }
    if let Some(bytes) = group.virtual_memory_limit {
        step("virtual-memory-limit=", cure, limit(Resource::AddressSpace, bytes, bytes))?;
    }
    if let Some(count) = group.process_limit {
        step("process-limit=", cure, limit(Resource::Processes, count, count))?;
    }
    if let Some(time) = group.limits.cpu_time {
        // After the signal of the first limit the process has the time of a shutdown until the second kills
        // it.
        let first = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        let second = first + 1 + group.shutdown_timeout.as_secs();
        step("cpu-time-limit=", cure, limit(Resource::CpuTime, first, second))?;
    }
    if let Some(nice) = group.cpu_priority {
        let cure = "only root may choose a value below the one that httpd has";
        let set = os::set_priority(nice).and_then(|()| verify(os::priority()? == nice.clamp(-20, 19)));
        step("cpu-priority=", cure, set)?;
        // Beside other sessions only this counts, where the kernel knows it.
        let _ = os::set_session_priority(nice);
    }
    Ok(())
}

fn limit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    os::limit_resource(resource, soft, hard)?;
    verify(os::resource_limit(resource)? == (soft, hard))
}

/// With which the site's places are looked at before the process is the group's user. None where it is that from
/// its beginning.
pub fn rights_to_files(group: &ProcessGroup) -> Result<Option<Rights>, Message> {
    let Some(identity) = &group.identity else { return Ok(None) };
    let groups = supplementary_groups(identity)?;
    let of_root = Ids::current()
        .and_then(|ids| {
            Ok(FileRights { uid: ids.users[1], gid: ids.groups[1], groups: os::current_groups()? })
        })
        .map_err(|error| failed("rights to files", "", &error))?;
    let of_group = FileRights { uid: identity.uid, gid: identity.gid, groups };
    Ok(Some(Rights { of_group, of_root }))
}

pub fn take_rights(rights: &FileRights) -> Result<(), Message> {
    step("rights to files", ROOT, rights.take())
}

fn supplementary_groups(identity: &Identity) -> Result<Vec<u32>, Message> {
    match &identity.supplementary_groups {
        Some(groups) => Ok(groups.clone()),
        None if identity.user_name.is_empty() => Ok(vec![identity.gid]),
        None => os::groups_of_user(&identity.user_name, identity.gid).map_err(|error| {
            failed(&format!("groups of user {}", identity.user_name), "see `id` for this user", &error)
        }),
    }
}

fn become_user(identity: &Identity, groups: &[u32]) -> Result<(), Message> {
    let cure = ROOT;
    let set_groups = os::set_groups(groups).and_then(|()| {
        let (mut wanted, mut got) = (groups.to_vec(), os::current_groups()?);
        wanted.sort_unstable();
        wanted.dedup();
        got.sort_unstable();
        got.dedup();
        verify(got == wanted)
    });
    step("supplementary groups", cure, set_groups)?;
    step("group=", cure, os::set_gids(identity.gid))?;
    step("user=", cure, os::set_uids(identity.uid))?;
    let ids = Ids::current().map_err(|error| failed("user=", cure, &error))?;
    let expected = Ids { users: [identity.uid; 3], groups: [identity.gid; 3] };
    step("user=", cure, verify(ids == expected))?;
    let no_way_back = identity.uid != 0 && os::set_uids(0).is_err();
    step("user=", "the user must not be able to become root again", verify(no_way_back))
}

fn working_directory(group: &ProcessGroup, httpd_uid: u32) -> Result<(), Message> {
    if let Some(home) = &group.home {
        let cure = format!("create {} and let the group's user enter it, or correct home=", home.display());
        return step("home=", &cure, enter(home));
    }
    let other_user = group.identity.as_ref().filter(|identity| identity.uid != httpd_uid);
    let user_home = other_user.map(|identity| identity.user_home.as_path());
    let home = user_home.filter(|home| home.is_absolute()).unwrap_or(Path::new("/"));
    // Many service users have a home that does not exist.
    step("working directory", "", enter(home).or_else(|_| enter(Path::new("/"))))
}

fn enter(directory: &Path) -> io::Result<()> {
    env::set_current_dir(directory)?;
    verify(Place::of(Path::new("."))? == Place::of(directory)?)
}

/// A directory, whatever its name.
#[derive(PartialEq)]
struct Place(u64, u64);

impl Place {
    fn of(directory: &Path) -> io::Result<Place> {
        directory.metadata().map(|found| Place(found.dev(), found.ino()))
    }
}

fn verify(done: bool) -> io::Result<()> {
    if done { Ok(()) } else { Err(io::Error::other("it had no effect")) }
}

fn step(name: &str, cure: &str, result: io::Result<()>) -> Result<(), Message> {
    result.map_err(|error| failed(name, cure, &error))
}

fn failed(name: &str, cure: &str, error: &io::Error) -> Message {
    let cure = if cure.is_empty() { String::new() } else { format!("; {cure}") };
    Message::new(
        Code::StartStepFailed,
        format!("the step '{name}' before the start of Python failed: {}{cure}", wording(error)),
    )
}
