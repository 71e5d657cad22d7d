//! Which signals a thread has blocked.
//!
//! Used in httpd children with Python inside: httpd leaves signals to one of its threads, and blocks them in
//! all others.

#![allow(unsafe_code)]

use std::mem;
use std::ptr;

#[derive(Clone, Copy)]
pub struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// That of the calling thread.
    pub fn current() -> SignalMask {
        let mut mask = Self::none();
        // SAFETY: no new mask is given; the set outlives the call.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, ptr::null(), &raw mut mask.0) };
        mask
    }

    /// Nothing is blocked.
    pub fn none() -> SignalMask {
        // SAFETY: sigset_t is integers, for which all zero is a value.
        let mut set: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: the set outlives the call.
        unsafe { libc::sigemptyset(&raw mut set) };
        SignalMask(set)
    }

    pub fn all() -> SignalMask {
        let SignalMask(mut set) = Self::none();
        // SAFETY: as above.
        unsafe { libc::sigfillset(&raw mut set) };
        SignalMask(set)
    }

    /// From now on the calling thread has it.
    pub fn set(&self) {
        // SAFETY: the set is initialised, and the old mask is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}
