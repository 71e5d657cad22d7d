//! What the supervisor does about one process group: a state machine without any system call.
//!
//! `supervisor` feeds it with what happened and carries out what it answers; time is an argument. A process
//! goes Starting → Waiting → Ready → Draining → Stopping → gone and may skip any of these. Processes of one
//! *edition* loaded the same code: a roll-out starts a whole edition beside the old one, which serves until
//! all of the new one are ready. A renewal replaces one process within an edition in the same way.

mod failure;
mod overlap;
mod renewal;
mod rollout;
mod wish;

mod ending;

mod texts;

mod state;

mod editions;
mod failures;
mod older;
mod pace;
mod wishes;

mod member;

#[cfg(test)]
mod tests;

use std::time::Instant;

use crate::control::reason::Reason;
use crate::log::Message;
use crate::os::Exit;
use editions::Editions;
use failures::Failures;
pub use member::ProcessId;
use member::{Member, MemberState};
pub use older::Apart;
use older::Older;
use pace::Pace;
use state::Mode;
pub use state::{Action, Event, Group, GroupSettings};
use wishes::Wishes;

/// Processes of a group that start at the same time: enough to be quick, few enough that a group which
/// cannot start at all makes fewer than ten attempts in its first minute.
const STARTING_AT_ONCE: usize = 4;

impl Group {
    pub fn new(settings: GroupSettings) -> Self {
        Group {
            wanted: settings.processes,
            settings,
            mode: Mode::Serving,
            members: Vec::new(),
            next_process: 0,
            editions: Editions::default(),
            wishes: Wishes::default(),
            failures: Failures::default(),
            not_before: None,
            all_were_ready: false,
            pace: Pace::default(),
            older: Older::default(),
            actions: Vec::new(),
        }
    }

    /// Tells what happened; what is to be done about it comes back, in order.
    pub fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Begin | Event::Tick => {}
            Event::NotStarted(process, reason) => self.not_started(process, reason, now),
            Event::Ready { process, able, is } => self.ready(process, able, &is, now),
            Event::Held { process, script, holding } => self.held(process, script, holding, now),
            Event::Alone => self.alone(),
            Event::Failed(process, reason) => self.failed(process, reason, now),
            Event::Exited { process, exit, output } => self.exited(process, exit, &output, now),
            Event::Reload { path, modified } => self.reload(path, modified, now),
            Event::Renew(process, reason) => self.renew(process, reason),
            Event::Unresponsive(process) => self.unresponsive(process, now),
            Event::Want(processes) => self.want(processes, now),
            Event::ReloadRequired(process, path) => self.reload_required(process, &path, now),
            Event::Superseded => self.superseded(now),
            Event::Stop => self.stop_all(now),
        }
        self.serve_waiting();
        self.renew_members(now);
        self.supersede_older();
        self.escalate(now);
        self.fill(now);
        std::mem::take(&mut self.actions)
    }

    /// A `Start` was carried out.
    pub fn started(&mut self, process: ProcessId, pid: i32) {
        if let Some(member) = self.member(process) {
            member.pid = pid;
        }
    }

    pub fn edition_of(&self, process: ProcessId) -> Option<u32> {
        Some(self.members.iter().find(|member| member.id == process)?.edition)
    }

    /// Whether processes of this edition may be started yet.
    pub fn starts(&self, edition: u32) -> bool {
        let started = [self.editions.edition(), self.editions.next_edition()];
        self.mode == Mode::Serving && started.contains(&edition)
    }

    /// When the next `Tick` is due.
    pub fn deadline(&self) -> Option<Instant> {
        let start = self.not_before.filter(|_| self.mode == Mode::Serving && self.missing() > 0);
        let members = self.members.iter().filter_map(|member| member.deadline);
        members.chain(start).chain(self.next_renewal()).chain(self.next_look()).min()
    }

    /// Whether the output of this process is to be held back until it is known whether it repeats an
    /// error that was already shown. Of several that start together the first one speaks.
    pub fn holds_output(&self, process: ProcessId) -> bool {
        let mut starting = self.members.iter().filter(|member| member.is_starting());
        let is_first = starting.clone().next().is_some_and(|member| member.id == process);
        starting.any(|member| member.id == process) && (self.failures.is_failing() || !is_first)
    }

    /// Whether a newer generation has taken over.
    pub fn is_superseded(&self) -> bool {
        self.mode != Mode::Serving
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn not_started(&mut self, process: ProcessId, reason: Message, now: Instant) {
        if let Some(member) = self.remove(process) {
            self.start_failed(&member, reason, now);
        }
    }

    fn ready(&mut self, process: ProcessId, able: bool, is: &str, now: Instant) {
        if self.goes_apart(process, now) {
            return;
        }
        let apart = self.is_apart();
        let Some(member) = self.member(process).filter(|member| member.state == MemberState::Starting) else {
            return;
        };
        // An old one that is still there will have gone.
        let able = able && !(apart && member.is_held_up_by_old());
        if !able {
            // This one would only answer with errors.
            let held = member.held.take();
            let reason = held.map(|(script, holding)| texts::held(&script, &holding, apart));
            member.reason = Some(reason.unwrap_or_else(texts::not_loaded));
            member.ready_since = Some(now);
            return self.stop(process, Reason::ScriptReload, now);
        }
        let record = texts::ready(member, is, now);
        let held = member.held.take().map(|(script, holding)| texts::held(&script, &holding, apart));
        member.become_ready(now);
        let took = now.saturating_duration_since(member.started);
        self.pace.start_took(took);
        self.actions.push(Action::ReleaseOutput { process, show: true });
        self.record(record);
        if let Some(record) = held {
            self.record(record);
        }
        self.recovered();
        self.finish_rollout(now);
    }

    /// When all of this generation are ready, or none is wanted, older ones can go.
    fn supersede_older(&mut self) {
        if !self.all_were_ready
            && self.mode == Mode::Serving
            && self.serving(self.editions.edition()) >= self.wanted
        {
            self.all_were_ready = true;
            self.actions.push(Action::Supersede);
        }
    }

    /// Those of a new edition wait for one another while there is an old one that serves.
    fn serve_waiting(&mut self) {
        let (old, new) = (self.editions.edition(), self.editions.next_edition());
        let beside = new != old && self.serving(old) > 0;
        for member in self.members.iter_mut().filter(|member| member.state == MemberState::Waiting) {
            if !beside || member.edition != new {
                member.state = MemberState::Ready;
                self.actions.push(Action::Serve(member.id));
            }
        }
    }

    fn failed(&mut self, process: ProcessId, reason: Message, now: Instant) {
        let patience = self.settings.shutdown_timeout;
        if let Some(member) = self.member(process).filter(|member| member.state == MemberState::Starting) {
            member.reason = Some(reason);
            member.enter(MemberState::Stopping, now + patience);
        }
    }

    fn exited(&mut self, process: ProcessId, exit: Exit, output: &str, now: Instant) {
        let Some(mut member) = self.remove(process) else { return };
        match (member.state, member.reason.take()) {
            (_, Some(reason)) => self.start_failed(&member, reason, now),
            (MemberState::Starting | MemberState::Waiting, None) => {
                self.start_failed(&member, texts::exited_early(exit, output), now);
            }
            (MemberState::Ready, None) if member.leaving.is_some() && exit == Exit::Status(0) => {}
            (MemberState::Ready, None) => self.crashed(&member, exit, now),
            (MemberState::Draining | MemberState::Stopping, None) => {
                self.actions.push(Action::ReleaseOutput { process, show: true });
                if member.state == MemberState::Draining && exit != Exit::Status(0) {
                    self.record(texts::drained_badly(&member, exit));
                }
            }
        }
    }

    /// Starts what is missing, as far as it may be started now.
    fn fill(&mut self, now: Instant) {
        self.older.look_no_more();
        if self.mode != Mode::Serving || self.not_before.is_some_and(|moment| now < moment) {
            return;
        }
        self.not_before = None;
        let room = self.room(now);
        let starting = self.members.iter().filter(|member| member.is_starting()).count();
        let at_once = if self.failures.is_failing() { 1 } else { STARTING_AT_ONCE };
        let edition = self.editions.next_edition();
        for _ in 0..self.missing().min(at_once.saturating_sub(starting)).min(room) {
            self.next_process += 1;
            let deadline = self.settings.startup_timeout.map(|timeout| now + timeout);
            self.members.push(Member::new(self.next_process, edition, now, deadline));
            self.actions.push(Action::Start(self.next_process));
        }
    }

    /// How many processes are missing in the edition that starts now; a process that is being replaced counts
    /// as missing.
    fn missing(&self) -> usize {
        let edition = self.editions.next_edition();
        let counts = |m: &Member| (m.state <= MemberState::Ready && !m.replaced) || m.is_starting();
        let there = self.members.iter().filter(|m| m.edition == edition && counts(m)).count();
        self.wanted.saturating_sub(there)
    }

    fn serving(&self, edition: u32) -> usize {
        let serves = |m: &&Member| m.edition == edition && m.state == MemberState::Ready;
        self.members.iter().filter(serves).count()
    }

    fn member(&mut self, process: ProcessId) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == process)
    }

    fn remove(&mut self, process: ProcessId) -> Option<Member> {
        let index = self.members.iter().position(|member| member.id == process)?;
        Some(self.members.remove(index))
    }

    fn record(&mut self, message: Message) {
        let message = self.named(message);
        self.actions.push(Action::Record(message));
    }

    /// Every message of a group says which group, and where it was configured.
    pub fn named(&self, mut message: Message) -> Message {
        let GroupSettings { name, place, .. } = &self.settings;
        message.text = format!("process group '{name}' (WSGIDaemonProcess at {place}): {}", message.text);
        message
    }
}
