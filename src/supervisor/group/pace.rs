//! How fast a group renews its processes because of limits.
//!
//! Part of `supervisor::group`, in the supervisor. Starting processes gets a small part of the machine's time, however soon a
//! limit is reached.

use std::time::{Duration, Instant};

/// How many times as long as a start takes nothing else is renewed because of a limit.
const STARTS: u32 = 12;

/// When the next renewal that can wait may begin.
#[derive(Default)]
pub struct Pace {
    start: Duration,
    not_before: Option<Instant>,
}

impl Pace {
    pub fn start_took(&mut self, time: Duration) {
        self.start = time;
    }

    pub fn renewed(&mut self, now: Instant) {
        self.not_before = Some(now + self.start * STARTS);
    }

    pub fn allows(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|moment| moment <= now)
    }

    pub fn not_before(&self) -> Option<Instant> {
        self.not_before
    }
}
