//! Pipes, anonymous memory, event counters, flags of descriptors, and waiting for some of them.
//!
//! Used in every process. Everything made here is close-on-exec; what a daemon shall inherit is put in
//! its place by `place_descriptor` between fork and exec.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fs::OpenOptions;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::call::{check, check_size, milliseconds, retry};

/// Takes ownership of a descriptor that a system call has just made.
pub(super) fn owned(returned: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(returned)?;
    // SAFETY: the kernel has just returned this descriptor, so it is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes ownership of a descriptor known by its number: inherited over exec, or kept by httpd across
/// a restart. The caller is the only one who does so; a number that is not open is an error.
pub fn adopt_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD only looks the number up and fails if it is not open.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    check(flags)?;
    owned(number)
}

/// A file as a place in the file system, to be reached by `descriptor_path` whatever becomes of its name.
pub fn open_place(path: &Path) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    Ok(OpenOptions::new().read(true).custom_flags(flags).open(path)?.into())
}

/// Another name of what is open there, for this process.
pub fn descriptor_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// A descriptor of our own for the file that a number of the application's stands for.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC fails on a number that is not open, and its result is nobody else's.
    owned(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) })
}

/// Whether the other end of a stream socket has closed, or will send no more.
pub fn has_hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut entry = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one entry, which outlives the call; it does not wait.
    let ready = unsafe { libc::poll(&raw mut entry, 1, 0) };
    ready > 0 && entry.revents & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0
}

pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// A pipe that keeps messages of up to PIPE_BUF bytes apart; its reader is non-blocking. Other than on a
/// socket no descriptors come through it, which the reader would have to close, however long that takes.
pub fn message_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: there is room for the two descriptors.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_DIRECT) })?;
    let (reader, writer) = (owned(ends[0])?, owned(ends[1])?);
    set_nonblocking(reader.as_fd(), true)?;
    // SAFETY: takes an integer. Where the system allows no more, sixteen messages have room.
    unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, MESSAGES) };
    Ok((reader, writer))
}

/// Each of up to 256 messages has a page.
const MESSAGES: libc::c_int = 1 << 20;

/// Anonymous shared memory of this size, all zero.
pub fn memfd(name: &CStr, size: u64) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a C string that outlives the call.
    let fd = owned(unsafe { libc::memfd_create(name.as_ptr(), flags) })?;
    let file = std::fs::File::from(fd);
    file.set_len(size)?;
    Ok(file.into())
}

/// Makes the size of a memfd final: nobody who holds it can make a mapping of it fault.
pub fn seal_size(memory: BorrowedFd<'_>) -> io::Result<()> {
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: F_ADD_SEALS takes an integer and touches no memory of ours.
    check(unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    Ok(())
}

/// A counter that wakes whoever waits for it; non-blocking.
pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes two integers, returns a descriptor.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

/// Wakes the waiters of an eventfd.
pub fn event(counter: BorrowedFd<'_>) -> io::Result<()> {
    let one = 1u64.to_ne_bytes();
    // SAFETY: the buffer is eight readable bytes, and that many are written.
    check_size(unsafe { libc::write(counter.as_raw_fd(), one.as_ptr().cast(), one.len()) })?;
    Ok(())
}

/// Makes an event unreadable until the next `event`.
pub fn clear_event(counter: BorrowedFd<'_>) {
    let mut value = 0u64;
    let size = size_of::<u64>();
    // SAFETY: the buffer has the eight bytes that reading an eventfd writes; it never waits.
    unsafe { libc::read(counter.as_raw_fd(), (&raw mut value).cast(), size) };
}

pub fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    // SAFETY: F_GETFL takes no argument.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    let flags = if nonblocking { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
    // SAFETY: F_SETFL takes an integer.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) })?;
    Ok(())
}

pub fn set_close_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_SETFD takes an integer.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    Ok(())
}

/// A copy, close-on-exec, whose number is at least this.
pub fn duplicate_above(fd: BorrowedFd<'_>, minimum: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer and returns a new descriptor.
    owned(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, minimum) })
}

/// Makes `number` a copy of `fd` that stays open over exec; what was there before is closed. For
/// the forked child only, and for a `fd` above all numbers that are given away.
pub fn place_descriptor(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: takes two descriptor numbers; the copy has close-on-exec off.
    retry(|| check(unsafe { libc::dup2(fd.as_raw_fd(), number) }))?;
    Ok(())
}

/// Marks every descriptor from `first` upwards close-on-exec.
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    let range = (first as libc::c_uint, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int);
    // SAFETY: takes three integers; with this flag no descriptor is closed.
    let done = unsafe { libc::syscall(libc::SYS_close_range, range.0, range.1, range.2) };
    if done == 0 {
        return Ok(());
    }
    // Kernels before 5.11 lack the call or the flag, and some containers forbid it.
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        if let Some(number) = number.filter(|number| *number >= first) {
            // SAFETY: F_SETFD takes an integer; a number that is no longer open only fails.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// One descriptor to wait for.
#[repr(transparent)]
pub struct PollFd<'fd> {
    raw: libc::pollfd,
    fd: PhantomData<BorrowedFd<'fd>>,
}

impl<'fd> PollFd<'fd> {
    pub fn reading(fd: BorrowedFd<'fd>) -> Self {
        let raw = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        PollFd { raw, fd: PhantomData }
    }

    fn writing(fd: BorrowedFd<'fd>) -> Self {
        let raw = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        PollFd { raw, fd: PhantomData }
    }

    /// Whether anything at all is to be seen to.
    pub fn is_ready(&self) -> bool {
        self.raw.revents != 0
    }
}

/// Waits until one of these is ready; the number of those that are, 0 when the time is over.
pub fn poll(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    let (count, wait) = (fds.len() as libc::nfds_t, milliseconds(timeout));
    // SAFETY: PollFd is a transparent pollfd, the slice has `count` of them and outlives the call.
    let ready = unsafe { libc::poll(fds.as_mut_ptr().cast::<libc::pollfd>(), count, wait) };
    match check(ready) {
        Ok(ready) => Ok(ready as usize),
        // A signal is no error for a caller that looks at its timers after every wait.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(error),
    }
}

/// Whether there is something to read (or an end of file to see) within the time.
pub fn readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    ready(PollFd::reading(fd), timeout)
}

/// Whether there is room to write (or nobody who would read) within the time.
pub fn writable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    ready(PollFd::writing(fd), timeout)
}

fn ready(fd: PollFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    let mut fds = [fd];
    let deadline = timeout.map(|timeout| std::time::Instant::now() + timeout);
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(std::time::Instant::now()));
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
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_pipe_is_readable_once_written_and_at_its_end() {
        let (reader, writer) = pipe().unwrap();
        assert!(!readable(reader.as_fd(), Some(Duration::from_millis(1))).unwrap());
        drop(writer);
        assert!(readable(reader.as_fd(), None).unwrap());
    }

    #[test]
    fn a_sealed_memfd_keeps_its_size() {
        let memory = memfd(c"test", 4096).unwrap();
        seal_size(memory.as_fd()).unwrap();
        let file = std::fs::File::from(memory);
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
        assert!(adopt_descriptor(987_654).is_err());
    }
}
