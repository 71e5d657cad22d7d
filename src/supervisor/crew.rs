//! The processes that the supervisor has: their descriptors, their orders, their ends.
//!
//! Owned by `supervisor`. It turns what a process says, writes and comes to into events for its
//! `Group`, and does what the group answers.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Instant;

use super::demand::Demand;
use super::group::{Action, Event, Group, ProcessId};
use super::output::{Allowance, Line, Output};
use super::plan::{GroupPlan, Start};
use super::sleepers::Sleepers;
use super::spawn::{Common, Spawned};
use super::template::Template;
use super::watch::Watch;
use crate::control::activity_page::ActivityPage;
use crate::control::channel::ControlSupervisor;
use crate::control::group_page::State;
use crate::control::launch::Launch;
use crate::control::listener::Listener;
use crate::control::message::Order;
use crate::control::scoreboard_page::ScoreboardPage;
use crate::log::{Journal, Level, Message};
use crate::os::{self, Exit};
use crate::script::Preload;
use crate::site::owner;

/// Processes of a group that have ended, and whose output others still hold open.
const MOST_REMAINS: usize = 16;

pub(super) struct Unit {
    pub plan: GroupPlan,
    /// Where they see httpd's scoreboard, if they may.
    pub scoreboard_page: Option<ScoreboardPage>,
    /// Scripts that its processes have come across, for their successors.
    pub learned: Vec<Preload>,
    pub group: Group,
    pub demand: Demand,
    /// What its processes may still write.
    pub allowance: Allowance,
}

pub(super) struct Process {
    pub unit: usize,
    pub id: ProcessId,
    pub pid: i32,
    pub slot: usize,
    /// None once the daemon's end is closed.
    pub control: Option<ControlSupervisor>,
    pub output: Output,
    pub activity: ActivityPage,
    /// Between the orders to serve and to end.
    pub serves: bool,
    /// Once it has served, with the moment of the next look.
    pub watch: Option<(Watch, Option<Instant>)>,
}

impl Process {
    pub fn new(unit: usize, id: ProcessId, slot: usize, spawned: Spawned) -> Process {
        let Spawned { pid, control, output, activity } = spawned;
        let (control, output) = (Some(control), Output::new(output));
        Process { unit, id, pid, slot, control, output, activity, serves: false, watch: None }
    }

    /// When to look at it again.
    pub fn look(&self) -> Option<Instant> {
        self.watch.as_ref()?.1
    }

    /// What a process that is forked from a template writes before it has said who it is waits in the pipe.
    fn is_known(&self) -> bool {
        self.pid != 0 || self.control.is_none()
    }
}

/// Output that can still come when its process has ended: of processes that the site's code started.
pub(super) struct Remains {
    pub unit: usize,
    pub pid: i32,
    pub output: Output,
}

impl Unit {
    /// Whether the next caller is to wake it.
    pub fn sleeps(&self) -> bool {
        self.demand.is_asleep() && !self.group.is_superseded()
    }

    pub fn common(&self) -> Common<'_> {
        Common {
            listener: self.plan.listener.socket.as_fd(),
            page: self.plan.listener.page.fd(),
            scoreboard_page: self.scoreboard_page.as_ref().map(AsFd::as_fd),
        }
    }
}

/// What a descriptor that can be read is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Process(usize, ProcessId),
    Templates,
    Remains,
    Sleepers,
}

/// `Output::read`, or another.
pub(super) type Reading = fn(&mut Output, bool, &mut Allowance, Instant) -> Vec<Line>;

pub struct Crew<'a> {
    pub(super) units: Vec<Unit>,
    pub(super) sleepers: Sleepers,
    pub(super) processes: Vec<Process>,
    pub(super) templates: Vec<Template>,
    pub(super) remains: Vec<Remains>,
    pub generation: u64,
    pub(super) start: Start,
    pub journal: &'a dyn Journal,
}

impl<'a> Crew<'a> {
    pub fn new(
        groups: Vec<GroupPlan>,
        generation: u64,
        start: Start,
        journal: &'a dyn Journal,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let unit = |plan: GroupPlan| Unit {
            group: Group::new(plan.settings()),
            demand: Demand::new(&plan.group, now),
            // Without memory for it they see nothing.
            scoreboard_page: scoreboard_page(&start, &plan),
            learned: Vec::new(),
            allowance: Allowance::default(),
            plan,
        };
        let units: Vec<Unit> = groups.into_iter().map(unit).collect();
        let sleepers = Sleepers::new(units.len())?;
        let (processes, templates, remains) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Crew { units, sleepers, processes, templates, remains, generation, start, journal })
    }

    pub fn begin(&mut self) {
        for index in 0..self.units.len() {
            let unit = &mut self.units[index];
            unit.plan.listener.page.clear_generation(self.generation);
            // One that older processes serve is in demand, whatever its start.
            if unit.demand.is_asleep() && unit.plan.listener.page.ready_processes() > 0 {
                let wanted = unit.demand.wake(Instant::now());
                self.tell(index, Event::Want(wanted));
            } else if unit.demand.is_asleep() {
                // What an older configuration could not do is tried again when somebody asks.
                unit.plan.listener.page.recovered(self.generation);
            }
        }
        self.tell_all(&Event::Begin);
    }

    pub fn is_empty(&self) -> bool {
        let none = self.processes.is_empty() && self.templates.is_empty();
        none && self.units.iter().all(|unit| unit.group.is_empty())
    }

    pub fn is_superseded(&self) -> bool {
        self.units.iter().all(|unit| unit.group.is_superseded())
    }

    pub fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.units.iter().map(|unit| &unit.plan.listener)
    }

    pub fn deadline(&self) -> Option<Instant> {
        // Of a group that is superseded nobody looks at the demand any more.
        let look = |unit: &Unit| unit.demand.deadline().filter(|_| !unit.group.is_superseded());
        let groups = self.units.iter().flat_map(|unit| [unit.group.deadline(), look(unit)]);
        let looks = self.processes.iter().map(Process::look);
        let outputs = self.outputs().map(|(_, output)| output.deadline());
        groups.chain(looks).chain(outputs).flatten().min()
    }

    /// What to wait for; descriptors of one source stand together.
    pub fn descriptors(&self) -> Vec<(Source, BorrowedFd<'_>)> {
        let mut all = vec![(Source::Sleepers, self.sleepers.as_fd())];
        for process in &self.processes {
            let source = Source::Process(process.unit, process.id);
            let output = process.output.fds().filter(|_| process.is_known());
            all.extend(
                process.control.as_ref().map(AsFd::as_fd).into_iter().chain(output).map(|fd| (source, fd)),
            );
        }
        for template in &self.templates {
            let control = template.control.as_ref().map(AsFd::as_fd);
            all.extend(control.into_iter().chain(template.output.fds()).map(|fd| (Source::Templates, fd)));
        }
        let remains = self.remains.iter().flat_map(|remains| remains.output.fds());
        all.extend(remains.map(|fd| (Source::Remains, fd)));
        all
    }

    fn outputs(&self) -> impl Iterator<Item = (Source, &Output)> {
        let of_process = |process: &Process| Source::Process(process.unit, process.id);
        let of_processes = self.processes.iter().map(move |process| (of_process(process), &process.output));
        let of_templates = self.templates.iter().map(|template| (Source::Templates, &template.output));
        let of_remains = self.remains.iter().map(|remains| (Source::Remains, &remains.output));
        of_processes.chain(of_templates).chain(of_remains)
    }

    /// What is to be heard now, though nothing comes: output that waited, and what is to be said about some.
    pub fn due(&self, now: Instant) -> Vec<Source> {
        let is_due = |output: &Output| output.deadline().is_some_and(|deadline| deadline <= now);
        self.outputs().filter(|(_, output)| is_due(output)).map(|(source, _)| source).collect()
    }

    pub fn tell_all(&mut self, event: &Event) {
        for unit in 0..self.units.len() {
            self.tell(unit, event.clone());
        }
    }

    pub fn tick(&mut self, now: Instant) {
        self.look_for_older();
        for unit in 0..self.units.len() {
            if self.units[unit].group.deadline().is_some_and(|deadline| deadline <= now) {
                self.tell(unit, Event::Tick);
            }
        }
    }

    /// Whether newer generations need nothing any more of what is here. A group that has no place in the
    /// newest configuration, or that has not begun to serve while older processes do, leaves it to others at
    /// once.
    pub fn is_handed_over(&mut self) -> bool {
        for unit in 0..self.units.len() {
            let page = &self.units[unit].plan.listener.page;
            let others_serve = self.load(unit).ready == 0 && page.ready_processes() > 0;
            if (page.is_retired() || others_serve) && !self.units[unit].group.is_superseded() {
                self.tell(unit, Event::Superseded);
            }
        }
        self.is_superseded() && self.is_empty()
    }

    /// Groups whose processes of a newer generation are all ready take themselves back.
    pub fn look_for_successors(&mut self) {
        for unit in 0..self.units.len() {
            let newest = self.units[unit].plan.listener.page.newest_ready();
            if newest > self.generation && !self.units[unit].group.is_superseded() {
                self.tell(unit, Event::Superseded);
            }
        }
    }

    /// Reads what was written and reported there.
    pub fn hear(&mut self, source: Source) -> io::Result<()> {
        match source {
            Source::Process(unit, id) => {
                self.read_output(unit, id, Output::read);
                self.read_reports(unit, id);
            }
            Source::Templates => self.hear_templates(),
            Source::Remains => self.read_remains(),
            Source::Sleepers => self.wake_sleepers()?,
        }
        Ok(())
    }

    fn read_remains(&mut self) {
        for remains in &mut self.remains {
            let Unit { plan, allowance, .. } = &mut self.units[remains.unit];
            let lines = remains.output.read(false, allowance, Instant::now());
            show(self.journal, plan.index, remains.pid, &lines);
        }
        self.remains.retain(|remains| remains.output.is_open());
    }

    /// Sees to all processes that have ended.
    pub fn reap(&mut self) {
        while let Some((pid, exit)) = os::reap() {
            self.ended(pid, exit);
        }
    }

    fn ended(&mut self, pid: i32, exit: Exit) {
        let known = self.processes.iter().find(|process| process.pid == pid);
        let Some((unit, id)) = known.map(|process| (process.unit, process.id)) else {
            return self.template_ended(pid, exit);
        };
        self.gone(unit, id, exit);
    }

    pub(super) fn gone(&mut self, unit: usize, id: ProcessId, exit: Exit) {
        // Its last words first.
        self.read_output(unit, id, Output::read_rest);
        self.read_reports(unit, id);
        // A process that ended by itself when its successors were ready was right to do so.
        self.look_for_successors();
        let Some(index) = self.find(unit, id) else { return };
        self.page_of(index).release_slot(self.processes[index].slot);
        let output = self.processes[index].output.last_lines();
        self.tell(unit, Event::Exited { process: id, exit, output });
        if let Some(index) = self.find(unit, id) {
            let Process { pid, output, .. } = self.processes.swap_remove(index);
            self.keep_remains(Remains { unit, pid, output });
        }
    }

    /// What the strays of older processes write is read, but not that of any number of them.
    pub(super) fn keep_remains(&mut self, remains: Remains) {
        if !remains.output.is_open() {
            return;
        }
        let unit = remains.unit;
        self.remains.push(remains);
        let of_unit = |remains: &Remains| remains.unit == unit;
        if self.remains.iter().filter(|remains| of_unit(remains)).count() > MOST_REMAINS
            && let Some(oldest) = self.remains.iter().position(of_unit)
        {
            self.remains.remove(oldest);
        }
    }

    fn read_output(&mut self, unit: usize, id: ProcessId, read: Reading) {
        let Some(index) = self.find(unit, id) else { return };
        let process = &mut self.processes[index];
        if !process.is_known() {
            return;
        }
        let Unit { plan, allowance, group, .. } = &mut self.units[unit];
        let lines = read(&mut process.output, group.holds_output(id), allowance, Instant::now());
        show(self.journal, plan.index, process.pid, &lines);
    }

    /// Tells a group what happened, and does what follows from it.
    pub(super) fn tell(&mut self, unit: usize, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.units[unit].group.on(event, Instant::now()) {
                events.extend(self.carry_out(unit, action));
            }
        }
    }

    /// Does it; an event is what came of it at once.
    fn carry_out(&mut self, unit: usize, action: Action) -> Option<Event> {
        match action {
            Action::Start(process) if self.units[unit].plan.has_template() => {
                return self.start_from_template(unit, process);
            }
            Action::Start(process) => return self.start(unit, process),
            Action::Serve(process) => {
                self.order(unit, process, State::Ready, Order::Serve);
                self.begin_watch(unit, process);
            }
            Action::Drain(process, reason) => {
                self.order(unit, process, State::Draining, Order::Drain(reason));
            }
            Action::Stop(process, reason) => {
                self.order(unit, process, State::Draining, Order::Stop(reason));
            }
            Action::Terminate(process) => self.signal(unit, process, libc::SIGTERM),
            Action::Kill(process) => self.signal(unit, process, libc::SIGKILL),
            Action::ReleaseOutput { process, show } => self.release_output(unit, process, show),
            Action::Record(level, message) => {
                self.journal.record(Some(self.units[unit].plan.index), level, &message);
            }
            Action::Fail(reason) => self.units[unit].plan.listener.page.fail(self.generation, &reason),
            Action::Recovered => self.units[unit].plan.listener.page.recovered(self.generation),
            Action::Supersede => self.units[unit].plan.listener.page.supersede(self.generation),
            Action::RememberApart => self.units[unit].plan.listener.page.set_apart(),
        }
        None
    }

    /// What the next process of a group is told, but for its slot. Scripts that may not run there are left
    /// out; without its service script a process is not needed.
    pub(super) fn launch(&mut self, unit: usize) -> Result<Launch, Message> {
        let Unit { plan, learned, scoreboard_page, .. } = &mut self.units[unit];
        let group = &plan.group;
        let outside = |script: &Preload| group.seen_from_outside(Path::new(&script.script));
        // One that is there no more is nobody's.
        learned.retain(|script| outside(script).exists());
        let mut launch = self.start.launch(plan, learned, self.generation);
        launch.server_metrics = scoreboard_page.is_some();
        let mut refused = Vec::new();
        let mut may_run = |script: &Preload| match owner::check(&outside(script), group) {
            Ok(()) => true,
            Err(message) => {
                refused.push(message);
                false
            }
        };
        launch.preload.retain(&mut may_run);
        launch.learned.retain(&mut may_run);
        if group.threads == 0
            && let Some(message) = refused.pop()
        {
            return Err(message);
        }
        for message in refused {
            self.journal.record(Some(plan.index), Level::Warning, &message);
        }
        Ok(launch)
    }

    pub(super) fn start(&mut self, unit: usize, id: ProcessId) -> Option<Event> {
        let mut launch = match self.launch(unit) {
            Ok(launch) => launch,
            Err(reason) => return Some(Event::NotStarted(id, reason)),
        };
        let plan = &self.units[unit].plan;
        let page = &plan.listener.page;
        let Some(slot) = page.claim_slot(self.generation) else {
            return Some(no_slot(id));
        };
        launch.slot = slot as u32;
        match self.start.launcher.spawn(&plan.group, &self.units[unit].common(), &launch) {
            Err(reason) => {
                page.release_slot(slot);
                Some(Event::NotStarted(id, reason))
            }
            Ok(spawned) => {
                page.set_pid(slot, spawned.pid);
                self.units[unit].group.started(id, spawned.pid);
                self.processes.push(Process::new(unit, id, slot, spawned));
                None
            }
        }
    }

    fn order(&mut self, unit: usize, id: ProcessId, state: State, order: Order) {
        let Some(index) = self.find(unit, id) else { return };
        self.page_of(index).set_state(self.processes[index].slot, state);
        self.processes[index].serves = state == State::Ready;
        let sent = self.processes[index].control.as_ref().map(|control| control.send(order));
        // A daemon that lost its control socket, or reads no orders, understands the signal.
        if matches!(order, Order::Stop(_)) && !matches!(sent, Some(Ok(()))) {
            self.signal(unit, id, libc::SIGTERM);
        }
    }

    fn signal(&mut self, unit: usize, id: ProcessId, signal: i32) {
        match self.find(unit, id).map(|index| self.processes[index].pid) {
            None => self.end_template_of(unit, id),
            // Without its control socket it ends as soon as it lives.
            Some(0) => {
                self.end_template_of(unit, id);
                self.gone(unit, id, Exit::Signal(signal));
            }
            // It can only have ended in the meantime, which is about to be seen.
            Some(pid) => drop(os::kill(pid, signal)),
        }
    }

    fn release_output(&mut self, unit: usize, id: ProcessId, wanted: bool) {
        let process = self.find(unit, id).map(|index| &mut self.processes[index]);
        let output = process.map(|process| (process.pid, &mut process.output));
        let (pid, held) = match output {
            Some((pid, output)) => (pid, output.release()),
            None => match self.output_of_template(unit, id) {
                Some((pid, output)) => (pid, output.release()),
                None => return,
            },
        };
        if wanted {
            show(self.journal, self.units[unit].plan.index, pid, &held);
        }
    }

    pub(super) fn find(&self, unit: usize, id: ProcessId) -> Option<usize> {
        self.processes.iter().position(|process| process.unit == unit && process.id == id)
    }

    pub(super) fn page_of(&self, index: usize) -> &crate::control::group_page::GroupPage {
        &self.units[self.processes[index].unit].plan.listener.page
    }
}

fn scoreboard_page(start: &Start, plan: &GroupPlan) -> Option<ScoreboardPage> {
    let scoreboard = if plan.group.server_metrics { (start.scoreboard)() } else { None };
    ScoreboardPage::create(&scoreboard?).ok()
}

pub(super) fn no_slot(process: ProcessId) -> Event {
    let text = "the group has too many processes, those of older configurations included; wait until their requests \
                have ended, or lower processes=";
    Event::NotStarted(process, Message::new(314, text))
}

pub(super) fn show(journal: &dyn Journal, group: usize, pid: i32, lines: &[Line]) {
    for Line { level, text } in lines {
        journal.output(group, pid, *level, text);
    }
}
