//! A copy of a process that never comes back from Python's `os.fork`: it says so, and ends.
//!
//! Daemons and httpd children with several interpreters use it: up to Python 3.13 at least, what Python does
//! in the copy after a fork can wait for a lock that no thread will give back. `fork_begins` is called before
//! Python forks, `fork_has_returned` in the copy once Python is through with it. What runs in between
//! allocates and locks nothing (signal-safety(7)). A copy does not inherit an alarm, so its own is free.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::c_int;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use once_cell::sync::OnceCell;

use super::descriptor::look_up;
use super::fork::at_fork;
use super::process::kill;

/// Seconds for what takes a few milliseconds.
const PATIENCE: u32 = 10;

/// What the copy writes to its standard error.
static TEXT: OnceCell<Vec<u8>> = OnceCell::new();

thread_local! {
    /// This thread is about to fork.
    static BEGUN: Cell<bool> = const { Cell::new(false) };
    /// In a copy that is watched: what SIGALRM did before.
    static BEFORE: Cell<Option<SigAction>> = const { Cell::new(None) };
}

/// From now on forks may be watched.
pub fn watch_forks(text: impl FnOnce() -> Vec<u8>) {
    TEXT.get_or_init(|| {
        at_fork(None, Some(in_parent), Some(in_child));
        text()
    });
}

/// The thread is about to fork; what it does until then is Python's.
pub fn fork_begins() {
    BEGUN.set(true);
}

/// In the copy, which goes on.
pub fn fork_has_returned() {
    if let Some(before) = BEFORE.take() {
        // SAFETY: takes back the alarm below.
        unsafe { libc::alarm(0) };
        // SAFETY: what was in force before.
        let _ = unsafe { sigaction(Signal::SIGALRM, &before) };
    }
}

extern "C" fn in_parent() {
    BEGUN.set(false);
}

extern "C" fn in_child() {
    if !BEGUN.take() {
        return;
    }
    let action = SigAction::new(SigHandler::Handler(give_up), SaFlags::SA_RESETHAND, SigSet::empty());
    // SAFETY: the handler below does nothing that is not async-signal-safe.
    if let Ok(before) = unsafe { sigaction(Signal::SIGALRM, &action) } {
        BEFORE.set(Some(before));
        // SAFETY: sets a timer of the copy's own.
        unsafe { libc::alarm(PATIENCE) };
    }
}

/// The process ends by the same signal once this has returned: the handler is gone by then.
extern "C" fn give_up(_signal: c_int) {
    if let Some(text) = TEXT.get() {
        let _ = look_up(libc::STDERR_FILENO, |error| rustix::io::write(error, text));
    }
    let _ = kill(rustix::process::getpid().as_raw_pid(), libc::SIGALRM);
}
