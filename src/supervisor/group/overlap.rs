//! Replacing processes the other way: the old one ends first, then the new one loads, and requests wait.
//!
//! Part of `supervisor::group`, in the supervisor. Applications that hold a port, a lock or a database cannot
//! be there twice. A group is *apart* where the configuration says so (`overlap=Off`), or from the moment on
//! when its only new process could not load for what an old one holds (`overlap=Auto`). Processes of older
//! configurations count: they are told to go, and the supervisor says when they have.

use std::time::{Duration, Instant};

use super::ending::or_no_bound;
use super::member::{MemberState, ProcessId};
use super::older::{Apart, Older};
use super::state::{Action, Group, Mode};
use super::texts;
use crate::control::reason::Reason;
use crate::script::{Holder, Holding};

/// Beyond their timeouts older processes are not waited for longer than this.
const GRACE: Duration = Duration::from_secs(2);

impl Group {
    pub fn is_apart(&self) -> bool {
        self.settings.apart == Apart::Always
    }

    /// Whether the supervisor is to say when no others are left that may hold what is needed.
    pub fn waits_to_be_alone(&self) -> bool {
        self.older.next_look().is_some()
    }

    pub(super) fn alone(&mut self) {
        self.older = Older::gone();
    }

    pub(super) fn next_look(&self) -> Option<Instant> {
        self.older.next_look().filter(|_| self.mode == Mode::Serving)
    }

    /// How many processes may be started beside those that are there.
    pub(super) fn room(&mut self, now: Instant) -> usize {
        if !self.is_apart() {
            return usize::MAX;
        }
        let others = self.members.iter().any(|member| member.edition != self.editions.edition());
        let room = self.wanted.saturating_sub(self.members.len());
        if others || room == 0 || self.missing() == 0 || self.older_are_there(now) {
            return 0;
        }
        room
    }

    fn older_are_there(&mut self, now: Instant) -> bool {
        if self.older.have_gone() {
            return false;
        }
        let Some(waited) = self.older.wait(now) else {
            self.all_were_ready = true;
            self.actions.push(Action::Supersede);
            return true;
        };
        if self.older.is_news(waited) {
            self.record(texts::waits_for_older());
        }
        let patience = or_no_bound(self.settings.graceful_timeout) + self.settings.shutdown_timeout + GRACE;
        if waited > patience {
            self.alone();
        }
        !self.older.have_gone()
    }

    /// A script needs what another process has.
    pub(super) fn held(&mut self, process: ProcessId, script: String, holding: Holding, now: Instant) {
        let Some(member) = self.member(process) else { return };
        if member.state == MemberState::Starting {
            // Of several the first is the one that the others may follow from.
            member.held.get_or_insert((script, holding));
        } else if holding.by == Holder::Itself {
            // Left behind by an attempt that failed later: only another process can load it.
            self.wish(process, format!("the reason why {script} could not be loaded"), now);
        }
    }

    /// Whether the new process could not load for what an old one has, and makes way for another attempt.
    pub(super) fn goes_apart(&mut self, process: ProcessId, now: Instant) -> bool {
        let may_go = self.settings.apart == Apart::WhereHeld;
        let Some(member) = self.member(process).filter(|m| may_go && m.state == MemberState::Starting) else {
            return false;
        };
        let by_old = |(_, holding): &mut (String, Holding)| match holding.by {
            // One that cannot be found any more was an old one that has just ended, as a rule.
            Holder::OfGroup(_) | Holder::Unknown => true,
            Holder::Itself | Holder::Other(_) | Holder::Stranger => false,
        };
        let Some((script, holding)) = member.held.take_if(by_old) else { return false };
        member.ready_since = Some(now);
        self.stop(process, Reason::ScriptReload, now);
        self.settings.apart = Apart::Always;
        self.older = Older::default();
        self.not_before = None;
        self.actions.push(Action::RememberApart);
        self.record(texts::goes_apart(&script, &holding));
        if let Some(rollout) = self.editions.cancel() {
            self.begin_edition(rollout.path, now);
        }
        true
    }

    /// A new edition takes the place of the old one before it is there.
    pub(super) fn end_other_editions(&mut self, now: Instant) {
        let edition = self.editions.serve_newest();
        self.older = Older::default();
        let ready = self.members.iter().filter(|m| m.edition != edition && m.state == MemberState::Ready);
        let leaving = ready.map(|member| texts::leaving(member, Reason::ScriptReload, true));
        for record in leaving.collect::<Vec<_>>() {
            self.record(record);
        }
        self.withdraw(|member| member.edition != edition, Reason::ScriptReload, now);
    }
}
