//! A roll-out: a whole new edition of a group's processes beside the old one, then instead of it.
//!
//! Part of `supervisor::group`, in the supervisor. It begins when a daemon reports that a script changed. If
//! one process of the new edition cannot be started, or cannot load what the old ones have loaded, the new
//! edition is taken away again and the old one keeps serving. Each version of a script is tried once. In a
//! group that is apart (`overlap`) the old edition ends first, and there is none to go back to.

use std::time::{Duration, Instant};

use super::member::{Member, State};
use super::{Group, Mode, message};
use crate::control::reason::Reason;
use crate::log::Message;

/// Scripts whose last tried version is remembered; a group does not have that many.
const REMEMBERED: usize = 4096;

/// A roll-out that has taken longer than this makes room for a newer version.
const LONG: Duration = Duration::from_secs(10);

pub struct Rollout {
    pub edition: u32,
    pub path: String,
    pub since: Instant,
}

impl Group {
    pub(super) fn reload(&mut self, path: String, modified: i64, now: Instant) {
        if self.mode != Mode::Serving || self.tried.get(&path) == Some(&modified) {
            return;
        }
        if let Some(rollout) = &self.rollout {
            let (edition, hangs) = (rollout.edition, now.saturating_duration_since(rollout.since) > LONG);
            if !hangs {
                self.pending = Some((path, modified));
                return;
            }
            // This may be the cure of what it waits for.
            self.rollout = None;
            self.retire(|member| member.edition == edition, Reason::ScriptReload, now);
        }
        self.begin_rollout(path, modified, now);
    }

    fn begin_rollout(&mut self, path: String, modified: i64, now: Instant) {
        if self.tried.len() >= REMEMBERED {
            self.tried.clear();
        }
        self.tried.insert(path.clone(), modified);
        self.begin_edition(path, now);
    }

    /// `path` is for messages: what has changed.
    pub(super) fn begin_edition(&mut self, path: String, now: Instant) {
        // The change may be the cure of what kept processes from starting.
        self.not_before = None;
        self.newest_edition += 1;
        self.rollout = Some(Rollout { edition: self.newest_edition, path, since: now });
        if self.is_apart() {
            self.end_other_editions(now);
        }
    }

    /// The old edition goes when all of the new one are ready.
    pub(super) fn finish_rollout(&mut self, now: Instant) {
        let processes = self.wanted;
        let ready = |rollout: &Rollout| {
            let ready = |m: &&Member| {
                m.edition == rollout.edition && matches!(m.state, State::Waiting | State::Ready)
            };
            self.members.iter().filter(ready).count()
        };
        let ready = self.rollout.as_ref().map_or(0, ready);
        let Some(rollout) = self.rollout.take_if(|_| ready >= processes) else { return };
        self.edition = rollout.edition;
        self.pending = None;
        let took = now.saturating_duration_since(rollout.since);
        self.record(message::rolled_out(&rollout.path, processes, self.is_apart(), took));
        self.serve_waiting();
        self.retire(|member| member.edition != rollout.edition, Reason::ScriptReload, now);
    }

    /// Ends the roll-out that this process was started for; false if there is none.
    pub(super) fn rollout_failed(&mut self, member: &Member, reason: &Message, now: Instant) -> bool {
        let Some(rollout) = self.rollout.take_if(|rollout| rollout.edition == member.edition) else {
            return false;
        };
        if rollout.edition == self.edition {
            // There is no other edition any more.
            self.pending = None;
            return false;
        }
        if self.serving(self.edition) == 0 {
            // The old processes have gone in the meantime: what is there of the new ones is better.
            self.edition = rollout.edition;
            self.retire(|member| member.edition != rollout.edition, Reason::ScriptReload, now);
            return false;
        }
        self.record(message::not_rolled_out(&rollout.path, reason));
        self.retire(|member| member.edition == rollout.edition, Reason::ScriptReload, now);
        if let Some((path, modified)) = self.pending.take() {
            self.begin_rollout(path, modified, now);
        }
        true
    }
}
