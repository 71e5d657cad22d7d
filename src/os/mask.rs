//! Which signals a thread has blocked.
//!
//! Used in httpd children with Python inside: httpd leaves signals to one of its threads, and blocks them in
//! all others. `os::copies` uses it in the forks of their application, so nothing here allocates or locks.

use nix::sys::signal::SigSet;

#[derive(Clone, Copy)]
pub struct SignalMask(SigSet);

impl SignalMask {
    /// The mask of the calling thread.
    pub fn current() -> SignalMask {
        // It cannot fail: no new mask is given.
        SignalMask(SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty()))
    }

    /// Nothing is blocked.
    pub fn none() -> SignalMask {
        SignalMask(SigSet::empty())
    }

    /// All signals are blocked that can be.
    pub fn all() -> SignalMask {
        SignalMask(SigSet::all())
    }

    /// Makes it the mask of the calling thread.
    pub fn set(&self) {
        // It cannot fail with a mask that is one.
        let _ = self.0.thread_set_mask();
    }
}
