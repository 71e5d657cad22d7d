//! One process of a group, as `supervisor::group` in the supervisor knows it.
//!
//! A plain value: the group decides, `supervisor::supervised` holds what belongs to the system (pid, control
//! socket, output). The states are in the order in which a process goes through them.

use std::time::Instant;

use crate::control::reason::Reason;
use crate::log::Message;
use crate::script::{Holder, Holding};

/// Names a process for as long as the group lives, before it has a pid and after.
pub type ProcessId = u32;

/// In the order in which a process can go through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberState {
    Starting,
    /// Could serve, and waits for the others of its edition.
    Waiting,
    Ready,
    /// Told to finish what it holds and to end.
    Draining,
    /// Told to end now.
    Stopping,
}

pub struct Member {
    pub id: ProcessId,
    pub pid: i32,
    pub edition: u32,
    pub state: MemberState,
    pub started: Instant,
    pub ready_since: Option<Instant>,
    /// Why it is to be replaced, or to end.
    pub leaving: Option<Reason>,
    /// Its successor is being started.
    pub replaced: bool,
    /// Why its start failed, once that is known.
    pub reason: Option<Message>,
    /// What kept a script of it from being loaded, in another process.
    pub held: Option<(String, Holding)>,
    /// When patience with its state ends.
    pub deadline: Option<Instant>,
}

impl Member {
    pub fn new(id: ProcessId, edition: u32, now: Instant, deadline: Option<Instant>) -> Self {
        Member {
            id,
            pid: 0,
            edition,
            state: MemberState::Starting,
            started: now,
            ready_since: None,
            leaving: None,
            replaced: false,
            reason: None,
            held: None,
            deadline,
        }
    }

    pub fn become_ready(&mut self, now: Instant) {
        self.state = MemberState::Waiting;
        self.ready_since = Some(now);
        self.deadline = None;
    }

    /// Goes on to a later state; false if it was there already.
    pub fn enter(&mut self, state: MemberState, deadline: Instant) -> bool {
        let later = self.state < state;
        if later {
            self.state = state;
            self.deadline = Some(deadline);
        }
        later
    }

    /// Whether the outcome of its start is open: a failed one counts until it has gone, and is told then.
    pub fn is_starting(&self) -> bool {
        self.state == MemberState::Starting || self.reason.is_some()
    }

    /// Whether it counts for what its edition is to have.
    pub fn stays(&self, edition: u32) -> bool {
        self.edition == edition && self.state == MemberState::Ready && !self.replaced
    }

    /// Whether it serves until its successor is ready.
    pub fn makes_room(&self) -> bool {
        self.state == MemberState::Ready && self.replaced
    }

    /// Whether a process that it replaces has what it needs.
    pub fn is_held_up_by_old(&self) -> bool {
        self.held.as_ref().is_some_and(|(_, holding)| matches!(holding.by, Holder::OfGroup(_)))
    }

    /// Whether it is to be replaced and nothing has been done about it.
    pub fn waits_for_renewal(&self) -> bool {
        self.state == MemberState::Ready && !self.replaced && self.leaving.is_some()
    }
}
