//! Signals as readable events, by a handler instead of a mask.
//!
//! Used by a daemon's main thread (`daemon::serve`). A blocked signal would stay blocked in whatever
//! the application starts; a handler is gone after an exec.

#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use super::check;
use super::descriptor::eventfd;

/// The descriptor that the handler writes to.
static EVENT: AtomicI32 = AtomicI32::new(-1);

/// From now on each of `signals` makes the returned event readable. Called once in a process.
pub fn signal_event(signals: &[i32]) -> io::Result<OwnedFd> {
    let event = eventfd()?;
    EVENT.store(event.as_raw_fd(), Ordering::SeqCst);
    for signal in signals {
        // SAFETY: a sigaction of zeros is valid: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = note as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the handler below does nothing but an async-signal-safe write.
        check(unsafe { libc::sigaction(*signal, &raw const action, ptr::null_mut()) })?;
    }
    Ok(event)
}

extern "C" fn note(_signal: libc::c_int) {
    let one = 1u64;
    // SAFETY: write(2) may be called in a handler; the value outlives the call, and a closed
    // descriptor only makes it fail.
    unsafe { libc::write(EVENT.load(Ordering::SeqCst), (&raw const one).cast(), mem::size_of::<u64>()) };
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;
    use crate::daemon::os::{kill, readable};

    #[test]
    fn a_signal_makes_the_event_readable() {
        let event = signal_event(&[libc::SIGUSR2]).unwrap();
        assert!(!readable(event.as_fd(), Some(Duration::ZERO)).unwrap());
        kill(std::process::id() as i32, libc::SIGUSR2).unwrap();
        assert!(readable(event.as_fd(), Some(Duration::from_secs(5))).unwrap());
    }
}
