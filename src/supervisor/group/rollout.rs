//! A roll-out: a whole new edition of a group's processes beside the old one, then instead of it.
//!
//! Part of `supervisor::group`, in the supervisor. It begins when a daemon reports that a script changed. If
//! one process of the new edition cannot be started, or cannot load what the old ones have loaded, the new
//! edition is taken away again and the old one keeps serving. Each version of a script is tried once. In a
//! group that is apart (`overlap`) the old edition ends first, and there is none to go back to.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::member::{Member, MemberState};
use super::{Group, Mode, texts};
use crate::control::reason::Reason;
use crate::log::Message;

/// Scripts whose last tried version is remembered; a group does not have that many.
const REMEMBERED: usize = 4096;

/// A roll-out that has taken longer than this makes room for a newer version.
const LONG: Duration = Duration::from_secs(10);

pub struct Rollout {
    pub edition: u32,
    /// For messages: what has changed.
    pub path: String,
    pub since: Instant,
}

/// A version of a script: its path, and when it was modified.
type Version = (String, i64);

/// The editions of a group, and the roll-out from one to the next.
#[derive(Default)]
pub struct Rollouts {
    /// The edition that serves.
    edition: u32,
    /// The last number that was given: what is left of a failed roll-out is not taken for the next one's.
    newest: u32,
    running: Option<Rollout>,
    /// A version that was reported while a roll-out ran.
    pending: Option<Version>,
    /// The newest version of each script that a roll-out was made for.
    tried: HashMap<String, i64>,
}

impl Rollouts {
    /// The edition that serves.
    pub fn edition(&self) -> u32 {
        self.edition
    }

    /// The edition of processes that start now.
    pub fn next_edition(&self) -> u32 {
        self.running.as_ref().map_or(self.edition, |rollout| rollout.edition)
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Ends the roll-out without an outcome.
    pub fn cancel(&mut self) -> Option<Rollout> {
        self.running.take()
    }

    fn begin(&mut self, path: String, now: Instant) {
        self.newest += 1;
        self.running = Some(Rollout { edition: self.newest, path, since: now });
    }

    /// The edition of the running roll-out serves from now on, before it is there: the old one makes way.
    pub fn serve_newest(&mut self) -> u32 {
        self.edition = self.newest;
        self.edition
    }

    /// Whether a roll-out is to be made for this version. One that comes while another roll-out runs is kept
    /// for later.
    fn admit(&mut self, version: Version, now: Instant) -> Option<Version> {
        if self.tried.get(&version.0) == Some(&version.1) {
            return None;
        }
        if self.running.as_ref().is_some_and(|rollout| now.saturating_duration_since(rollout.since) <= LONG) {
            self.pending = Some(version);
            return None;
        }
        Some(version)
    }

    fn note_tried(&mut self, path: &str, modified: i64) {
        if self.tried.len() >= REMEMBERED {
            self.tried.clear();
        }
        self.tried.insert(path.to_owned(), modified);
    }

    /// Takes the running roll-out if it is that of this edition.
    fn take(&mut self, edition: u32) -> Option<Rollout> {
        self.running.take_if(|rollout| rollout.edition == edition)
    }
}

impl Group {
    pub(super) fn reload(&mut self, path: String, modified: i64, now: Instant) {
        if self.mode != Mode::Serving {
            return;
        }
        let Some((path, modified)) = self.rollouts.admit((path, modified), now) else { return };
        if let Some(hanging) = self.rollouts.cancel() {
            // This may be the cure of what it waits for.
            self.withdraw(|member| member.edition == hanging.edition, Reason::ScriptReload, now);
        }
        self.begin_rollout(path, modified, now);
    }

    fn begin_rollout(&mut self, path: String, modified: i64, now: Instant) {
        self.rollouts.note_tried(&path, modified);
        self.begin_edition(path, now);
    }

    /// `path` is for messages: what has changed.
    pub(super) fn begin_edition(&mut self, path: String, now: Instant) {
        // The change may be the cure of what kept processes from starting.
        self.not_before = None;
        self.rollouts.begin(path, now);
        if self.is_apart() {
            self.end_other_editions(now);
        }
    }

    /// The old edition goes when all of the new one are ready.
    pub(super) fn finish_rollout(&mut self, now: Instant) {
        let edition = self.rollouts.next_edition();
        let is_ready = |m: &&Member| {
            m.edition == edition && matches!(m.state, MemberState::Waiting | MemberState::Ready)
        };
        let ready = self.members.iter().filter(is_ready).count();
        if ready < self.wanted {
            return;
        }
        let Some(rollout) = self.rollouts.take(edition) else { return };
        self.rollouts.edition = edition;
        self.rollouts.pending = None;
        let took = now.saturating_duration_since(rollout.since);
        self.record(texts::rolled_out(&rollout.path, self.wanted, self.is_apart(), took));
        self.serve_waiting();
        self.withdraw(|member| member.edition != rollout.edition, Reason::ScriptReload, now);
    }

    /// Ends the roll-out that this process was started for; false if there is none.
    pub(super) fn rollout_failed(&mut self, member: &Member, reason: &Message, now: Instant) -> bool {
        let Some(rollout) = self.rollouts.take(member.edition) else { return false };
        if rollout.edition == self.rollouts.edition {
            // There is no other edition any more.
            self.rollouts.pending = None;
            return false;
        }
        if self.serving(self.rollouts.edition) == 0 {
            // The old processes have gone in the meantime: what is there of the new ones is better.
            self.rollouts.edition = rollout.edition;
            self.withdraw(|member| member.edition != rollout.edition, Reason::ScriptReload, now);
            return false;
        }
        self.record(texts::not_rolled_out(&rollout.path, reason));
        self.withdraw(|member| member.edition == rollout.edition, Reason::ScriptReload, now);
        if let Some((path, modified)) = self.rollouts.pending.take() {
            self.begin_rollout(path, modified, now);
        }
        true
    }
}
