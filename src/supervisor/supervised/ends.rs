//! Processes and templates of a group that have ended, and what reads for them (`spawn::reader`).
//!
//! Runs in the supervisor. The end of a process counts once its last words are there: they say why it ended,
//! and its reader hands them over meanwhile. A reader that stands still is not waited for.

use std::time::Instant;

use super::handle::{End, Settled};
use super::state::SupervisedGroup;
use crate::log::{Code, Message};
use crate::os::{self, Exit};

/// Readers beside those of processes that live: of words that remain, and those that cannot be ended.
const MOST_BESIDE: usize = 32;

impl SupervisedGroup<'_> {
    /// Sees to a process of the group that has ended.
    pub fn ended(&mut self, pid: i32, exit: Exit) {
        let now = Instant::now();
        let live = |seen: &End| !seen.is_seen();
        if let Some(process) =
            self.processes.iter_mut().find(|process| process.pid() == pid && live(&process.end))
        {
            process.leave_slot();
            process.end.see(exit, now);
        } else if let Some(template) =
            self.templates.iter_mut().find(|template| template.pid == pid && live(&template.end))
        {
            template.told_to_end = true;
            template.slot = None;
            template.end.see(exit, now);
        }
    }

    /// A child of the supervisor that is no daemon has ended.
    pub fn reader_ended(&mut self, pid: i32) {
        self.readers.retain(|reader| *reader != pid);
    }

    pub(super) fn ends(&self) -> impl Iterator<Item = &End> {
        let of_templates = self.templates.iter().map(|template| &template.end);
        self.processes.iter().map(|process| &process.end).chain(of_templates)
    }

    /// Does what follows from ends whose last words are there, or are late.
    pub fn settle_ends(&mut self, now: Instant) {
        let of_process = |group: &Self| {
            group.processes.iter().find_map(|process| Some((process.id, process.end.settled(now)?)))
        };
        while let Some((id, Settled { exit, late })) = of_process(self) {
            self.end_reader(late);
            self.gone(id, exit);
        }
        let of_template = |group: &Self| {
            group
                .templates
                .iter()
                .enumerate()
                .find_map(|(index, template)| Some((index, template.end.settled(now)?)))
        };
        while let Some((index, Settled { exit, late })) = of_template(self) {
            self.end_reader(late);
            self.template_gone(index, exit);
        }
    }

    /// An error where too many cannot be ended.
    pub(super) fn look_at_readers(&self) -> Result<(), Message> {
        if self.readers.len() < self.processes.len() + self.templates.len() + MOST_BESIDE {
            return Ok(());
        }
        let text = format!(
            "{MOST_BESIDE} processes that read what ended processes of the group wrote cannot be ended; something that \
             the site has put into its output or its reports keeps them, such as a page of a file system of its own"
        );
        Err(Message::new(Code::ReadersKept, text))
    }

    fn end_reader(&self, late: Option<i32>) {
        if let Some(pid) = late.filter(|pid| self.readers.contains(pid)) {
            // It is not waited for: the kernel may keep it until the site lets go.
            let _ = os::kill(pid, libc::SIGKILL);
            let text = format!(
                "what a process of the group wrote and reported last is not known: process {pid}, which reads that for \
                 the supervisor, stood still, and is ended; a page of a file system of the site's own in its output \
                 does that"
            );
            self.record(&self.group.named(Message::new(Code::ReaderLate, text)));
        }
    }
}
