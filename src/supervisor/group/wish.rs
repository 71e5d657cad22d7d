//! A roll-out that a script itself asks for, by its `reload_required`.
//!
//! Part of `supervisor::group`, in the supervisor. Such a wish names no version of a file that could be tried
//! once, and is repeated with every request until the process that has it is replaced. So one roll-out is
//! made at a time, the wishes of processes that are being replaced do not count, and there are pauses.

use std::time::Instant;

use super::member::{Member, MemberState, ProcessId};
use super::state::{Group, Mode};

impl Group {
    pub(super) fn reload_required(&mut self, process: ProcessId, path: &str, now: Instant) {
        self.wish(process, format!("what reload_required() of {path} looks at"), now);
    }

    /// `what` has changed, for messages.
    pub(super) fn wish(&mut self, process: ProcessId, what: String, now: Instant) {
        let wants = |m: &&Member| {
            m.id == process && m.edition == self.editions.edition() && m.state == MemberState::Ready
        };
        let Some(ready_since) = self.members.iter().find(wants).and_then(|member| member.ready_since) else {
            return;
        };
        if self.mode != Mode::Serving || self.editions.is_running() {
            return;
        }
        if self.wishes.grant(ready_since, now) {
            self.begin_edition(what, now);
        }
    }
}
