//! A clock that all processes of a machine share and that cannot be set.
//!
//! Each process uses it for times that another process compares (`control::activity_page`). Within one
//! process `Instant` is as good.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Milliseconds of CLOCK_MONOTONIC, never 0. Every Linux has this clock, so the call does not fail.
pub fn milliseconds_now() -> u64 {
    let since = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// How long the calling thread has computed. Every Linux has this clock too.
pub fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
