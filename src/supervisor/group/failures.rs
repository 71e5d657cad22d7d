//! What a group remembers of starts that failed and of processes that crashed.
//!
//! Part of `supervisor::group`, in the supervisor. `failure` decides what follows.

use std::time::{Duration, Instant};

use crate::log::Message;
use crate::supervisor::backoff::Backoff;

/// A process that ends by itself sooner than this after it was ready counts as a quick crash; from the
/// third in a row on, its replacement has to wait.
const QUICK: Duration = Duration::from_secs(1);
const QUICK_CRASHES_FORGIVEN: u32 = 2;

/// Quick crashes further apart than this are not in a row.
const ROW: Duration = Duration::from_secs(60);

/// What a group remembers of its failures.
#[derive(Default)]
pub struct Failures {
    /// Why the last start failed, until one succeeds.
    reason: Option<Message>,
    backoff: Backoff,
    quick_crashes: u32,
    last_quick_crash: Option<Instant>,
    crash_backoff: Backoff,
}

impl Failures {
    /// Whether the last start has failed.
    pub fn is_failing(&self) -> bool {
        self.reason.is_some()
    }

    /// Whether the last start failed for another reason, or succeeded.
    pub fn is_news(&self, reason: &Message) -> bool {
        self.reason.as_ref() != Some(reason)
    }

    /// The pause after a start that failed.
    pub fn pause(&mut self) -> Duration {
        self.backoff.failed()
    }

    pub fn note(&mut self, reason: Message) {
        self.reason = Some(reason);
    }

    /// Counts the end of a process that was ready for so long: the pause before its replacement, if it is to
    /// have one.
    pub fn crashed(&mut self, lived: Option<Duration>, now: Instant) -> Option<Duration> {
        let in_a_row = self.last_quick_crash.is_none_or(|last| now.saturating_duration_since(last) < ROW);
        if lived.is_none_or(|lived| lived >= QUICK) || !in_a_row {
            self.quick_crashes = 0;
            self.crash_backoff.succeeded();
        }
        if lived.is_some_and(|lived| lived < QUICK) {
            self.last_quick_crash = Some(now);
            self.quick_crashes += 1;
        }
        (self.quick_crashes > QUICK_CRASHES_FORGIVEN).then(|| self.crash_backoff.failed())
    }

    /// A start has succeeded: what had failed before, if something had.
    pub fn recovered(&mut self) -> Option<Message> {
        self.backoff.succeeded();
        self.reason.take()
    }
}
