//! One process group in the supervisor: its processes and templates, and what is known of them.
//!
//! What its processes say, write and come to become events for the group's state machine
//! (`supervisor::group`); what that answers is carried out here.

mod ends;
mod looks;
mod reports;
mod templates;

mod state;

mod template;

mod handle;

mod watch;

mod demand;
mod learned;
mod remains;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use super::group::{Action, Event, Group, ProcessId};
use super::output::{Allowance, Line, Output, Turn};
use super::plan::{GroupPlan, Start};
use crate::control::group_page::{GroupPage, SlotState};
use crate::control::launch::Launch;
use crate::control::listener::Listener;
use crate::control::message::Order;
use crate::control::scoreboard_page::ScoreboardPage;
use crate::log::Message;
use crate::os::{self, Exit};
use crate::spawn::{Common, Spawned};
use demand::Demand;
use handle::{ClaimedSlot, End, Handle};
use learned::Learned;
use remains::Remains;
pub use state::{GroupSource, Shared, SupervisedGroup};
use template::Template;

impl<'a> SupervisedGroup<'a> {
    pub fn new(plan: GroupPlan, shared: &'a Shared<'a>) -> Self {
        SupervisedGroup {
            shared,
            group: Group::new(plan.settings()),
            demand: Demand::new(&plan.group, Instant::now()),
            processes: Vec::new(),
            templates: Vec::new(),
            remains: Remains::default(),
            readers: Vec::new(),
            learned: Learned::default(),
            allowance: Allowance::default(),
            // Without memory for it they see nothing.
            scoreboard_page: scoreboard_page(&shared.start, &plan),
            plan,
        }
    }

    pub fn begin(&mut self) {
        let page = Arc::clone(self.page());
        page.clear_generation(self.shared.generation);
        // A group that older processes serve is in demand, whatever its start.
        if self.demand.is_asleep() && page.ready_processes() > 0 {
            let wanted = self.demand.wake(Instant::now());
            self.tell(Event::Want(wanted));
        } else if self.demand.is_asleep() {
            // What an older configuration could not do is tried again at the next request.
            page.recovered(self.shared.generation);
        }
        self.tell(Event::Begin);
    }

    /// Whether it has no processes.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.templates.is_empty() && self.group.is_empty()
    }

    pub fn is_superseded(&self) -> bool {
        self.group.is_superseded()
    }

    /// Whether the next caller is to wake it.
    pub fn sleeps(&self) -> bool {
        self.demand.is_asleep() && !self.group.is_superseded()
    }

    pub fn listener(&self) -> &Listener {
        &self.plan.listener
    }

    fn page(&self) -> &Arc<GroupPage> {
        &self.plan.listener.page
    }

    /// Whether the process is one of the group's.
    pub fn has(&self, pid: i32) -> bool {
        let of_process = |process: &Handle| process.pid() == pid && !process.end.is_seen();
        let of_template = |template: &Template| template.pid == pid && !template.end.is_seen();
        self.processes.iter().any(of_process) || self.templates.iter().any(of_template)
    }

    /// When something is due that no descriptor tells of.
    pub fn deadline(&self) -> Option<Instant> {
        // The demand of a superseded group is another generation's.
        let demand = self.demand.deadline().filter(|_| !self.group.is_superseded());
        let looks = self.processes.iter().filter_map(Handle::next_look);
        let outputs = self.outputs().filter_map(|(_, output)| output.deadline());
        let ends = self.ends().filter_map(End::deadline);
        let rest = [self.group.deadline(), demand, self.remains.deadline()];
        looks.chain(outputs).chain(ends).chain(rest.into_iter().flatten()).min()
    }

    /// What to wait for; descriptors of one source stand together.
    pub fn descriptors(&self) -> impl Iterator<Item = (GroupSource, BorrowedFd<'_>)> {
        let of_processes = self.processes.iter().flat_map(|process| {
            let id = process.id;
            let control = process.control().map(move |fd| (GroupSource::Process(id), fd));
            control.chain(process.output().map(move |fd| (GroupSource::Output(id), fd)))
        });
        let of_templates = self.templates.iter().flat_map(|template| {
            let control = template.control.as_ref().map(AsFd::as_fd);
            let control = control.into_iter().chain(template.end.waits_for());
            control.chain(template.output.fds()).map(|fd| (GroupSource::Templates, fd))
        });
        let of_remains = self.remains.descriptors().map(|fd| (GroupSource::Remains, fd));
        of_processes.chain(of_templates).chain(of_remains)
    }

    fn outputs(&self) -> impl Iterator<Item = (GroupSource, &Output)> {
        let of_processes =
            self.processes.iter().map(|process| (GroupSource::Output(process.id), &process.output));
        let of_templates = self.templates.iter().map(|template| (GroupSource::Templates, &template.output));
        of_processes.chain(of_templates)
    }

    /// What is to be heard now, though nothing comes: output that waited, and what is to be said about some.
    pub fn due(&self, now: Instant) -> impl Iterator<Item = GroupSource> {
        let is_due = move |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        let outputs = self.outputs().filter(move |(_, output)| is_due(output.deadline()));
        let remains = is_due(self.remains.deadline()).then_some(GroupSource::Remains);
        outputs.map(|(source, _)| source).chain(remains)
    }

    /// It may write so much again.
    pub fn begin_turn(&mut self) {
        self.allowance.turn = Turn::default();
    }

    pub fn tick(&mut self, now: Instant) {
        self.look_for_older();
        if self.group.deadline().is_some_and(|deadline| deadline <= now) {
            self.tell(Event::Tick);
        }
    }

    /// A group whose old and new processes cannot be there together (`overlap=`) hears when it is alone. The
    /// group page knows the processes and templates of older configurations; those of older editions are
    /// this supervisor's own.
    fn look_for_older(&mut self) {
        if !self.group.waits_to_be_alone() {
            return;
        }
        let is_old = |template: &Template| !(template.is_usable() && self.group.starts(template.edition));
        let old_template = self.templates.iter().any(is_old);
        // A supervisor that was killed has left its slots behind.
        let is_there = |pid| os::parent_and_user(pid).is_some();
        if !old_template && !self.page().older_pids(self.shared.generation).any(is_there) {
            self.tell(Event::Alone);
        }
    }

    /// Leaves the group to newer generations where it has no place in the newest configuration, or has not
    /// begun to serve while older processes do.
    pub fn hand_over(&mut self) {
        let others_serve = self.load().ready == 0 && self.page().ready_processes() > 0;
        if (self.page().is_retired() || others_serve) && !self.group.is_superseded() {
            self.tell(Event::Superseded);
        }
    }

    /// Lets this generation's processes go once those of a newer one are all ready.
    pub fn look_for_successors(&mut self) {
        let newest = self.page().newest_ready();
        if newest > self.shared.generation && !self.group.is_superseded() {
            self.tell(Event::Superseded);
        }
    }

    fn gone(&mut self, id: ProcessId, exit: Exit) {
        // Its last words first.
        self.read_output(id, Output::read_rest);
        self.read_last_reports(id);
        // A process that ended by itself when its successors were ready was right to do so.
        self.look_for_successors();
        let Some(index) = self.find(id) else { return };
        self.processes[index].leave_slot();
        let output = self.processes[index].output.last_lines();
        self.tell(Event::Exited { process: id, exit, output });
        if let Some(index) = self.find(id) {
            let process = self.processes.swap_remove(index);
            self.remains.keep(process.pid(), process.output);
        }
    }

    /// Tells the state machine what happened, and does what follows from it.
    pub fn tell(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.group.on(event, Instant::now()) {
                events.extend(self.carry_out(action));
            }
        }
    }

    /// Does it; an event is what came of it at once.
    fn carry_out(&mut self, action: Action) -> Option<Event> {
        let generation = self.shared.generation;
        match action {
            Action::Start(process) => {
                let template = self.plan.has_template();
                let started = if template { self.start_from_template(process) } else { self.start(process) };
                return started.err().map(|reason| Event::NotStarted(process, reason));
            }
            Action::Serve(process) => {
                self.order(process, SlotState::Ready, Order::Serve);
                self.begin_watch(process);
            }
            Action::Drain(process, reason) => self.order(process, SlotState::Draining, Order::Drain(reason)),
            Action::Stop(process, reason) => self.order(process, SlotState::Draining, Order::Stop(reason)),
            Action::Terminate(process) => self.signal(process, libc::SIGTERM),
            Action::Kill(process) => self.signal(process, libc::SIGKILL),
            Action::ReleaseOutput { process, show } => self.release_output(process, show),
            Action::Record(message) => self.record(&message),
            Action::Fail(reason) => self.page().fail(generation, &reason),
            Action::Recovered => self.page().recovered(generation),
            Action::Supersede => self.page().supersede(generation),
            Action::RememberApart => self.page().set_apart(),
        }
        None
    }

    fn record(&self, message: &Message) {
        self.shared.journal.record(Some(self.plan.index), message);
    }

    fn show(&self, pid: i32, lines: &[Line]) {
        for Line { level, text } in lines {
            self.shared.journal.output(self.plan.index, pid, *level, text);
        }
    }

    /// What the next process is told. Which of the scripts are there, and may run, it sees itself: they are in the
    /// site's hands.
    fn launch(&self) -> Launch {
        let Shared { generation, start, .. } = self.shared;
        let mut launch = start.launch(&self.plan, self.learned.scripts(), *generation);
        launch.group.server_metrics = self.scoreboard_page.is_some();
        launch
    }

    /// The slot of a process that is about to be started; the launch says which.
    fn claim_slot(&self, launch: &mut Launch) -> Result<ClaimedSlot, Message> {
        self.look_at_readers()?;
        let slot = ClaimedSlot::claim(self.page(), self.shared.generation)?;
        launch.slot = slot.number();
        Ok(slot)
    }

    fn start(&mut self, id: ProcessId) -> Result<(), Message> {
        let mut launch = self.launch();
        let slot = self.claim_slot(&mut launch)?;
        let spawned = self.spawn(&launch, &slot)?;
        self.group.started(id, spawned.pid);
        self.readers.push(spawned.reader.pid);
        self.processes.push(Handle::new(id, slot, spawned));
        Ok(())
    }

    fn spawn(&self, launch: &Launch, slot: &ClaimedSlot) -> Result<Spawned, Message> {
        let walls =
            self.plan.walls.as_ref().map(|built| built.as_ref().map_err(Message::clone)).transpose()?;
        let common = Common {
            walls: walls.map(AsFd::as_fd),
            listener: self.plan.listener.socket.as_fd(),
            page: self.page().fd(),
            scoreboard_page: self.scoreboard_page.as_ref().map(AsFd::as_fd),
        };
        let spawned = self.shared.start.launcher.spawn(&self.plan.group, &common, launch)?;
        slot.set_pid(spawned.pid);
        Ok(spawned)
    }

    fn order(&mut self, id: ProcessId, state: SlotState, order: Order) {
        let Some(index) = self.find(id) else { return };
        let sent = self.processes[index].order_into(state, order);
        // A daemon that lost its control socket, or reads no orders, understands the signal. One that was not told
        // to serve would never do so: it ends, and another takes its place.
        if matches!(order, Order::Serve | Order::Stop(_)) && !sent {
            self.signal(id, libc::SIGTERM);
        }
    }

    fn signal(&mut self, id: ProcessId, signal: i32) {
        let process = self.find(id).map(|index| &self.processes[index]);
        if process.is_some_and(|process| process.end.is_seen()) {
            return;
        }
        match process.map(Handle::pid) {
            None => self.end_template_of(id),
            // Without its control socket it ends as soon as it lives.
            Some(0) => {
                self.end_template_of(id);
                self.gone(id, Exit::Signal(signal));
            }
            // It can only have ended in the meantime, which is about to be seen.
            Some(pid) => drop(os::kill(pid, signal)),
        }
    }

    fn release_output(&mut self, id: ProcessId, wanted: bool) {
        let process = self.find(id).map(|index| &mut self.processes[index]);
        let (pid, held) = match process {
            Some(process) => (process.pid(), process.output.release()),
            None => match self.template_of(id) {
                Some(template) => (template.pid, template.output.release()),
                None => return,
            },
        };
        if wanted {
            self.show(pid, &held);
        }
    }

    fn find(&self, id: ProcessId) -> Option<usize> {
        self.processes.iter().position(|process| process.id == id)
    }
}

fn scoreboard_page(start: &Start, plan: &GroupPlan) -> Option<ScoreboardPage> {
    let scoreboard = if plan.group.server_metrics { (start.scoreboard)() } else { None };
    ScoreboardPage::create(&scoreboard?).ok()
}
