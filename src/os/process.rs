//! Signals, children, parents and the end of a process.
//!
//! The supervisor reads signals, reaps and kills; its forked child resets signals between fork and exec.
//! Daemons, templates and the forks of applications use the rest. A function that changes the whole process
//! is called while it has one thread only. `default_signal`, `kill`, `die_with_parent` and `exit_now` may be
//! called in a signal handler and in a fork of a process with threads.

#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::sys::signal::{self, SigSet};
use nix::sys::signalfd::{self, SfdFlags};
use rustix::fs::Mode;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::call::retry;
use super::fault::gate;

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

/// The next child that has ended, as (pid, exit). Does not wait; None where no child has ended.
pub fn reap() -> Option<(i32, Exit)> {
    let wait = || gate("wait").and_then(|()| rustix::process::wait(WaitOptions::NOHANG));
    let (pid, status) = retry(wait).ok()??;
    Some((pid.as_raw_pid(), exit_of(status)))
}

/// Whether this child has ended, and forgets it then. Does not wait; true for a process that is no child.
pub fn has_ended(pid: i32) -> bool {
    let child = process(pid).map(|child| rustix::process::waitpid(Some(child), WaitOptions::NOHANG));
    !matches!(child, Ok(Ok(None)))
}

fn exit_of(status: WaitStatus) -> Exit {
    match status.terminating_signal() {
        Some(signal) => Exit::Signal(signal),
        None => Exit::Status(status.exit_status().unwrap_or_default()),
    }
}

/// Signals of this process as a descriptor to poll.
pub struct SignalFd(signalfd::SignalFd);

impl SignalFd {
    /// Blocks these signals in the calling thread (forks and executed programs inherit that) and makes them
    /// readable instead.
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        gate("signalfd")?;
        let mut set = SigSet::empty();
        for signal in signals {
            set.add(signal::Signal::try_from(*signal)?);
        }
        set.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(SignalFd(signalfd::SignalFd::with_flags(&set, flags)?))
    }

    /// The number of the next signal that has come. Does not wait.
    pub fn next_signal(&self) -> io::Result<Option<i32>> {
        gate("read_signal")?;
        Ok(retry(|| self.0.read_signal())?.map(|signal| signal.ssi_signo as i32))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Resets every signal to its default and blocks none: what a program expects at its start.
pub fn reset_signals() -> io::Result<()> {
    gate("sigprocmask")?;
    (1..=libc::SIGRTMAX()).for_each(default_signal);
    Ok(SigSet::empty().thread_set_mask()?)
}

/// From now on the signal does what it does in a program that has not asked for it.
pub fn default_signal(signal: i32) {
    set_disposition(signal, libc::SIG_DFL);
}

/// From now on the signal has no effect. Programs that are executed later inherit that.
pub fn ignore_signal(signal: i32) {
    set_disposition(signal, libc::SIG_IGN);
}

/// SIG_DFL or SIG_IGN. By the kernel's own call, since glibc keeps the first real-time signals to itself, and
/// so cannot reset them where they came ignored.
fn set_disposition(signal: i32, disposition: libc::sighandler_t) {
    // The kernel's structure begins with the disposition; flags and mask of zero mean nothing. The last
    // argument of the call is the size of a signal set.
    let action = [disposition, 0, 0, 0, 0, 0, 0, 0];
    let none = ptr::null_mut::<usize>();
    // SAFETY: the array is larger than the structure and is read during the call only; neither value is a
    // handler, and a number that cannot be changed only fails. (rustix has no rt_sigaction.)
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), none, 8) };
}

/// Sends a signal to one process; signal 0 only asks whether that is allowed. InvalidInput for a pid that is
/// not above 0.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    gate("kill")?;
    let process = process(pid)?.as_raw_pid();
    // SAFETY: takes two integers. (rustix and nix have no real-time signals; `interpreter` uses some.)
    Errno::result(unsafe { libc::kill(process, signal) })?;
    Ok(())
}

fn process(pid: i32) -> io::Result<Pid> {
    let process = (pid > 0).then(|| Pid::from_raw(pid)).flatten();
    process.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Bytes of memory that the process has in use; None if it has gone.
pub fn resident_memory(pid: i32) -> Option<u64> {
    let [kilobytes] = status(pid, ["VmRSS:"])?;
    Some(kilobytes * 1024)
}

/// Processes below this one whose parents end become its children.
pub fn adopt_orphans() -> io::Result<()> {
    gate("prctl")?;
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Parent and real user of a process; None if it has gone.
pub fn parent_and_user(pid: i32) -> Option<(i32, u32)> {
    let [parent, user] = status(pid, ["PPid:", "Uid:"])?;
    Some((i32::try_from(parent).ok()?, u32::try_from(user).ok()?))
}

/// The first number behind each of these names in /proc.
fn status<const N: usize>(pid: i32, names: [&str; N]) -> Option<[u64; N]> {
    // The name in it may be cut in the middle of a character.
    gate("read_status").ok()?;
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
    gate("pidfd_open")?;
    Ok(rustix::process::pidfd_open(process(pid)?, PidfdFlags::empty())?)
}

/// The pid of the parent, or of the process that has adopted this one.
pub fn parent_pid() -> i32 {
    std::os::unix::process::parent_id() as i32
}

/// Forks a process that has one thread only: httpd's parent, or the supervisor. `child` runs in the new process,
/// which then ends without any of httpd's cleanups.
pub fn fork_process(child: impl FnOnce()) -> io::Result<i32> {
    // SAFETY: the caller has one thread, so that the child may go on as an ordinary program.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            exit_now(if ended.is_ok() { 0 } else { 70 })
        }
        pid => Ok(pid),
    }
}

/// Ends the process without running what httpd or a library registered for its end.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: takes an integer and does not return. (std, rustix and nix have no _exit.)
    unsafe { libc::_exit(status) }
}

/// Sets the umask, and returns the previous one.
pub fn set_umask(mask: u32) -> u32 {
    rustix::process::umask(Mode::from_raw_mode(mask)).as_raw_mode()
}

/// No program that this process or its children execute can raise its privileges any more.
pub fn forbid_new_privileges() -> io::Result<()> {
    gate("prctl")?;
    Ok(rustix::thread::set_no_new_privs(true)?)
}

/// Whether `forbid_new_privileges` is in force.
pub fn forbids_new_privileges() -> bool {
    rustix::thread::no_new_privs().unwrap_or(false)
}

/// Gives up what root may do, but not its uid: other users still may not send the process a signal.
pub fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// Has the kernel send this signal to the calling process when its parent ends. A change of the uid cancels
/// that, so this comes after one; a parent that ended before shows in `parent_pid`.
pub fn die_with_parent(signal: i32) -> io::Result<()> {
    gate("prctl")?;
    let signal = Signal::from_named_raw(signal).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::set_parent_process_death_signal(Some(signal))?)
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
    Errno::result(pid).unwrap()
}

/// Waits for one child, and leaves those of other tests alone.
#[cfg(test)]
pub fn wait_for_test(pid: i32) -> Exit {
    let child = process(pid).unwrap();
    let ended = retry(|| rustix::process::waitpid(Some(child), WaitOptions::empty())).unwrap();
    exit_of(ended.unwrap().1)
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
            // One of those that glibc keeps to itself, as it may be inherited.
            ignore_signal(32);
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
