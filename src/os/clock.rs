//! A clock that all processes of a machine share and that nobody can set.
//!
//! Used for what one process writes down and another compares (`control::activity_page`); within a process
//! `Instant` is as good.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::time::Duration;

/// Milliseconds of CLOCK_MONOTONIC, never 0.
pub fn milliseconds_now() -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the structure outlives the call; the clock is there on every Linux, so it cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr()) };
    // SAFETY: zeroed, which is valid, and filled by the call.
    let time = unsafe { time.assume_init() };
    let since = Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1)
}
