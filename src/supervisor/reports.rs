//! What the processes report.
//!
//! Part of `supervisor::crew`: reports become events for the groups, and answers. They come from processes
//! that run the sites' code, so none is trusted with more than its own group.

use std::io::ErrorKind;

use super::crew::{Crew, Unit};
use super::group::{Event, ProcessId};
use crate::control::message::{Loads, Report};
use crate::log::Message;
use crate::os::Exit;
use crate::script::Preload;

/// Reports heard of one process before the others have their turn.
const REPORTS_AT_ONCE: usize = 16;

/// Scripts beyond the configured ones that a group remembers; of some their clients choose the interpreters.
const MOST_LEARNED: usize = 16;

impl Unit {
    fn learn(&mut self, script: String, application_group: String) {
        let is_it = |other: &Preload| other.script == script && other.application_group == application_group;
        let known = self.plan.preload.iter().chain(&self.learned).any(is_it);
        if !known && self.learned.len() < MOST_LEARNED {
            self.learned.push(Preload { script, application_group, callable: None });
        }
    }
}

impl Crew<'_> {
    pub(super) fn read_reports(&mut self, unit: usize, id: ProcessId) {
        for _ in 0..REPORTS_AT_ONCE {
            let Some(index) = self.find(unit, id) else { return };
            let process = &mut self.processes[index];
            let Some(control) = &process.control else { return };
            match control.receive() {
                Ok(Some(Report::Heard)) => {
                    if let Some((watch, _)) = &mut process.watch {
                        watch.heard();
                    }
                }
                Ok(Some(Report::AskScoreboard)) => self.show_scoreboard(unit),
                Ok(Some(Report::Loaded { script, application_group, loaded })) => {
                    self.page_of(index).set_loaded(self.processes[index].slot, loaded);
                    self.units[unit].learn(script, application_group);
                }
                Ok(Some(Report::Ready(loads))) => {
                    let able = self.is_able(index, loads);
                    self.tell(unit, Event::Ready { process: id, able });
                }
                Ok(Some(Report::Born(pid))) => self.born(unit, id, pid),
                Ok(Some(report)) => self.tell(unit, event(id, report)),
                Ok(None) => return,
                // Nonsense from a process that runs a site's code is not listened to.
                Err(error) if error.kind() == ErrorKind::InvalidData => {}
                Err(_) => {
                    process.control = None;
                    if process.pid == 0 {
                        // It never came to life; there is no other sign of that.
                        return self.gone(unit, id, Exit::Status(1));
                    }
                }
            }
        }
    }

    /// Whether the process can do what those that serve now can, in whatever generation. Where none does,
    /// errors are the answer, if that is all there is.
    fn is_able(&self, index: usize, loads: Loads) -> bool {
        let page = self.page_of(index);
        page.set_loaded(self.processes[index].slot, loads.loaded);
        let no_worse = |most: u32| (loads.failed == 0 || loads.loaded >= most) && loads.forgotten == 0;
        page.most_loaded().is_none_or(no_worse)
    }

    /// Groups that may not see it have no scoreboard page.
    pub(super) fn show_scoreboard(&self, unit: usize) {
        if let Some(page) = &self.units[unit].scoreboard_page
            && let Some(scoreboard) = (self.start.scoreboard)()
        {
            // Who asked sees that no answer comes.
            let _ = page.show(&scoreboard);
        }
    }
}

fn event(process: ProcessId, report: Report) -> Event {
    match report {
        Report::Heard
        | Report::Born(_)
        | Report::AskScoreboard
        | Report::Ready(_)
        | Report::Loaded { .. } => Event::Tick,
        Report::Held { script, holding } => Event::Held { process, script, holding },
        Report::Reload { path, modified } => Event::Reload { path, modified },
        Report::ReloadRequired { path } => Event::ReloadRequired(process, path),
        Report::Failed { code, text } => Event::Failed(process, Message::new(code, text)),
        Report::Renew(reason) => Event::Renew(process, reason),
    }
}
