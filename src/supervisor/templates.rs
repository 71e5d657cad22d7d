//! When templates (`preload=On`) start, fork and end.
//!
//! Part of `supervisor::crew`. There is one for each edition of a group that processes are started of, and
//! none before the first. The group knows nothing of it: what it wants started waits here until the template
//! is ready, or fails with it.

use super::crew::{Crew, Process, Reading, Remains, Unit, show};
use super::group::{Event, ProcessId};
use super::output::Output;
use super::spawn;
use super::template::Template;
use crate::control::message::Report;
use crate::log::Message;
use crate::os::{self, Exit};
use std::time::Instant;

impl Crew<'_> {
    /// In the place of a start: the process is forked, at once or when its template is ready.
    pub(super) fn start_from_template(&mut self, unit: usize, id: ProcessId) -> Option<Event> {
        let edition = self.units[unit].group.edition_of(id)?;
        let usable = |t: &Template| t.unit == unit && t.edition == edition && t.is_usable();
        match self.templates.iter().position(usable) {
            Some(index) if self.templates[index].ready => self.fork_from(index, id),
            Some(index) => {
                self.templates[index].waiting.push(id);
                None
            }
            None => self.start_template(unit, edition, id),
        }
    }

    fn start_template(&mut self, unit: usize, edition: u32, id: ProcessId) -> Option<Event> {
        let mut launch = match self.launch(unit) {
            Ok(launch) => launch,
            Err(reason) => return Some(Event::NotStarted(id, reason)),
        };
        launch.template = true;
        launch.display_name.push_str(" template");
        let unit_of = &self.units[unit];
        let page = &unit_of.plan.listener.page;
        let Some(slot) = page.claim_slot(self.generation) else {
            return Some(super::crew::no_slot(id));
        };
        match self.start.launcher.spawn(&unit_of.plan.group, &unit_of.common(), &launch) {
            Err(reason) => {
                page.release_slot(slot);
                Some(Event::NotStarted(id, reason))
            }
            Ok(spawned) => {
                page.set_pid(slot, spawned.pid);
                self.templates.push(Template::new(unit, edition, slot, spawned, id));
                None
            }
        }
    }

    fn fork_from(&mut self, index: usize, id: ProcessId) -> Option<Event> {
        let unit = self.templates[index].unit;
        let mut launch = match self.launch(unit) {
            Ok(launch) => launch,
            Err(reason) => return Some(Event::NotStarted(id, reason)),
        };
        let plan = &self.units[unit].plan;
        let Some(slot) = plan.listener.page.claim_slot(self.generation) else {
            return Some(super::crew::no_slot(id));
        };
        launch.slot = slot as u32;
        let gone = || Err(std::io::ErrorKind::BrokenPipe.into());
        let template = self.templates[index].control.as_ref();
        match template.map_or_else(gone, |control| spawn::fork_from(control, &launch)) {
            Ok(spawned) => {
                self.processes.push(Process::new(unit, id, slot, spawned));
                None
            }
            Err(error) => {
                plan.listener.page.release_slot(slot);
                let text = format!("the template of the group cannot be asked for a process: {error}");
                Some(Event::NotStarted(id, Message::new(343, text)))
            }
        }
    }

    /// A forked process says who it is. It runs the site's code, so it is believed only if the kernel says
    /// the same.
    pub(super) fn born(&mut self, unit: usize, id: ProcessId, pid: i32) {
        let Some(index) = self.find(unit, id).filter(|index| self.processes[*index].pid == 0) else { return };
        let identity = self.units[unit].plan.group.identity.as_ref();
        let ours = os::parent_and_user(pid).is_some_and(|(parent, user)| {
            parent == std::process::id() as i32 && identity.is_none_or(|identity| identity.uid == user)
        });
        let known = self.processes.iter().any(|process| process.pid == pid)
            || self.templates.iter().any(|template| template.pid == pid);
        if !ours || known {
            return self.gone(unit, id, Exit::Status(1));
        }
        self.processes[index].pid = pid;
        self.units[unit].plan.listener.page.set_pid(self.processes[index].slot, pid);
        self.units[unit].group.started(id, pid);
    }

    /// What the templates wrote and reported.
    pub(super) fn hear_templates(&mut self) {
        for index in 0..self.templates.len() {
            self.read_template_output(index, Output::read);
            let template = &mut self.templates[index];
            let Some(control) = &template.control else { continue };
            match control.receive() {
                Ok(Some(Report::Ready(loads))) => {
                    self.template_is_ready(index, loads.failed + loads.forgotten == 0)
                }
                Ok(Some(Report::Failed { code, text })) => template.failure = Some(Message::new(code, text)),
                Ok(Some(Report::Held { script, holding })) => {
                    // Those that are forked from it say nothing of their own.
                    let (unit, waiting) = (template.unit, template.waiting.clone());
                    for process in waiting {
                        let (script, holding) = (script.clone(), holding.clone());
                        self.tell(unit, Event::Held { process, script, holding });
                    }
                }
                Ok(Some(Report::AskScoreboard)) => {
                    let unit = template.unit;
                    self.show_scoreboard(unit);
                }
                Ok(_) => {}
                // Nonsense from a process that runs a site's code is not listened to.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {}
                Err(_) => template.control = None,
            }
        }
    }

    fn read_template_output(&mut self, index: usize, read: Reading) {
        let template = &mut self.templates[index];
        let Unit { plan, group, allowance, .. } = &mut self.units[template.unit];
        let held = template.waiting.first().is_some_and(|id| group.holds_output(*id));
        let lines = read(&mut template.output, held, allowance, Instant::now());
        show(self.journal, plan.index, template.pid, &lines);
    }

    fn template_is_ready(&mut self, index: usize, loaded: bool) {
        let template = &mut self.templates[index];
        let unit = template.unit;
        template.ready = true;
        show(self.journal, self.units[unit].plan.index, template.pid, &template.output.release());
        for id in std::mem::take(&mut template.waiting) {
            if let Some(event) = self.fork_from(index, id) {
                self.tell(unit, event);
            }
        }
        if !loaded {
            // Those that come later are to have what can be loaded then. It does what it was asked for, and
            // ends.
            self.templates[index].control = None;
        }
    }

    /// The output of the template that a process waits for.
    pub(super) fn output_of_template(&mut self, unit: usize, id: ProcessId) -> Option<(i32, &mut Output)> {
        let waits = |template: &&mut Template| template.unit == unit && template.waiting.contains(&id);
        self.templates.iter_mut().find(waits).map(|template| (template.pid, &mut template.output))
    }

    /// If it was a template that has ended, all that waited for it have failed.
    pub(super) fn template_ended(&mut self, pid: i32, exit: Exit) {
        let Some(index) = self.templates.iter().position(|template| template.pid == pid) else { return };
        // Its last words first.
        self.hear_templates();
        self.hear_templates();
        self.read_template_output(index, Output::read_rest);
        let template = &mut self.templates[index];
        template.told_to_end = true;
        let (unit, output) = (template.unit, template.output.last_lines());
        self.units[unit].plan.listener.page.release_slot(template.slot);
        let (waiting, failure) = (template.waiting.clone(), template.failure.clone());
        for process in waiting {
            if let Some(reason) = failure.clone() {
                self.tell(unit, Event::Failed(process, reason));
            }
            self.tell(unit, Event::Exited { process, exit, output: output.clone() });
        }
        // Others may have been started meanwhile, behind it.
        let Template { output, .. } = self.templates.swap_remove(index);
        self.keep_remains(Remains { unit, pid, output });
    }

    /// Ends the template of a process that has not come from it in time.
    pub(super) fn end_template_of(&mut self, unit: usize, id: ProcessId) {
        let Some(edition) = self.units[unit].group.edition_of(id) else { return };
        let its = |template: &&mut Template| template.unit == unit && template.edition == edition;
        self.templates.iter_mut().filter(its).for_each(Template::end);
    }

    /// Ends those that nothing will be forked from any more.
    pub(super) fn end_old_templates(&mut self) {
        for template in &mut self.templates {
            let unit = &self.units[template.unit];
            let needed = unit.group.starts(template.edition) && !unit.sleeps();
            if template.waiting.is_empty() && !needed {
                template.end();
            }
        }
    }
}
