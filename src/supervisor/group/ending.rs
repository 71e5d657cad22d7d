//! How a group takes processes out of service: drain, then stop, then kill.
//!
//! Part of `supervisor::group`, in the supervisor.

use std::time::{Duration, Instant};

use super::member::{Member, MemberState, ProcessId};
use super::state::{Action, Group, Mode};
use super::texts;
use crate::control::reason::Reason;

/// What graceful-timeout=0 stands for: about a year, longer than any request takes.
const NO_BOUND: Duration = Duration::from_secs(1 << 25);

pub(super) fn or_no_bound(graceful_timeout: Duration) -> Duration {
    if graceful_timeout.is_zero() { NO_BOUND } else { graceful_timeout }
}

impl Group {
    pub(super) fn superseded(&mut self, now: Instant) {
        if self.mode == Mode::Serving {
            self.mode = Mode::Superseded;
            self.editions.cancel();
            self.withdraw(|_| true, Reason::Shutdown, now);
        }
    }

    pub(super) fn stop_all(&mut self, now: Instant) {
        self.mode = Mode::Stopping;
        self.editions.cancel();
        let all: Vec<ProcessId> = self.members.iter().map(|member| member.id).collect();
        all.into_iter().for_each(|process| self.stop(process, Reason::Shutdown, now));
    }

    /// Takes processes out of service: those that are ready finish what they hold.
    pub(super) fn withdraw(&mut self, which: impl Fn(&Member) -> bool, reason: Reason, now: Instant) {
        let chosen: Vec<(ProcessId, MemberState)> =
            self.members.iter().filter(|m| which(m)).map(|m| (m.id, m.state)).collect();
        for (process, state) in chosen {
            match state {
                MemberState::Starting | MemberState::Waiting => self.stop(process, reason, now),
                MemberState::Ready => self.drain(process, reason, now),
                MemberState::Draining | MemberState::Stopping => {}
            }
        }
    }

    pub(super) fn drain(&mut self, process: ProcessId, reason: Reason, now: Instant) {
        let eviction = self.settings.eviction_timeout.filter(|_| reason == Reason::EvictionSignal);
        let deadline = now + or_no_bound(eviction.unwrap_or(self.settings.graceful_timeout));
        let Some(member) = self.member(process) else { return };
        let reason = *member.leaving.get_or_insert(reason);
        if member.enter(MemberState::Draining, deadline) {
            self.actions.push(Action::Drain(process, reason));
        }
    }

    pub(super) fn stop(&mut self, process: ProcessId, reason: Reason, now: Instant) {
        let deadline = now + self.settings.shutdown_timeout;
        let Some(member) = self.member(process) else { return };
        let starting = member.ready_since.is_none();
        let reason = *member.leaving.get_or_insert(reason);
        if member.enter(MemberState::Stopping, deadline) {
            let stop = Action::Stop(process, reason);
            self.actions.push(if starting { Action::Terminate(process) } else { stop });
        }
    }

    /// Nothing can be asked of this process any more.
    pub(super) fn unresponsive(&mut self, process: ProcessId, now: Instant) {
        let Some(member) = self.member(process) else { return };
        if member.enter(MemberState::Stopping, now) {
            member.deadline = None;
            let record = texts::unresponsive(member);
            self.actions.push(Action::Kill(process));
            self.record(record);
        }
    }

    /// A process that has not become ready in time.
    fn starts_too_slowly(&mut self, process: ProcessId, now: Instant) {
        let patience = self.settings.startup_timeout.unwrap_or_default();
        if let Some(member) = self.member(process) {
            member.reason = Some(texts::starts_too_slowly(patience));
        }
        self.stop(process, Reason::StartupTimeout, now);
    }

    /// What was asked for in vain is now ordered: drain, then stop, then kill.
    pub(super) fn escalate(&mut self, now: Instant) {
        let late = |member: &&Member| member.deadline.is_some_and(|deadline| deadline <= now);
        let late: Vec<(ProcessId, MemberState)> =
            self.members.iter().filter(late).map(|m| (m.id, m.state)).collect();
        for (process, state) in late {
            if state == MemberState::Draining {
                self.stop(process, Reason::Shutdown, now);
            } else if state == MemberState::Starting {
                self.starts_too_slowly(process, now);
            } else if let Some(member) = self.member(process) {
                member.deadline = None;
                let record = texts::killed(member);
                self.actions.push(Action::Kill(process));
                self.record(record);
            }
        }
    }
}
