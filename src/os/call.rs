//! How the results of rustix, nix and libc become those of std, and times those of the kernel.
//!
//! The other files of `os` use it, in every process. Nothing here allocates.

use std::io;
use std::time::Duration;

use rustix::event::Timespec;

/// Calls again for as long as a signal interrupts the call.
pub fn retry<T, E: Into<io::Error>>(mut call: impl FnMut() -> Result<T, E>) -> io::Result<T> {
    loop {
        match call().map_err(Into::into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// None where the call would have had to wait.
pub fn unless_it_would_block<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// A time-out for `poll` and `epoll_wait`; None waits without end. `epoll_wait` counts milliseconds in an
/// int, so no wait is longer than 24 days.
pub fn timespec(timeout: Option<Duration>) -> Option<Timespec> {
    const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);
    timeout.and_then(|timeout| Timespec::try_from(timeout.min(LONGEST)).ok())
}
