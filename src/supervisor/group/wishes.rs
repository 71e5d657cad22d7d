//! How often a group's scripts get a roll-out that they ask for by their `reload_required`.
//!
//! Part of `supervisor::group`, in the supervisor. `wish` says whose wishes count.

use std::time::{Duration, Instant};

use crate::supervisor::backoff::Backoff;

/// Between two roll-outs that scripts ask for; where one has failed the pauses grow.
const PAUSE: Duration = Duration::from_secs(1);

/// What a group remembers of its scripts' wishes.
#[derive(Default)]
pub struct Wishes {
    /// When the last roll-out of this kind began.
    last: Option<Instant>,
    pause: Duration,
    backoff: Backoff,
}

impl Wishes {
    /// Whether a roll-out may begin for the wish of a process that has been ready since then.
    pub fn grant(&mut self, ready_since: Instant, now: Instant) -> bool {
        if let Some(last) = self.last {
            if ready_since > last {
                // The last wish was granted: this is the new code's own.
                self.backoff.succeeded();
                self.pause = PAUSE;
            }
            if now < last + self.pause {
                return false;
            }
        }
        self.last = Some(now);
        self.pause = self.backoff.failed();
        true
    }
}
