//! A roll-out: a whole new edition of a group's processes beside the old one, then instead of it.
//!
//! Part of `supervisor::group`, in the supervisor. It begins when a daemon reports that a script changed. If
//! one process of the new edition cannot be started, or cannot load what the old ones have loaded, the new
//! edition is taken away again and the old one keeps serving. Each version of a script is tried once. In a
//! group that is apart (`overlap`) the old edition ends first, and there is none to go back to.

use std::time::Instant;

use super::member::{Member, MemberState};
use super::state::{Group, Mode};
use super::texts;
use crate::control::reason::Reason;
use crate::log::Message;

impl Group {
    pub(super) fn reload(&mut self, path: String, modified: i64, now: Instant) {
        if self.mode != Mode::Serving {
            return;
        }
        let Some((path, modified)) = self.editions.admit((path, modified), now) else { return };
        if let Some(hanging) = self.editions.cancel() {
            // This may be the cure of what it waits for.
            self.withdraw(|member| member.edition == hanging.edition, Reason::ScriptReload, now);
        }
        self.begin_rollout(path, modified, now);
    }

    fn begin_rollout(&mut self, path: String, modified: i64, now: Instant) {
        self.editions.note_tried(&path, modified);
        self.begin_edition(path, now);
    }

    /// `path` is for messages: what has changed.
    pub(super) fn begin_edition(&mut self, path: String, now: Instant) {
        // The change may be the cure of what kept processes from starting.
        self.not_before = None;
        self.editions.begin(path, now);
        if self.is_apart() {
            self.end_other_editions(now);
        }
    }

    /// The old edition goes when all of the new one are ready.
    pub(super) fn finish_rollout(&mut self, now: Instant) {
        let edition = self.editions.next_edition();
        let is_ready = |m: &&Member| {
            m.edition == edition && matches!(m.state, MemberState::Waiting | MemberState::Ready)
        };
        let ready = self.members.iter().filter(is_ready).count();
        if ready < self.wanted {
            return;
        }
        let Some(rollout) = self.editions.take(edition) else { return };
        self.editions.serve(edition);
        self.editions.take_pending();
        let took = now.saturating_duration_since(rollout.since);
        self.record(texts::rolled_out(&rollout.path, self.wanted, self.is_apart(), took));
        self.serve_waiting();
        self.withdraw(|member| member.edition != rollout.edition, Reason::ScriptReload, now);
    }

    /// Ends the roll-out that this process was started for; false if there is none.
    pub(super) fn rollout_failed(&mut self, member: &Member, reason: &Message, now: Instant) -> bool {
        let Some(rollout) = self.editions.take(member.edition) else { return false };
        if rollout.edition == self.editions.edition() {
            // There is no other edition any more.
            self.editions.take_pending();
            return false;
        }
        if self.serving(self.editions.edition()) == 0 {
            // The old processes have gone in the meantime: what is there of the new ones is better.
            self.editions.serve(rollout.edition);
            self.withdraw(|member| member.edition != rollout.edition, Reason::ScriptReload, now);
            return false;
        }
        self.record(texts::not_rolled_out(&rollout.path, reason));
        self.withdraw(|member| member.edition == rollout.edition, Reason::ScriptReload, now);
        if let Some((path, modified)) = self.editions.take_pending() {
            self.begin_rollout(path, modified, now);
        }
        true
    }
}
