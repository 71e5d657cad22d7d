//! When a group's templates (`preload=On`) start, fork and end.
//!
//! Runs in the supervisor. There is one for each edition of a group that processes are started of, and none
//! before the first. The state machine knows nothing of it: what it wants started waits here until the
//! template is ready, or fails with it.

use std::io;
use std::time::Instant;

use super::handle::{Handle, Heard, hear};
use super::state::{Reading, SupervisedGroup};
use super::template::Template;
use crate::control::message::Report;
use crate::log::{Code, Message, wording};
use crate::os::Exit;
use crate::spawn;
use crate::supervisor::group::{Event, ProcessId};
use crate::supervisor::output::Output;

impl SupervisedGroup<'_> {
    /// In the place of a start: the process is forked, at once or when its template is ready.
    pub(super) fn start_from_template(&mut self, id: ProcessId) -> Result<(), Message> {
        let Some(edition) = self.group.edition_of(id) else { return Ok(()) };
        let usable = |template: &Template| template.edition == edition && template.is_usable();
        match self.templates.iter().position(usable) {
            Some(index) if self.templates[index].ready => self.fork_from(index, id),
            Some(index) => {
                self.templates[index].waiting.push(id);
                Ok(())
            }
            None => self.start_template(edition, id),
        }
    }

    fn start_template(&mut self, edition: u32, id: ProcessId) -> Result<(), Message> {
        let mut launch = self.launch();
        let slot = self.claim_slot(&mut launch)?;
        launch.template = true;
        launch.group.display_name.push_str(" template");
        let spawned = self.spawn(&launch, &slot)?;
        self.readers.push(spawned.reader.pid);
        self.templates.push(Template::new(edition, slot, spawned, id));
        Ok(())
    }

    fn fork_from(&mut self, index: usize, id: ProcessId) -> Result<(), Message> {
        let mut launch = self.launch();
        let slot = self.claim_slot(&mut launch)?;
        let gone = || Err(io::ErrorKind::BrokenPipe.into());
        let control = self.templates[index].control.as_ref();
        let spawned = control.map_or_else(gone, |control| spawn::fork_from(control, &launch));
        let spawned = spawned.map_err(|error| {
            let text =
                format!("the template of the group cannot be asked for a process: {}", wording(&error));
            Message::new(Code::TemplateUnresponsive, text)
        })?;
        self.readers.push(spawned.reader.pid);
        self.processes.push(Handle::new(id, slot, spawned));
        Ok(())
    }

    /// What the templates wrote and reported.
    pub(super) fn hear_templates(&mut self) {
        for index in 0..self.templates.len() {
            self.read_template_output(index, Output::read);
            let template = &mut self.templates[index];
            let Heard::Report(report) = hear(&mut template.control) else { continue };
            match report {
                Report::Ready { loads, .. } => {
                    if !template.ready {
                        self.shared.images.borrow_mut().note(template.pid);
                    }
                    self.template_is_ready(index, loads.failed == 0 && loads.forgotten == 0)
                }
                Report::Failed(message) => template.failure = Some(message),
                Report::Held { script, holding } => {
                    // Those that are forked from it say nothing of their own.
                    for process in template.waiting.clone() {
                        let (script, holding) = (script.clone(), holding.clone());
                        self.tell(Event::Held { process, script, holding });
                    }
                }
                Report::AskScoreboard => self.show_scoreboard(),
                Report::Vanished { script } => self.learned.forget(&script),
                // What is for processes that serve.
                Report::Loaded { .. }
                | Report::Reload { .. }
                | Report::ReloadRequired { .. }
                | Report::Renew(_)
                | Report::Heard
                | Report::Born(_) => {}
            }
        }
    }

    fn read_template_output(&mut self, index: usize, read: Reading) {
        let template = &mut self.templates[index];
        let hold = template.waiting.first().is_some_and(|id| self.group.holds_output(*id));
        let lines = read(&mut template.output, hold, &mut self.allowance, Instant::now());
        let pid = template.pid;
        self.show(pid, &lines);
    }

    fn template_is_ready(&mut self, index: usize, loaded: bool) {
        let template = &mut self.templates[index];
        template.ready = true;
        let (pid, held) = (template.pid, template.output.release());
        let waiting = std::mem::take(&mut template.waiting);
        self.show(pid, &held);
        for process in waiting {
            if let Err(reason) = self.fork_from(index, process) {
                self.tell(Event::NotStarted(process, reason));
            }
        }
        if !loaded {
            // Those that come later are to have what can be loaded then. It does what it was asked for, and
            // ends.
            self.templates[index].control = None;
        }
    }

    /// The template that a process waits for.
    pub(super) fn template_of(&mut self, id: ProcessId) -> Option<&mut Template> {
        self.templates.iter_mut().find(|template| template.waiting.contains(&id))
    }

    /// A template has ended: all that waited for it have failed.
    pub(super) fn template_gone(&mut self, index: usize, exit: Exit) {
        // Its last words first.
        self.hear_templates();
        self.hear_templates();
        self.read_template_output(index, Output::read_rest);
        let template = &mut self.templates[index];
        let output = template.output.last_lines();
        let (waiting, failure) = (template.waiting.clone(), template.failure.clone());
        for process in waiting {
            if let Some(reason) = failure.clone() {
                self.tell(Event::Failed(process, reason));
            }
            self.tell(Event::Exited { process, exit, output: output.clone() });
        }
        // Others may have been started meanwhile, behind it.
        let Template { pid, output, .. } = self.templates.swap_remove(index);
        self.remains.keep(pid, output);
    }

    /// Ends the template of a process that has not come from it in time.
    pub(super) fn end_template_of(&mut self, id: ProcessId) {
        let Some(edition) = self.group.edition_of(id) else { return };
        let its = |template: &&mut Template| template.edition == edition;
        self.templates.iter_mut().filter(its).for_each(Template::end);
    }

    /// Ends those that nothing will be forked from any more.
    pub fn end_old_templates(&mut self) {
        let sleeps = self.sleeps();
        for template in &mut self.templates {
            let needed = self.group.starts(template.edition) && !sleeps;
            if template.waiting.is_empty() && !needed {
                template.end();
            }
        }
    }
}
