//! Signals as readable events, by a handler instead of a mask.
//!
//! A daemon's main thread waits for them (`daemon::main_thread`, `daemon::service`, `daemon::template`). A
//! blocked signal would stay blocked in the programs that the application starts; a handler is gone after an
//! exec. In a process that the application forks, signals have their ordinary meaning: `os::copies` takes the
//! handler away. Where a copy was made without at-fork functions, the handler takes itself away.

#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use super::call::check;
use super::descriptor::{clear_event, eventfd};

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
        for signal in signals {
            // SAFETY: a sigaction of zeros is valid: no flags, an empty mask.
            let mut action: libc::sigaction = unsafe { mem::zeroed() };
            action.sa_sigaction = note as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            // SAFETY: the handler below does nothing that is not async-signal-safe.
            check(unsafe { libc::sigaction(*signal, &raw const action, ptr::null_mut()) })?;
        }
        Ok(())
    }

    /// The same for those that have no handler: others keep theirs.
    pub fn watch_unhandled(&self, signals: &[i32]) -> io::Result<()> {
        for signal in signals {
            // SAFETY: a sigaction of zeros is valid for the kernel to fill.
            let mut action: libc::sigaction = unsafe { mem::zeroed() };
            // SAFETY: no new action is given; the variable outlives the call.
            check(unsafe { libc::sigaction(*signal, ptr::null(), &raw mut action) })?;
            if action.sa_sigaction == libc::SIG_DFL {
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

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

extern "C" fn note(signal: libc::c_int) {
    // SAFETY: takes nothing and cannot fail.
    let here = unsafe { libc::getpid() };
    if here != OWNER.load(Ordering::SeqCst) {
        // SAFETY: SIG_DFL is no handler of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        // SAFETY: takes two integers. It comes when this handler has returned, since it is blocked until
        // then.
        unsafe { libc::kill(here, signal) };
        return;
    }
    PENDING.fetch_or(bit(signal), Ordering::SeqCst);
    let one = 1u64;
    // SAFETY: write(2) may be called in a handler; the value outlives the call, and a closed
    // descriptor only makes it fail.
    unsafe { libc::write(EVENT.load(Ordering::SeqCst), (&raw const one).cast(), mem::size_of::<u64>()) };
}

/// For a copy that the application has made. Handlers of the application's own stay.
pub(super) fn reset_in_copy() {
    PENDING.store(0, Ordering::SeqCst);
    for signal in 1..=libc::SIGSYS {
        // SAFETY: a sigaction of zeros is valid, and is only written to.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: no new action is given; a signal that has none only makes it fail.
        let asked = unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
        if asked == 0 && action.sa_sigaction == note as extern "C" fn(libc::c_int) as usize {
            // SAFETY: SIG_DFL is no handler of ours.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::os::{Exit, fork_for_test, kill, readable, wait_for_test};

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
