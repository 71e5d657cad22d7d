//! What a group does when its processes cannot start, or end by themselves.
//!
//! Part of `supervisor::group`, in the supervisor. A process that crashed is replaced at once; what would
//! become a start loop is slowed down, reported once for each reason, and put on the group page, so that
//! requests can be answered 503 with the reason.

use std::time::{Duration, Instant};

use super::member::Member;
use super::{Action, Group, Mode, texts};
use crate::log::Message;
use crate::os::Exit;
use crate::supervisor::backoff::Backoff;

/// A process that ends by itself sooner than this after it was ready counts as a quick crash; from the
/// third in a row on, its replacement has to wait.
const QUICK: Duration = Duration::from_secs(1);
const QUICK_CRASHES_FORGIVEN: u32 = 2;

/// Quick crashes further apart than this are not in a row.
const ROW: Duration = Duration::from_secs(60);

/// What a group remembers of its failures.
#[derive(Default)]
pub struct Failures {
    /// Why the last start failed, until one succeeds.
    reason: Option<Message>,
    backoff: Backoff,
    quick_crashes: u32,
    last_quick_crash: Option<Instant>,
    crash_backoff: Backoff,
}

impl Failures {
    /// Whether the last start has failed.
    pub fn is_failing(&self) -> bool {
        self.reason.is_some()
    }

    /// Counts the end of a process that was ready for so long: the pause before its replacement, if it is to
    /// have one.
    fn crashed(&mut self, lived: Option<Duration>, now: Instant) -> Option<Duration> {
        let in_a_row = self.last_quick_crash.is_none_or(|last| now.saturating_duration_since(last) < ROW);
        if lived.is_none_or(|lived| lived >= QUICK) || !in_a_row {
            self.quick_crashes = 0;
            self.crash_backoff.succeeded();
        }
        if lived.is_some_and(|lived| lived < QUICK) {
            self.last_quick_crash = Some(now);
            self.quick_crashes += 1;
        }
        (self.quick_crashes > QUICK_CRASHES_FORGIVEN).then(|| self.crash_backoff.failed())
    }

    /// A start has succeeded: what had failed before, if something had.
    fn recovered(&mut self) -> Option<Message> {
        self.backoff.succeeded();
        self.reason.take()
    }
}

impl Group {
    /// Reports a reason once, and puts the next attempt off.
    pub(super) fn start_failed(&mut self, member: &Member, reason: Message, now: Instant) {
        let one_more = self.mode == Mode::Serving && !self.starts(member.edition);
        let show = self.failures.reason.as_ref() != Some(&reason) && !one_more;
        self.actions.push(Action::ReleaseOutput { process: member.id, show });
        if self.mode != Mode::Serving || self.rollout_failed(member, &reason, now) {
            return;
        }
        if one_more || self.wanted == 0 {
            // The roll-out has failed already, or the group is to have no processes.
            return;
        }
        let others_start = self.members.iter().any(Member::is_starting);
        let pause = (!others_start).then(|| self.failures.backoff.failed());
        self.not_before = pause.map(|pause| now + pause);
        if show {
            self.record(texts::cannot_start(&reason));
        } else if let Some(pause) = pause {
            self.record(texts::still_cannot_start(&reason, pause));
        }
        self.actions.push(Action::Fail(reason.text.clone()));
        self.failures.reason = Some(reason);
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
            self.failures.reason = Some(reason);
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
