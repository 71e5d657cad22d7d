//! A roll-out that a script itself asks for, by its `reload_required`.
//!
//! Part of `supervisor::group`, in the supervisor. Such a wish names no version of a file that could be tried
//! once, and is repeated with every request until the process that has it is replaced. So one roll-out is
//! made at a time, the wishes of processes that are being replaced do not count, and there are pauses.

use std::time::{Duration, Instant};

use super::member::{Member, MemberState};
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

impl Wishes {
    /// Whether a roll-out may begin for the wish of a process that has been ready since then.
    fn grant(&mut self, ready_since: Instant, now: Instant) -> bool {
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

impl Group {
    pub(super) fn reload_required(&mut self, process: ProcessId, path: &str, now: Instant) {
        self.wish(process, format!("what reload_required() of {path} looks at"), now);
    }

    /// `what` has changed, for messages.
    pub(super) fn wish(&mut self, process: ProcessId, what: String, now: Instant) {
        let wants = |m: &&Member| {
            m.id == process && m.edition == self.rollouts.edition() && m.state == MemberState::Ready
        };
        let Some(ready_since) = self.members.iter().find(wants).and_then(|member| member.ready_since) else {
            return;
        };
        if self.mode != Mode::Serving || self.rollouts.is_running() {
            return;
        }
        if self.wishes.grant(ready_since, now) {
            self.begin_edition(what, now);
        }
    }
}
