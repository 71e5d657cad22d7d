//! Namespaces of mounts: what some processes see at a path, and all others do not.
//!
//! `control::walls` has one made by a process of its own, below the httpd parent, and a process that is to be
//! a daemon enters it (`spawn::privileges`). All of it needs CAP_SYS_ADMIN.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use rustix::fs::CWD;
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags};
use rustix::process::{Pid, WaitOptions};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::call::retry;
use super::descriptor::readable;
use super::process::{exit_now, kill};
use super::socket::{receive_with_fd, send_all, send_with_fd, seqpacket_pair};

/// The text of a failure is cut after so many bytes.
const LONGEST_TEXT: usize = 4096;

/// Why there is no namespace.
pub enum NoNamespace {
    System(io::Error),
    /// What `prepare` said.
    Prepare(String),
    /// The process took too long, as on a file system that does not answer.
    Stuck,
}

impl From<io::Error> for NoNamespace {
    fn from(error: io::Error) -> Self {
        NoNamespace::System(error)
    }
}

/// A new namespace as `prepare` leaves it, for which it has so long. It lives as long as this descriptor or a
/// process in it. The calling process has one thread, and stays where it is.
pub fn mount_namespace(
    longest: Duration,
    prepare: impl FnOnce() -> Result<(), String>,
) -> Result<OwnedFd, NoNamespace> {
    let (ours, theirs) = seqpacket_pair()?;
    // SAFETY: there is one thread, so the child may go on as an ordinary program; it ends within this function.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            let _ = catch_unwind(AssertUnwindSafe(|| answer(theirs.as_fd(), new_namespace(prepare))));
            exit_now(0)
        }
        pid => {
            drop(theirs);
            let answered = readable(ours.as_fd(), Some(longest)).unwrap_or(false);
            let made = if answered { received(ours.as_fd()) } else { Err(NoNamespace::Stuck) };
            // One that hangs in the kernel ends when it can, and httpd sees to it then.
            let wait = if answered { WaitOptions::empty() } else { WaitOptions::NOHANG };
            if !answered {
                let _ = kill(pid, libc::SIGKILL);
            }
            let _ = retry(|| rustix::process::waitpid(Pid::from_raw(pid), wait));
            made
        }
    }
}

fn new_namespace(prepare: impl FnOnce() -> Result<(), String>) -> Result<File, NoNamespace> {
    // SAFETY: nothing but the namespace of mounts is no longer shared; no descriptor changes.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.map_err(io::Error::from)?;
    // What is mounted outside later is seen here too, and never the other way round.
    let receives = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", receives).map_err(io::Error::from)?;
    let namespace = File::open(NAMESPACE)?;
    prepare().map_err(NoNamespace::Prepare)?;
    Ok(namespace)
}

const NAMESPACE: &str = "/proc/self/ns/mnt";

fn answer(socket: BorrowedFd<'_>, made: Result<File, NoNamespace>) -> io::Result<()> {
    match made {
        Ok(namespace) => send_with_fd(socket, b"P", namespace.as_fd()),
        Err(NoNamespace::Prepare(text)) => {
            let text = &text.as_bytes()[..text.len().min(LONGEST_TEXT)];
            send_all(socket, &mut [io::IoSlice::new(&[b"P", text].concat())])
        }
        Err(NoNamespace::System(error)) => {
            let number = error.raw_os_error().unwrap_or(libc::EIO).to_string();
            send_all(socket, &mut [io::IoSlice::new(&[b"S", number.as_bytes()].concat())])
        }
        Err(NoNamespace::Stuck) => Ok(()),
    }
}

fn received(socket: BorrowedFd<'_>) -> Result<OwnedFd, NoNamespace> {
    let mut buffer = [0; LONGEST_TEXT + 1];
    let (size, namespace) = receive_with_fd(socket, &mut buffer)?;
    let text = String::from_utf8_lossy(buffer.get(1..size).unwrap_or_default()).into_owned();
    match (namespace, buffer[0]) {
        (Some(namespace), b'P') => Ok(namespace),
        (None, b'P') => Err(NoNamespace::Prepare(text)),
        (_, b'S') => Err(io::Error::from_raw_os_error(text.parse().unwrap_or(libc::EIO)).into()),
        // It has ended without a word.
        _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}

/// The calling process, which has one thread, is in that namespace from now on, at its root.
pub fn enter_mount_namespace(namespace: BorrowedFd<'_>) -> io::Result<()> {
    let kind = Some(LinkNameSpaceType::Mount);
    Ok(rustix::thread::move_into_link_name_space(namespace, kind)?)
}

/// Whether the calling process is in that namespace.
pub fn is_in_mount_namespace(namespace: BorrowedFd<'_>) -> io::Result<bool> {
    let (own, other) = (std::fs::metadata(NAMESPACE)?, rustix::fs::fstat(namespace)?);
    Ok((own.dev(), own.ino()) == (other.st_dev, other.st_ino))
}

/// An empty directory in memory takes the place of this one.
pub fn mount_memory(place: &Path, options: &CStr, read_only: bool) -> io::Result<()> {
    let read_only = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
    let flags = MountFlags::NOSUID | MountFlags::NODEV | read_only;
    Ok(rustix::mount::mount("tmpfs", place, "tmpfs", flags, options)?)
}

/// What is at one path is at the other too, with all that is mounted below.
pub fn mount_again(what: &Path, place: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_bind_recursive(what, place)?)
}

/// What is at this path, with all that is mounted below, to be attached where it is hidden otherwise.
pub fn detached_tree(path: &Path) -> io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    Ok(rustix::mount::open_tree(CWD, path, flags)?)
}

pub fn attach_tree(tree: BorrowedFd<'_>, place: &Path) -> io::Result<()> {
    Ok(rustix::mount::move_mount(tree, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Makes what is mounted here read-only, `with_all_below` also what is mounted below. What is mounted there
/// later, elsewhere, is not seen here. An error on kernels before 5.12.
pub fn make_read_only(place: &Path, with_all_below: bool) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    let place =
        rustix::fs::openat(CWD, place, rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, 0.into())?;
    let below = if with_all_below { libc::AT_RECURSIVE } else { 0 };
    let flags = libc::AT_EMPTY_PATH | below;
    let (size, attributes) = (size_of::<libc::mount_attr>(), &raw const attributes);
    let (place, path) = (place.as_raw_fd(), c"".as_ptr());
    // SAFETY: path and attributes are valid, and the kernel reads `size` bytes of the latter. (Neither rustix
    // nor nix has this call.)
    Errno::result(unsafe { libc::syscall(libc::SYS_mount_setattr, place, path, flags, attributes, size) })?;
    Ok(())
}

/// Whether nothing can be written through what is mounted at this path.
pub fn is_read_only(place: &Path) -> io::Result<bool> {
    let found = rustix::fs::statvfs(place)?;
    Ok(found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}
