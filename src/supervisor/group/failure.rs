//! What a group does when its processes cannot start, or end by themselves.
//!
//! Part of `supervisor::group`, in the supervisor. A process that crashed is replaced at once; what would
//! become a start loop is slowed down, reported once for each reason, and put on the group page, so that
//! requests can be answered 503 with the reason.

use std::time::Instant;

use super::failures::Failures;
use super::member::Member;
use super::state::{Action, Group, Mode};
use super::texts;
use crate::log::Message;
use crate::os::Exit;

impl Group {
    /// Reports a reason once, and puts the next attempt off.
    pub(super) fn start_failed(&mut self, member: &Member, reason: Message, now: Instant) {
        let one_more = self.mode == Mode::Serving && !self.starts(member.edition);
        let show = self.failures.is_news(&reason) && !one_more;
        self.actions.push(Action::ReleaseOutput { process: member.id, show });
        if self.mode != Mode::Serving || self.rollout_failed(member, &reason, now) {
            return;
        }
        if one_more || self.wanted == 0 {
            // The roll-out has failed already, or the group is to have no processes.
            return;
        }
        let others_start = self.members.iter().any(Member::is_starting);
        let pause = (!others_start).then(|| self.failures.pause());
        self.not_before = pause.map(|pause| now + pause);
        if show {
            self.record(texts::cannot_start(&reason));
        } else if let Some(pause) = pause {
            self.record(texts::still_cannot_start(&reason, pause));
        }
        self.actions.push(Action::Fail(reason.text.clone()));
        self.failures.note(reason);
    }

    /// A process that was ready ended without being told to.
    pub(super) fn crashed(&mut self, member: &Member, exit: Exit, now: Instant) {
        let crash = texts::crashed(member, exit);
        self.record(crash.clone());
        if self.mode != Mode::Serving || self.wanted == 0 || self.rollout_failed(member, &crash, now) {
            return;
        }
        let lived = member.ready_since.map(|since| now.saturating_duration_since(since));
        if let Some(pause) = self.failures.crashed(lived, now) {
            let reason = texts::crash_loop(exit);
            self.not_before = Some(now + pause);
            self.record(texts::cannot_start(&reason));
            self.actions.push(Action::Fail(reason.text.clone()));
            self.failures.note(reason);
        }
    }

    /// A group that sleeps is to be woken by the next request, which would not be sent to one that fails.
    pub(super) fn forget_failures(&mut self) {
        if self.failures.is_failing() {
            self.actions.push(Action::Recovered);
        }
        self.failures = Failures::default();
        self.not_before = None;
    }

    pub(super) fn recovered(&mut self) {
        self.not_before = None;
        if let Some(failure) = self.failures.recovered() {
            self.actions.push(Action::Recovered);
            self.record(texts::recovered(&failure));
        }
    }
}
