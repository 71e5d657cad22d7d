//! A template (`preload=On`): a process that has loaded a group's scripts, and that its others are forked
//! from.
//!
//! `supervisor::templates` says when there is one.

use super::group::ProcessId;
use super::output::Output;
use super::spawn::Spawned;
use crate::control::channel::ControlSupervisor;
use crate::log::Message;
use crate::os;

pub struct Template {
    pub unit: usize,
    pub edition: u32,
    pub pid: i32,
    /// Newer configurations see there what an old template may still hold.
    pub slot: usize,
    /// None once it is to fork no more, or its end is closed: it ends then.
    pub control: Option<ControlSupervisor>,
    pub output: Output,
    /// Processes that are to be forked from it.
    pub waiting: Vec<ProcessId>,
    pub ready: bool,
    /// Why it could not load anything.
    pub failure: Option<Message>,
    pub told_to_end: bool,
}

impl Template {
    /// One that has been started for a process.
    pub fn new(unit: usize, edition: u32, slot: usize, spawned: Spawned, first: ProcessId) -> Template {
        let Spawned { pid, control, output, .. } = spawned;
        Template {
            unit,
            edition,
            pid,
            slot,
            control: Some(control),
            output: Output::new(output),
            waiting: vec![first],
            ready: false,
            failure: None,
            told_to_end: false,
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
