//! Signals, children, parents and last breaths of a process.
//!
//! The supervisor reads signals, reaps and kills; its forked child resets signals on its way to exec.
//! Functions that change the whole process are called while it has one thread only.

#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use super::call::{check, check_size, retry, unless_it_would_block};
use super::descriptor::owned;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Status(i32),
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Exit::Status(status) => write!(f, "ended with exit status {status}"),
            Exit::Signal(signal) => write!(f, "was killed by {}", signal_name(signal)),
        }
    }
}

/// A signal in words, such as `signal 11 (SIGSEGV, segmentation fault)`.
fn signal_name(signal: i32) -> String {
    let known = match signal {
        libc::SIGABRT => "SIGABRT, aborted",
        libc::SIGALRM => "SIGALRM, alarm clock",
        libc::SIGBUS => "SIGBUS, bus error",
        libc::SIGFPE => "SIGFPE, arithmetic error",
        libc::SIGHUP => "SIGHUP, hang-up",
        libc::SIGILL => "SIGILL, illegal instruction",
        libc::SIGINT => "SIGINT, interrupt",
        libc::SIGKILL => "SIGKILL: by an administrator, or by the kernel when memory ran out",
        libc::SIGPIPE => "SIGPIPE, broken pipe",
        libc::SIGQUIT => "SIGQUIT, quit",
        libc::SIGSEGV => "SIGSEGV, segmentation fault",
        libc::SIGSYS => "SIGSYS, forbidden system call",
        libc::SIGTERM => "SIGTERM, termination",
        libc::SIGTRAP => "SIGTRAP, trap",
        libc::SIGXCPU => "SIGXCPU, CPU time limit",
        libc::SIGXFSZ => "SIGXFSZ, file size limit",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({known})")
}

/// The next child that has ended, without waiting.
pub fn reap() -> Option<(i32, Exit)> {
    let mut status = 0;
    // SAFETY: the status is an int that outlives the call.
    let pid = retry(|| check(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) })).ok()?;
    match pid {
        0 => None,
        pid if libc::WIFSIGNALED(status) => Some((pid, Exit::Signal(libc::WTERMSIG(status)))),
        pid => Some((pid, Exit::Status(libc::WEXITSTATUS(status)))),
    }
}

/// Signals of this process as a descriptor to poll.
pub struct SignalFd {
    fd: OwnedFd,
}

impl SignalFd {
    /// Blocks these signals in the calling thread (a fork inherits that, an exec too) and makes them
    /// readable instead.
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let set = block_signals(signals)?;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set was filled by sigemptyset and sigaddset and outlives the call.
        Ok(SignalFd { fd: owned(unsafe { libc::signalfd(-1, &raw const set, flags) })? })
    }

    /// The number of the next signal that has come.
    pub fn next_signal(&self) -> io::Result<Option<i32>> {
        let mut info = mem::MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = mem::size_of::<libc::signalfd_siginfo>();
        let start = info.as_mut_ptr().cast();
        // SAFETY: `info` has `size` writable bytes.
        let read = retry(|| check_size(unsafe { libc::read(self.fd.as_raw_fd(), start, size) }));
        if unless_it_would_block(read)?.is_none() {
            return Ok(None);
        }
        // SAFETY: the structure is integers: all zero before, and filled by the kernel now.
        Ok(Some(unsafe { info.assume_init() }.ssi_signo as i32))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Blocks these signals in the calling thread and the threads it will start.
fn block_signals(signals: &[i32]) -> io::Result<libc::sigset_t> {
    let mut set = empty_set();
    for signal in signals {
        // SAFETY: the set was initialised by sigemptyset.
        check(unsafe { libc::sigaddset(&raw mut set, *signal) })?;
    }
    // SAFETY: the set is initialised, and the old mask is not asked for.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
    if error == 0 { Ok(set) } else { Err(io::Error::from_raw_os_error(error)) }
}

fn empty_set() -> libc::sigset_t {
    let mut set = mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the pointer is to memory of a sigset_t, which the call initialises.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the call above.
    unsafe { set.assume_init() }
}

/// Every signal back to its default, none blocked: what a program expects at its start.
pub fn reset_signals() -> io::Result<()> {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is no handler of ours; numbers that cannot be changed only fail.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // glibc keeps the first real-time signals to itself, and so cannot set them right where they came
    // ignored. The kernel's own sigaction of zeros is SIG_DFL; the last argument is the size of a signal set.
    let default = [0usize; 4];
    for signal in 32..libc::SIGRTMIN() {
        // SAFETY: the structure is read during the call only; no thread is there that would need the signal.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null_mut::<usize>(), 8)
        };
    }
    let set = empty_set();
    // SAFETY: the set is initialised, and the old mask is not asked for.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

pub fn ignore_signal(signal: i32) {
    // SAFETY: SIG_IGN is no handler of ours; a number that cannot be changed only fails.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    if pid <= 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: takes two integers.
    check(unsafe { libc::kill(pid, signal) })?;
    Ok(())
}

/// Bytes of memory that the process has in use; None if it has gone.
pub fn resident_memory(pid: i32) -> Option<u64> {
    let [kilobytes] = status(pid, ["VmRSS:"])?;
    Some(kilobytes * 1024)
}

/// Processes whose parents end become this one's children.
pub fn adopt_orphans() -> io::Result<()> {
    process_control(libc::PR_SET_CHILD_SUBREAPER, 1)
}

/// Parent and real user of a process; None if it has gone.
pub fn parent_and_user(pid: i32) -> Option<(i32, u32)> {
    let [parent, user] = status(pid, ["PPid:", "Uid:"])?;
    Some((i32::try_from(parent).ok()?, u32::try_from(user).ok()?))
}

/// The first number behind each of these names in /proc.
fn status<const N: usize>(pid: i32, names: [&str; N]) -> Option<[u64; N]> {
    // The name in it may be cut in the middle of a character.
    let text = std::fs::read(format!("/proc/{pid}/status")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let number = |name| {
        let field = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        field.and_then(|field| field.parse().ok())
    };
    let found: Option<Vec<u64>> = names.into_iter().map(number).collect();
    found?.try_into().ok()
}

/// A descriptor that becomes readable when the process ends; an error on kernels before 5.3.
pub fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes two integers, returns a close-on-exec descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    owned(libc::c_int::try_from(fd).unwrap_or(-1))
}

pub fn parent_pid() -> i32 {
    std::os::unix::process::parent_id() as i32
}

/// Out of the terminal's reach: its Ctrl-C is for httpd alone.
pub fn new_session() -> io::Result<()> {
    // SAFETY: takes nothing.
    check(unsafe { libc::setsid() })?;
    Ok(())
}

/// Ends the process without running what httpd or a library registered for its end.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: takes an integer and does not return.
    unsafe { libc::_exit(status) }
}

/// The previous umask.
pub fn set_umask(mask: u32) -> u32 {
    // SAFETY: takes an integer and cannot fail.
    unsafe { libc::umask(mask as libc::mode_t) as u32 }
}

/// No program that this process or its children execute can raise its privileges any more.
pub fn forbid_new_privileges() -> io::Result<()> {
    process_control(libc::PR_SET_NO_NEW_PRIVS, 1)
}

pub fn forbids_new_privileges() -> bool {
    // SAFETY: takes integers and returns one.
    unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 }
}

/// Has the kernel send this signal when the parent ends. Changing the uid cancels it, so it comes
/// after; and a parent that ended before is to be seen by `parent_pid`.
pub fn die_with_parent(signal: i32) -> io::Result<()> {
    process_control(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong)
}

/// The next process that is forked here is ended with this one; but not what it forks itself, for which its
/// own end is no reason to end. This comes before the at-fork functions of Python, in which a process can get
/// stuck.
pub fn die_with_parent_after_next_fork() {
    static REGISTERED: Once = Once::new();
    static NEXT: AtomicBool = AtomicBool::new(false);
    extern "C" fn in_parent() {
        NEXT.store(false, Ordering::Relaxed);
    }
    extern "C" fn in_child() {
        if NEXT.swap(false, Ordering::Relaxed) {
            // It cannot fail with a signal that exists.
            let _ = die_with_parent(libc::SIGKILL);
        }
    }
    REGISTERED.call_once(|| {
        // SAFETY: an atomic and one system call, which are allowed in a child of whatever process.
        unsafe { libc::pthread_atfork(None, Some(in_parent), Some(in_child)) };
    });
    NEXT.store(true, Ordering::Relaxed);
}

fn process_control(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let none: libc::c_ulong = 0;
    // SAFETY: the options that come here take integers only.
    check(unsafe { libc::prctl(option, value, none, none, none) })?;
    Ok(())
}

/// Runs this in a process of its own, whose pid is returned: for tests of what changes a whole process.
#[cfg(test)]
pub fn fork_for_test(run: impl FnOnce()) -> i32 {
    // SAFETY: glibc makes its allocator usable in the child; the tests use nothing else that a thread
    // of the test runner could have locked.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        exit_now(i32::from(run.is_err()));
    }
    check(pid).unwrap()
}

/// Waits for one child, and leaves those of other tests alone.
#[cfg(test)]
pub fn wait_for_test(pid: i32) -> Exit {
    let mut status = 0;
    // SAFETY: the status is an int that outlives the call.
    retry(|| check(unsafe { libc::waitpid(pid, &raw mut status, 0) })).unwrap();
    if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Status(libc::WEXITSTATUS(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_and_children_reaped() {
        let pid = fork_for_test(|| {
            let signals = SignalFd::new(&[libc::SIGCHLD]).unwrap();
            let child = fork_for_test(|| ());
            assert!(crate::os::readable(signals.as_fd(), None).unwrap());
            assert_eq!(signals.next_signal().unwrap(), Some(libc::SIGCHLD));
            assert_eq!(reap(), Some((child, Exit::Status(0))));
            assert_eq!((reap(), signals.next_signal().unwrap()), (None, None));
        });
        assert_eq!(wait_for_test(pid), Exit::Status(0));
    }

    #[test]
    fn every_signal_is_reset() {
        let pid = fork_for_test(|| {
            // SIG_IGN for a signal that glibc keeps to itself, as it may be inherited.
            let ignore = [1usize, 0, 0, 0];
            let null = ptr::null_mut::<usize>();
            // SAFETY: the structure is read during the call only.
            unsafe { libc::syscall(libc::SYS_rt_sigaction, 32, ignore.as_ptr(), null, 8) };
            let ignored = || {
                let status = std::fs::read_to_string("/proc/self/status").unwrap();
                status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim().to_owned()
            };
            assert_ne!(ignored(), "0000000000000000");
            reset_signals().unwrap();
            assert_eq!(ignored(), "0000000000000000");
        });
        assert_eq!(wait_for_test(pid), Exit::Status(0));
    }

    #[test]
    fn ends_are_told_in_words() {
        assert_eq!(Exit::Status(78).to_string(), "ended with exit status 78");
        let killed = "was killed by signal 11 (SIGSEGV, segmentation fault)";
        assert_eq!(Exit::Signal(libc::SIGSEGV).to_string(), killed);
        assert_eq!(Exit::Signal(50).to_string(), "was killed by signal 50");
    }

    #[test]
    fn a_process_is_known_by_its_number_which_is_never_zero() {
        let pid = std::process::id() as i32;
        assert!(kill(pid, 0).is_ok());
        assert!(kill(0, 0).is_err() && kill(-pid, 0).is_err());
        assert!(pidfd(pid).is_ok());
        assert!(resident_memory(pid).unwrap() > 100_000 && resident_memory(0).is_none());
    }
}
