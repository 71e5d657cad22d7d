//! Processes of older configurations, which a group that is apart waits for.
//!
//! Part of `supervisor::group`, in the supervisor. `overlap` decides when a group is apart.

use std::time::{Duration, Instant};

/// How often the supervisor looks whether older processes have gone.
const LOOK: Duration = Duration::from_millis(20);

/// When old and new processes may not be there together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apart {
    Never,
    /// Once something was found held.
    WhereHeld,
    Always,
}

/// Processes of older configurations, and what these have left behind.
#[derive(Default)]
pub struct Older {
    have_gone: bool,
    /// Since when they are waited for.
    since: Option<Instant>,
    look: Option<Instant>,
    told: bool,
}

impl Older {
    /// They have gone, and are not waited for again.
    pub fn gone() -> Older {
        Older { have_gone: true, ..Older::default() }
    }

    pub fn have_gone(&self) -> bool {
        self.have_gone
    }

    /// When to look whether they have gone; None while they are not waited for.
    pub fn next_look(&self) -> Option<Instant> {
        self.look
    }

    /// Until it is found again that they are waited for.
    pub fn look_no_more(&mut self) {
        self.look = None;
    }

    /// Waits for them on: for how long already, or None if that begins now.
    pub fn wait(&mut self, now: Instant) -> Option<Duration> {
        let since = self.since.replace(self.since.unwrap_or(now));
        self.look = Some(since.map_or(now, |_| now + LOOK));
        since.map(|since| now.saturating_duration_since(since))
    }

    /// Whether it is worth a message that they are waited for; once.
    pub fn is_news(&mut self, waited: Duration) -> bool {
        waited >= LOOK && !std::mem::replace(&mut self.told, true)
    }
}
