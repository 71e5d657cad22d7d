//! Signals as readable events, by a handler instead of a mask.
//!
//! A daemon's main thread waits for them (`daemon::main_thread`, `daemon::service`, `daemon::template`). A
//! blocked signal would stay blocked in the programs that the application starts; a handler is gone after an
//! exec (execve(2)). In a process that the application forks, signals have their ordinary meaning:
//! `os::copies` takes the handler away. Where a copy was made without at-fork functions, the handler takes
//! itself away. The handler and `reset_in_copy` allocate and lock nothing (signal-safety(7)); the handler
//! leaves errno as it is.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::descriptor::{clear_event, eventfd, look_up};
use super::process::{default_signal, kill};

/// The descriptor that the handler writes to.
static EVENT: AtomicI32 = AtomicI32::new(-1);

/// The process whose signals these are.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// Signals that have come and were not taken: signal n is bit n-1.
static PENDING: AtomicU64 = AtomicU64::new(0);

/// Readable when a signal has come.
pub struct SignalEvent(OwnedFd);

impl SignalEvent {
    /// Called once in a process; one that was forked has to make its own.
    pub fn new() -> io::Result<SignalEvent> {
        let event = eventfd()?;
        OWNER.store(std::process::id() as i32, Ordering::SeqCst);
        EVENT.store(event.as_raw_fd(), Ordering::SeqCst);
        Ok(SignalEvent(event))
    }

    /// From now on these signals come here, whatever handlers they had.
    pub fn watch(&self, signals: &[i32]) -> io::Result<()> {
        let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
        for signal in signals {
            let signal = Signal::try_from(*signal)?;
            // SAFETY: the handler below does nothing that is not async-signal-safe.
            unsafe { sigaction(signal, &action) }?;
        }
        Ok(())
    }

    /// The same for those that have no handler: others keep theirs.
    pub fn watch_unhandled(&self, signals: &[i32]) -> io::Result<()> {
        for signal in signals {
            if handler_of(*signal)? == libc::SIG_DFL {
                self.watch(&[*signal])?;
            }
        }
        Ok(())
    }

    /// The signals that have come since the last call, each once, the lowest number first.
    pub fn take(&self) -> Vec<i32> {
        clear_event(self.0.as_fd());
        let pending = PENDING.swap(0, Ordering::SeqCst);
        (1..=64).filter(|signal| pending & bit(*signal) != 0).collect()
    }
}

impl AsFd for SignalEvent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The handler in force, SIG_DFL or SIG_IGN.
fn handler_of(signal: c_int) -> io::Result<libc::sighandler_t> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: no new action is given; the structure outlives the call. (nix cannot ask without setting one.)
    Errno::result(unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) })?;
    // SAFETY: zeroed, which is valid, and filled by the call.
    Ok(unsafe { action.assume_init() }.sa_sigaction)
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

extern "C" fn note(signal: c_int) {
    // What the signal has interrupted may be about to look at errno.
    let errno = Errno::last_raw();
    take_note(signal);
    Errno::set_raw(errno);
}

fn take_note(signal: c_int) {
    let here = rustix::process::getpid().as_raw_pid();
    if here != OWNER.load(Ordering::SeqCst) {
        default_signal(signal);
        // It comes when this handler has returned, since it is blocked until then.
        let _ = kill(here, signal);
        return;
    }
    PENDING.fetch_or(bit(signal), Ordering::SeqCst);
    // A descriptor that is closed, or a counter that is full, only makes it fail.
    let _ = look_up(EVENT.load(Ordering::SeqCst), |event| rustix::io::write(event, &1u64.to_ne_bytes()));
}

/// For a copy that the application has made. Handlers of the application's own stay.
pub(super) fn reset_in_copy() {
    PENDING.store(0, Ordering::SeqCst);
    for signal in 1..=libc::SIGSYS {
        let handler = handler_of(signal);
        if handler.is_ok_and(|handler| handler == note as extern "C" fn(c_int) as usize) {
            default_signal(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::os::{Exit, fork_for_test, kill, readable, wait_for_test};

    #[test]
    fn the_handler_leaves_errno_as_it_is() {
        let pid = fork_for_test(|| {
            let event = SignalEvent::new().unwrap();
            event.watch(&[libc::SIGUSR2]).unwrap();
            for number in [EVENT.load(Ordering::SeqCst), 65_535] {
                EVENT.store(number, Ordering::SeqCst);
                Errno::set_raw(4711);
                kill(std::process::id() as i32, libc::SIGUSR2).unwrap();
                assert_eq!(Errno::last_raw(), 4711);
            }
            // In a copy that no at-fork function has seen, it takes itself away.
            OWNER.store(1, Ordering::SeqCst);
            Errno::set_raw(4711);
            take_note(libc::SIGCHLD);
            assert_eq!(Errno::last_raw(), 4711);
        });
        assert_eq!(wait_for_test(pid), Exit::Status(0));
    }

    #[test]
    fn a_signal_makes_the_event_readable_and_is_taken_once() {
        // In a process with one thread it has come when `kill` is back.
        let pid = fork_for_test(|| {
            let event = SignalEvent::new().unwrap();
            event.watch(&[libc::SIGUSR2, libc::SIGHUP]).unwrap();
            let ready = || readable(event.as_fd(), Some(Duration::ZERO)).unwrap();
            assert!(!ready() && event.take().is_empty());
            for signal in [libc::SIGUSR2, libc::SIGHUP, libc::SIGUSR2] {
                kill(std::process::id() as i32, signal).unwrap();
            }
            assert!(ready());
            assert_eq!(event.take(), [libc::SIGHUP, libc::SIGUSR2]);
            assert!(!ready() && event.take().is_empty());
        });
        assert_eq!(wait_for_test(pid), Exit::Status(0));
    }
}
