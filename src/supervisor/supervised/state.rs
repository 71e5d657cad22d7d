//! What the supervisor knows of one process group.
//!
//! Runs in the supervisor. `supervisor::group` has the state machine; this has what belongs to the system.

use std::cell::RefCell;
use std::time::Instant;

use super::demand::Demand;
use super::handle::Handle;
use super::learned::Learned;
use super::remains::Remains;
use super::template::Template;
use crate::control::scoreboard_page::ScoreboardPage;
use crate::log::Journal;
use crate::supervisor::group::{Group, ProcessId};
use crate::supervisor::output::{Allowance, Line, Output};
use crate::supervisor::plan::{GroupPlan, Start};
use crate::supervisor::strays::Images;

/// What the groups of a generation have in common.
pub struct Shared<'a> {
    pub generation: u64,
    pub start: Start,
    pub journal: &'a dyn Journal,
    pub images: RefCell<Images>,
}

pub struct SupervisedGroup<'a> {
    pub(super) shared: &'a Shared<'a>,
    pub(super) plan: GroupPlan,
    pub(super) group: Group,
    pub(super) demand: Demand,
    pub(super) processes: Vec<Handle>,
    pub(super) templates: Vec<Template>,
    pub(super) remains: Remains,
    /// The pids of what reads for its processes, and for those whose words remain.
    pub(super) readers: Vec<i32>,
    pub(super) learned: Learned,
    /// What its processes may still write.
    pub(super) allowance: Allowance,
    /// Where they see httpd's scoreboard, if they may.
    pub(super) scoreboard_page: Option<ScoreboardPage>,
}

/// Which of a group's descriptors can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupSource {
    /// It has reported.
    Process(ProcessId),
    /// It has written.
    Output(ProcessId),
    Templates,
    Remains,
}

/// `Output::read`, or another.
pub(super) type Reading = fn(&mut Output, bool, &mut Allowance, Instant) -> Vec<Line>;
