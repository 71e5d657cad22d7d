//! A template (`preload=On`): a process that has loaded a group's scripts, and forks its others.
//!
//! Runs in the supervisor. `templates` says when there is one.

use super::handle::{ClaimedSlot, End};
use crate::control::channel::ControlSupervisor;
use crate::log::Message;
use crate::os;
use crate::spawn::Spawned;
use crate::supervisor::group::ProcessId;
use crate::supervisor::output::Output;

pub struct Template {
    pub edition: u32,
    pub pid: i32,
    /// Newer configurations see there what an old template may still hold. None once it has ended.
    pub slot: Option<ClaimedSlot>,
    /// None once it is to fork no more, or its end is closed: it ends then.
    pub control: Option<ControlSupervisor>,
    pub output: Output,
    /// Processes that are to be forked from it.
    pub waiting: Vec<ProcessId>,
    pub ready: bool,
    /// Why it could not load anything.
    pub failure: Option<Message>,
    pub told_to_end: bool,
    pub end: End,
}

impl Template {
    /// One that has been started for a process.
    pub fn new(edition: u32, slot: ClaimedSlot, spawned: Spawned, first: ProcessId) -> Template {
        let Spawned { pid, control, output, reader, .. } = spawned;
        Template {
            edition,
            pid,
            slot: Some(slot),
            control: Some(control),
            output: Output::new(output),
            waiting: vec![first],
            ready: false,
            failure: None,
            told_to_end: false,
            end: End::of(reader),
        }
    }

    pub fn is_usable(&self) -> bool {
        self.control.is_some() && !self.told_to_end
    }

    pub fn end(&mut self) {
        if !self.told_to_end {
            self.told_to_end = true;
            // It can only have ended in the meantime.
            let _ = os::kill(self.pid, libc::SIGKILL);
        }
    }
}
