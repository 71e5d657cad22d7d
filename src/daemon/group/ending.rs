//! How a group takes processes out of service: drain, then stop, then kill.
//!
//! Part of `daemon::group`, in the supervisor.

use std::time::{Duration, Instant};

use super::member::{Member, State};
use super::{Action, Group, Mode, ProcessId, message};
use crate::log::Level;

/// What graceful-timeout=0 stands for: about a year, longer than any request takes.
const NO_BOUND: Duration = Duration::from_secs(1 << 25);

impl Group {
    pub(super) fn superseded(&mut self, now: Instant) {
        if self.mode == Mode::Serving {
            self.mode = Mode::Superseded;
            self.rollout = None;
            self.retire(|_| true, now);
        }
    }

    pub(super) fn stop_all(&mut self, now: Instant) {
        self.mode = Mode::Stopping;
        self.rollout = None;
        let all: Vec<ProcessId> = self.members.iter().map(|member| member.id).collect();
        all.into_iter().for_each(|process| self.stop(process, now));
    }

    /// Takes processes out of service: those that are ready finish what they hold.
    pub(super) fn retire(&mut self, which: impl Fn(&Member) -> bool, now: Instant) {
        let chosen: Vec<(ProcessId, State)> =
            self.members.iter().filter(|m| which(m)).map(|m| (m.id, m.state)).collect();
        for (process, state) in chosen {
            match state {
                State::Starting | State::Waiting => self.stop(process, now),
                State::Ready => self.drain(process, now),
                State::Draining | State::Stopping => {}
            }
        }
    }

    pub(super) fn drain(&mut self, process: ProcessId, now: Instant) {
        let deadline = match self.settings.graceful_timeout {
            Duration::ZERO => now + NO_BOUND,
            timeout => now + timeout,
        };
        if self.member(process).is_some_and(|member| member.enter(State::Draining, deadline)) {
            self.actions.push(Action::Drain(process));
        }
    }

    pub(super) fn stop(&mut self, process: ProcessId, now: Instant) {
        let deadline = now + self.settings.shutdown_timeout;
        let Some(member) = self.member(process) else { return };
        let starting = member.ready_since.is_none();
        if member.enter(State::Stopping, deadline) {
            self.actions.push(if starting { Action::Terminate(process) } else { Action::Stop(process) });
        }
    }

    /// What was asked for in vain is now ordered: drain, then stop, then kill.
    pub(super) fn escalate(&mut self, now: Instant) {
        let late = |member: &&Member| member.deadline.is_some_and(|deadline| deadline <= now);
        let late: Vec<(ProcessId, State)> =
            self.members.iter().filter(late).map(|m| (m.id, m.state)).collect();
        for (process, state) in late {
            if state == State::Draining {
                self.stop(process, now);
            } else if let Some(member) = self.member(process) {
                member.deadline = None;
                let record = message::killed(member);
                self.actions.push(Action::Kill(process));
                self.record(Level::Warning, record);
            }
        }
    }
}
