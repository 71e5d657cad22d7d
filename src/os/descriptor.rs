//! Pipes, anonymous memory, event counters, flags of descriptors, and waiting for some of them.
//!
//! Every process uses it. What is made here is close-on-exec; `place_descriptor` puts what a daemon inherits
//! in its place between fork and exec.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::slice;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use rustix::event::{EventfdFlags, PollFlags};
use rustix::fs::{AtFlags, MemfdFlags, OFlags, SealFlags, Uid};
use rustix::io::FdFlags;
use rustix::pipe::PipeFlags;
use rustix::rand::GetRandomFlags;

use super::call::{retry, timespec, unless_it_would_block};
use super::fault::gate;

/// Gives one system call a number that may not be open: the call then fails with EBADF.
pub(super) fn look_up<T>(
    number: RawFd,
    call: impl FnOnce(BorrowedFd<'_>) -> rustix::io::Result<T>,
) -> io::Result<T> {
    if number < 0 {
        return Err(Errno::EBADF.into());
    }
    // SAFETY: the callers, all in `os`, make one system call with it, for which the kernel looks the number
    // up; it is not -1.
    Ok(call(unsafe { BorrowedFd::borrow_raw(number) })?)
}

/// Takes ownership of a descriptor known by its number: one inherited over exec, or kept by httpd across a
/// restart. The caller is the only one that does so; EBADF for a number that is not open.
pub fn adopt_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    gate("fcntl_getfd")?;
    look_up(number, |fd| rustix::io::fcntl_getfd(fd))?;
    // SAFETY: the number is open, and this process has no other owner of it, as the caller says.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A file as a place in the file system; `descriptor_path` leads to it even when its name is gone.
pub fn open_place(path: &Path) -> io::Result<OwnedFd> {
    gate("open_place")?;
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    Ok(OpenOptions::new().read(true).custom_flags(flags).open(path)?.into())
}

/// Opens a regular file to read it, and nothing else: a site's owner may put a pipe or a device in its place at
/// any moment. Opening one of those would wake who waits for it, or wait itself; so it is looked at as a place
/// first, and only what was looked at is opened.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let place = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)?;
    if !place.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(descriptor_path(place.as_fd()))
}

/// Gives the file that is open there, as a place or otherwise, to this user.
pub fn give_to(fd: BorrowedFd<'_>, uid: u32) -> io::Result<()> {
    Ok(rustix::fs::chownat(fd, "", Some(Uid::from_raw(uid)), None, AtFlags::EMPTY_PATH)?)
}

/// Fills it with what cannot be guessed; at the start of a machine it may have to wait.
pub fn fill_with_random(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        filled += retry(|| rustix::rand::getrandom(&mut bytes[filled..], GetRandomFlags::empty()))?;
    }
    Ok(())
}

/// Another name, for this process, of the file that is open there.
pub fn descriptor_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// A descriptor of this module's own, above 2, for the file behind a number of the application's.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    gate("fcntl_dupfd")?;
    look_up(number, |fd| rustix::io::fcntl_dupfd_cloexec(fd, 3))
}

/// Whether the other end of a stream socket has closed, or will send no more. Does not wait.
pub fn has_hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut entry = [PollFd::waiting(socket, PollFlags::RDHUP)];
    matches!(poll(&mut entry, Some(Duration::ZERO)), Ok(1..))
        && entry[0].0.revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
}

/// What has come through a pipe that is non-blocking; 0 at its end, None when there is nothing yet.
pub fn read_now(pipe: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    unless_it_would_block(retry(|| gate("read").and_then(|()| rustix::io::read(pipe, &mut *buffer))))
}

/// Writes as much to a pipe that is non-blocking as there is room for; `WouldBlock` if that is nothing.
pub fn write_now(pipe: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    retry(|| gate("write").and_then(|()| rustix::io::write(pipe, bytes)))
}

/// The ends of a new pipe: reader, writer.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    gate("pipe")?;
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// A pipe that keeps messages of up to PIPE_BUF bytes apart; its reader is non-blocking. Other than on a
/// socket no descriptors come through it, which the reader would have to close, however long that takes.
pub fn message_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    gate("message_pipe")?;
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT)?;
    set_nonblocking(reader.as_fd(), true)?;
    Ok((reader, writer))
}

/// Makes room in one for many messages; where the system allows no more, there is room for sixteen.
pub fn make_room_for_messages(pipe: BorrowedFd<'_>) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, MESSAGES);
}

/// In bytes: each of up to 256 messages has a page.
const MESSAGES: usize = 1 << 20;

/// Anonymous shared memory of this size in bytes, all zero.
pub fn memfd(name: &CStr, size: u64) -> io::Result<OwnedFd> {
    gate("memfd_create")?;
    let file = File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    gate("ftruncate")?;
    file.set_len(size)?;
    Ok(file.into())
}

/// Makes the size of a memfd final: no process that holds it can make a mapping of it fault.
pub fn seal_size(memory: BorrowedFd<'_>) -> io::Result<()> {
    gate("fcntl_add_seals")?;
    Ok(rustix::fs::fcntl_add_seals(memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?)
}

/// A counter that wakes all processes and threads that wait for it; non-blocking.
pub fn eventfd() -> io::Result<OwnedFd> {
    Ok(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Wakes the waiters of an eventfd.
pub fn event(counter: BorrowedFd<'_>) -> io::Result<()> {
    rustix::io::write(counter, &1u64.to_ne_bytes())?;
    Ok(())
}

/// Makes an event unreadable until the next `event`. Does not wait.
pub fn clear_event(counter: BorrowedFd<'_>) {
    // WouldBlock where there was no event.
    let _ = rustix::io::read(counter, &mut [0u8; 8]);
}

pub fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    gate("fcntl_setfl")?;
    let mut flags = rustix::fs::fcntl_getfl(fd)?;
    flags.set(OFlags::NONBLOCK, nonblocking);
    Ok(rustix::fs::fcntl_setfl(fd, flags)?)
}

/// From now on an exec closes it.
pub fn set_close_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    gate("fcntl_setfd")?;
    Ok(rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)?)
}

/// A copy, close-on-exec, whose number is at least this.
pub fn duplicate_above(fd: BorrowedFd<'_>, minimum: RawFd) -> io::Result<OwnedFd> {
    gate("fcntl_dupfd")?;
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, minimum)?)
}

/// Makes `number` a copy of `fd` that stays open over exec, and closes the file that had this number. The
/// forked child calls it between fork and exec, with a `fd` above all numbers that it gives away.
pub fn place_descriptor(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    gate("dup2")?;
    // SAFETY: the program that is executed owns the numbers that are given away, and this process no more.
    // (rustix takes an `OwnedFd` for the number, which need not be open.)
    retry(|| Errno::result(unsafe { libc::dup2(fd.as_raw_fd(), number) }))?;
    Ok(())
}

/// Marks every descriptor from `first` upwards close-on-exec. The forked child calls it between fork and
/// exec.
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    let range = (first as libc::c_uint, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int);
    // SAFETY: takes three integers; with this flag no descriptor is closed. (rustix and nix have no
    // close_range, and glibc only since 2.34.)
    let done = unsafe { libc::syscall(libc::SYS_close_range, range.0, range.1, range.2) };
    if done == 0 {
        return Ok(());
    }
    // Kernels before 5.11 lack the call or the flag, and some containers forbid it.
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        if let Some(number) = number.filter(|number| *number >= first) {
            // A number that is no longer open only fails.
            let _ = look_up(number, |fd| rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC));
        }
    }
    Ok(())
}

/// Closes every descriptor from `first` upwards, whatever owns it: in a forked process that uses none of its
/// owners any more, and ends without them.
pub fn close_from(first: RawFd) -> io::Result<()> {
    let range = (first as libc::c_uint, libc::c_uint::MAX, 0);
    // SAFETY: takes three integers; the caller uses no descriptor of that range any more.
    if unsafe { libc::syscall(libc::SYS_close_range, range.0, range.1, range.2) } == 0 {
        return Ok(());
    }
    let names = std::fs::read_dir("/proc/self/fd")?.flatten();
    let numbers: Vec<RawFd> = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.into_iter().filter(|number| *number >= first).for_each(|number| drop(adopt_descriptor(number)));
    Ok(())
}

/// One descriptor to wait for.
#[repr(transparent)]
pub struct PollFd<'fd>(rustix::event::PollFd<'fd>);

impl<'fd> PollFd<'fd> {
    /// Waits for something to read, or an end of file.
    pub fn reading(fd: BorrowedFd<'fd>) -> Self {
        Self::waiting(fd, PollFlags::IN)
    }

    /// Waits for room to write, or the end of the reader.
    pub fn writing(fd: BorrowedFd<'fd>) -> Self {
        Self::waiting(fd, PollFlags::OUT)
    }

    /// Waits until no process has the other end of a pipe any more, whatever is in it.
    pub fn hanging_up(fd: BorrowedFd<'fd>) -> Self {
        Self::waiting(fd, PollFlags::empty())
    }

    fn waiting(fd: BorrowedFd<'fd>, events: PollFlags) -> Self {
        PollFd(rustix::event::PollFd::from_borrowed_fd(fd, events))
    }

    /// Whether there is anything to do: an event that was asked for, a hang-up or an error.
    pub fn is_ready(&self) -> bool {
        !self.0.revents().is_empty()
    }
}

/// Waits until one of these is ready; the number of those that are, 0 when the time is over.
pub fn poll(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    // SAFETY: PollFd is transparent, so this is the same slice, borrowed for the call.
    let fds = unsafe { slice::from_raw_parts_mut(fds.as_mut_ptr().cast(), fds.len()) };
    match gate("poll").and_then(|()| rustix::event::poll(fds, timespec(timeout).as_ref())) {
        Ok(ready) => Ok(ready),
        // A signal is no error for a caller that looks at its timers after every wait.
        Err(rustix::io::Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Whether there is something to read (or an end of file to see) within the time.
pub fn readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    ready(PollFd::reading(fd), timeout)
}

/// Whether there is room to write (or no reader any more) within the time.
pub fn writable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    ready(PollFd::waiting(fd, PollFlags::OUT), timeout)
}

fn ready(fd: PollFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    let mut fds = [fd];
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if poll(&mut fds, left)? > 0 {
            return Ok(true);
        }
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_readable_once_written_and_at_its_end() {
        let (reader, writer) = pipe().unwrap();
        assert!(!readable(reader.as_fd(), Some(Duration::from_millis(1))).unwrap());
        drop(writer);
        assert!(readable(reader.as_fd(), None).unwrap());
    }

    #[test]
    fn only_regular_files_are_opened() {
        let folder = std::env::temp_dir().join(format!("wsgi-regular-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let (pipe, link) = (folder.join("pipe"), folder.join("link"));
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for path in [&pipe, &link, &folder, Path::new("/dev/null")] {
            assert!(open_regular(path).unwrap_err().to_string().contains("not a file"));
        }
        let writes = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&pipe);
        assert!(writes.is_err(), "the pipe has no reader");
        std::fs::write(folder.join("file"), "text").unwrap();
        assert_eq!(io::read_to_string(open_regular(&folder.join("file")).unwrap()).unwrap(), "text");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_sealed_memfd_keeps_its_size() {
        let memory = memfd(c"test", 4096).unwrap();
        seal_size(memory.as_fd()).unwrap();
        let file = File::from(memory);
        assert!(file.set_len(1).is_err());
        assert!(file.set_len(8192).is_err());
    }

    #[test]
    fn an_event_wakes() {
        let counter = eventfd().unwrap();
        assert!(!readable(counter.as_fd(), Some(Duration::ZERO)).unwrap());
        event(counter.as_fd()).unwrap();
        assert!(readable(counter.as_fd(), Some(Duration::ZERO)).unwrap());
    }

    #[test]
    fn a_number_that_is_not_open_cannot_be_adopted() {
        assert!(adopt_descriptor(987_654).is_err() && adopt_descriptor(-1).is_err());
    }
}
