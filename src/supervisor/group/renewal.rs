//! Renewal: one process of a group makes room for a successor of the same edition; and how many there are.
//!
//! Part of `supervisor::group`, in the supervisor. A process that is *leaving* serves on until its successor
//! is ready. Limits such as maximum-requests wait for one another, and for the machine: starting processes
//! gets a small part of its time, however soon a limit is reached. What has gone wrong does not wait.

use std::time::Instant;

use super::member::{Member, MemberState, ProcessId};
use super::state::{Group, Mode};
use super::texts;
use crate::control::reason::Reason;

impl Group {
    pub(super) fn renew(&mut self, process: ProcessId, reason: Reason) {
        let (mode, apart) = (self.mode, self.is_apart());
        let Some(member) = self.member(process) else { return };
        let ready = matches!(member.state, MemberState::Waiting | MemberState::Ready);
        let news = member.leaving.is_none_or(|known| reason.is_urgent() && !known.is_urgent());
        if mode == Mode::Serving && ready && news {
            member.leaving = Some(reason);
            let record = texts::leaving(member, reason, apart);
            self.record(record);
        }
    }

    /// Has so many processes from now on. Those that are too many finish what they hold.
    pub(super) fn want(&mut self, processes: usize, now: Instant) {
        if self.mode != Mode::Serving || processes == self.wanted {
            return;
        }
        self.record(texts::wanted(self.wanted, processes));
        self.wanted = processes;
        if processes == 0 {
            self.editions.cancel();
            self.forget_failures();
            return self.withdraw(|_| true, Reason::Idle, now);
        }
        let ready: Vec<ProcessId> =
            self.members.iter().filter(|m| m.stays(self.editions.edition())).map(|m| m.id).collect();
        for process in ready.into_iter().skip(processes) {
            self.drain(process, Reason::Idle, now);
        }
    }

    /// Begins the renewals that may begin, and ends those whose successors are there.
    pub(super) fn renew_members(&mut self, now: Instant) {
        if self.mode != Mode::Serving || self.editions.is_running() {
            return;
        }
        self.begin_renewals(now);
        // Where the group is apart the successor comes when the place is free.
        if !self.is_apart()
            && self.members.iter().filter(|m| m.stays(self.editions.edition())).count() < self.wanted
        {
            return;
        }
        let leaves = self.members.iter().filter(|m| m.makes_room());
        let leaving: Vec<_> = leaves.filter_map(|m| Some((m.id, m.leaving?))).collect();
        for (process, reason) in leaving {
            // What stands still does not get any further by being waited for.
            if reason == Reason::DeadlockTimeout {
                self.stop(process, reason, now);
            } else {
                self.drain(process, reason, now);
            }
            self.pace.renewed(now);
        }
        self.begin_renewals(now);
    }

    fn begin_renewals(&mut self, now: Instant) {
        for member in self.members.iter_mut().filter(|m| m.waits_for_renewal()) {
            member.replaced = member.leaving.is_some_and(Reason::is_urgent);
        }
        if !self.renewal_is_under_way()
            && self.pace.allows(now)
            && let Some(member) = self.members.iter_mut().find(|m| m.waits_for_renewal())
        {
            member.replaced = true;
        }
    }

    fn renewal_is_under_way(&self) -> bool {
        let apart = self.is_apart();
        self.members.iter().any(|m| m.makes_room() || (apart && m.state != MemberState::Ready))
    }

    /// When a renewal that waits for its turn may begin.
    pub(super) fn next_renewal(&self) -> Option<Instant> {
        let under_way = self.editions.is_running() || self.renewal_is_under_way();
        let possible = self.mode == Mode::Serving && !under_way;
        self.pace.not_before().filter(|_| possible && self.members.iter().any(Member::waits_for_renewal))
    }
}
