//! What a group's processes write and report.
//!
//! Runs in the supervisor. The processes run the site's code, so none is trusted with more than its own
//! group.

use std::time::Instant;

use super::handle::Heard;
use super::state::{GroupSource, Reading, SupervisedGroup};
use crate::control::message::{Loads, Report};
use crate::os::{self, Exit};
use crate::supervisor::group::{Event, ProcessId};
use crate::supervisor::output::Output;

/// Reports heard of one process before the others have their turn.
const REPORTS_AT_ONCE: usize = 16;

/// A process that was forked from a template says that it has this pid.
#[derive(Debug, Clone, Copy)]
pub struct Birth {
    process: ProcessId,
    pub pid: i32,
}

impl SupervisedGroup<'_> {
    /// Reads what was written and reported there, up to a birth, which is `born`'s to settle.
    pub fn hear(&mut self, source: GroupSource) -> Option<Birth> {
        match source {
            GroupSource::Process(id) => {
                // What it wrote before it said so.
                self.read_output(id, Output::read);
                return self.read_reports(id);
            }
            GroupSource::Output(id) => self.read_output(id, Output::read),
            GroupSource::Templates => self.hear_templates(),
            GroupSource::Remains => {
                for (pid, lines) in self.remains.read(&mut self.allowance, Instant::now()) {
                    self.show(pid, &lines);
                }
            }
        }
        None
    }

    pub(super) fn read_output(&mut self, id: ProcessId, read: Reading) {
        let Some(index) = self.find(id) else { return };
        let process = &mut self.processes[index];
        if process.is_known() {
            let hold = self.group.holds_output(id);
            let lines = read(&mut process.output, hold, &mut self.allowance, Instant::now());
            let pid = process.pid();
            self.show(pid, &lines);
        }
    }

    pub(super) fn read_reports(&mut self, id: ProcessId) -> Option<Birth> {
        for _ in 0..REPORTS_AT_ONCE {
            let index = self.find(id)?;
            let process = &mut self.processes[index];
            match process.hear() {
                Heard::Report(Report::Born(pid)) if !process.is_born() => {
                    return Some(Birth { process: id, pid });
                }
                Heard::Report(report) => self.act_on_report(index, report),
                Heard::Nonsense => {}
                Heard::Nothing => return None,
                Heard::Closed => {
                    if !process.is_born() {
                        // It never came to life; there is no other sign of that.
                        self.gone(id, Exit::Status(1));
                    }
                    return None;
                }
            }
        }
        None
    }

    /// The reports of a process that has gone: which pid it had is no matter any more.
    pub(super) fn read_last_reports(&mut self, id: ProcessId) {
        for _ in 0..REPORTS_AT_ONCE {
            if self.read_reports(id).is_none() {
                return;
            }
        }
    }

    fn act_on_report(&mut self, index: usize, report: Report) {
        let process = &mut self.processes[index];
        let id = process.id;
        let event = match report {
            Report::Heard => return process.heard(),
            // Of a process that said it before.
            Report::Born(_) => return,
            Report::AskScoreboard => return self.show_scoreboard(),
            Report::Vanished { script } => return self.learned.forget(&script),
            Report::Loaded { script, application_group, loaded } => {
                process.set_loaded(loaded);
                return self.learned.learn(&self.plan.preload, script, application_group);
            }
            Report::Ready { loads, python } => {
                process.set_loaded(loads.loaded);
                process.note_program(&mut self.shared.images.borrow_mut());
                Event::Ready { process: id, able: self.is_able(loads), is: self.describe(python) }
            }
            Report::Held { script, holding } => Event::Held { process: id, script, holding },
            Report::Reload { path, modified } => Event::Reload { path, modified },
            Report::ReloadRequired { path } => Event::ReloadRequired(id, path),
            Report::Failed(message) => {
                process.note_program(&mut self.shared.images.borrow_mut());
                Event::Failed(id, message)
            }
            Report::Renew(reason) => Event::Renew(id, reason),
        };
        self.tell(event);
    }

    /// What a process is: its Python, whose it is, and the module.
    fn describe(&self, [major, minor, micro]: [u8; 3]) -> String {
        let user = match &self.plan.group.identity {
            Some(identity) if !identity.user_name.is_empty() => format!("user {}", identity.user_name),
            Some(identity) => format!("user #{}", identity.uid),
            None => "httpd's user".to_string(),
        };
        format!("Python {major}.{minor}.{micro}, {user}, mod_wsgi_rs {}", env!("CARGO_PKG_VERSION"))
    }

    /// A forked process says who it is. It runs the site's code, so it is believed only if the kernel says
    /// the same. `is_known` is for a pid that another process of the supervisor has.
    pub fn born(&mut self, birth: Birth, is_known: bool) {
        let Birth { process: id, pid } = birth;
        let identity = self.plan.group.identity.as_ref();
        let ours = os::parent_and_user(pid).is_some_and(|(parent, user)| {
            parent == std::process::id() as i32 && identity.is_none_or(|identity| identity.uid == user)
        });
        if !ours || is_known {
            return self.gone(id, Exit::Status(1));
        }
        if let Some(index) = self.find(id) {
            self.processes[index].born(pid);
            self.group.started(id, pid);
        }
    }

    /// Whether a process can do what those that serve now can, in whatever generation. Where none does,
    /// errors are the answer, if that is all there is.
    fn is_able(&self, loads: Loads) -> bool {
        let no_worse = |most: u32| (loads.failed == 0 || loads.loaded >= most) && loads.forgotten == 0;
        self.page().most_loaded().is_none_or(no_worse)
    }

    /// Groups that may not see it have no scoreboard page.
    pub(super) fn show_scoreboard(&self) {
        if let Some(page) = &self.scoreboard_page
            && let Some(scoreboard) = (self.shared.start.scoreboard)()
        {
            // Who asked sees that no answer comes.
            let _ = page.show(&scoreboard);
        }
    }
}
