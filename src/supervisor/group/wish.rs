//! A roll-out that a script itself asks for, by its `reload_required`.
//!
//! Part of `supervisor::group`, in the supervisor. Such a wish names no version of a file that could be tried
//! once, and is repeated with every request until the process that has it is replaced. So one roll-out is
//! made at a time, the wishes of processes that are being replaced do not count, and there are pauses.

use std::time::{Duration, Instant};

use super::member::{Member, State};
use super::{Group, Mode, ProcessId};
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

impl Group {
    pub(super) fn reload_required(&mut self, process: ProcessId, path: &str, now: Instant) {
        self.wish(process, format!("what reload_required() of {path} looks at"), now);
    }

    /// `what` has changed, for messages.
    pub(super) fn wish(&mut self, process: ProcessId, what: String, now: Instant) {
        let wants = |m: &&Member| m.id == process && m.edition == self.edition && m.state == State::Ready;
        let Some(ready_since) = self.members.iter().find(wants).and_then(|member| member.ready_since) else {
            return;
        };
        if self.mode != Mode::Serving || self.rollout.is_some() {
            return;
        }
        if let Some(last) = self.wishes.last {
            if ready_since > last {
                // The last wish was granted: this is the new code's own.
                self.wishes.backoff.succeeded();
                self.wishes.pause = PAUSE;
            }
            if now < last + self.wishes.pause {
                return;
            }
        }
        self.wishes.last = Some(now);
        self.wishes.pause = self.wishes.backoff.failed();
        self.begin_edition(what, now);
    }
}
